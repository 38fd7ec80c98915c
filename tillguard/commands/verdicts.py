"""Verdicts on the command line: watch them, and end a hold or a review."""

import sys
import time
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from contract.errors import ConfigurationError, InvalidEventError, TransientError

if TYPE_CHECKING:
    from contract.codec import Decoder
    from contract.verdicts import Verdict

RETAILER = typer.Option(None, "--retailer", metavar="NAME", help="The retailer.")
CONFIG = typer.Option(
    None, "--config", metavar="FILE", help="Settings file; else TILLGUARD_CONFIG, else the state folder's."
)
verdicts = typer.Typer(no_args_is_help=True, rich_markup_mode="markdown")


class ResolutionChoice(StrEnum):
    """How a hold or a review ends."""

    STEP_UP_PASSED = "step_up_passed"
    STEP_UP_FAILED = "step_up_failed"
    APPROVED = "approved"
    REJECTED = "rejected"


class Decision(StrEnum):
    """Decisions to show."""

    ALLOW = "allow"
    FLAG = "flag"
    HOLD = "hold"
    BLOCK = "block"


def register(app: typer.Typer) -> None:
    """Adds the group."""
    verdicts.command("tail")(tail)
    verdicts.command("resolve")(resolve)
    app.add_typer(verdicts, name="verdicts", help="Watch verdicts, and end a hold or a review.")


def tail(
    *,
    retailer: str | None = RETAILER,
    config: Path | None = CONFIG,
    decision: list[Decision] | None = typer.Option(None, "--decision", help="Only these. Repeatable."),
    beginning: bool = typer.Option(False, "--from-beginning", help="First everything that is still on the topic."),
    count: int | None = typer.Option(None, "-n", "--count", min=1, help="Stop after this many."),
    as_json: bool = typer.Option(False, "--json", help="Each verdict as it is, one JSON document a line."),
) -> None:
    """Show verdicts as they are given, one a line, until Ctrl-C.

    A line: when, transaction, revision, decision, score, milliseconds from the append of the transaction, and the first
    reason. `degraded` marks an answer that rules alone gave in time; its full answer follows as the next revision.
    """
    from itertools import chain, islice

    from contract.codec import Decoder
    from contract.topics import VERDICTS
    from contract.verdicts import Verdict
    from runtime.kafka.topic_log import TopicReader
    from tillguard.config import load

    settings = load(retailer, config)
    reader, topic = TopicReader(settings.kafka), VERDICTS.name(settings.retailer)
    decoder = Decoder(Verdict)
    records = chain(reader.read_until_now(topic) if beginning else (), reader.read_from_now(topic))
    values = (record.value for record in records if record is not None and record.value is not None)
    found = ((value, verdict) for value in values if (verdict := _decoded(decoder, value)) is not None)
    wanted = ((value, verdict) for value, verdict in found if not decision or verdict.decision in decision)
    try:
        for value, verdict in islice(wanted, count):
            sys.stdout.write((value.decode() if as_json else _line(verdict)) + "\n")
            sys.stdout.flush()
    except KeyboardInterrupt:
        return


def _decoded(decoder: "Decoder[Verdict]", value: bytes) -> "Verdict | None":
    """The verdict; None for what is none: whoever wrote it to the topic does not end the listing."""
    try:
        return decoder.decode(value)
    except InvalidEventError:
        return None


def resolve(
    transaction_id: str = typer.Argument(metavar="ID", help="The transaction."),
    *,
    retailer: str | None = RETAILER,
    config: Path | None = CONFIG,
    outcome: ResolutionChoice = typer.Option(..., "--outcome", help="How it ended."),
    actor: str = typer.Option("", "--actor", help="Who decided: a user or system name; your login name where absent."),
    resolution_id: str = typer.Option(
        "", "--resolution-id", help="Makes a repeated call harmless; a fresh one where absent."
    ),
    wait_s: float = typer.Option(
        10.0, "--wait", min=0, help="Seconds to wait for the new verdict; 0 only sends the resolution."
    ),
) -> None:
    """End a hold or a review: the next revision of the verdict allows or blocks, and a label for training follows.

    step_up_passed and approved allow, step_up_failed and rejected block. Prints the new verdict. Exit code 1: no new verdict
    came in time, or the transaction cannot be resolved (`tillguard dead-letters list` then says why).
    """
    import getpass
    import uuid
    from datetime import UTC, datetime

    import msgspec

    from contract.codec import encode
    from contract.events import Resolution
    from tillguard.config import load

    settings = load(retailer, config)
    message = Resolution(
        resolution_id=resolution_id or f"cli-{uuid.uuid4()}",
        transaction_id=transaction_id,
        retailer=settings.retailer,
        outcome=outcome.value,
        actor=actor or getpass.getuser(),
        resolved_at=datetime.now(UTC),
    )
    try:
        msgspec.json.decode(encode(message), type=Resolution)
    except msgspec.ValidationError as error:
        raise ConfigurationError([f"not a resolution: {error}"]) from None
    from tillguard.operations.resolving import resolve as send

    answer = send(settings, message, wait_s=wait_s, monotonic_s=time.monotonic)
    if wait_s == 0:
        typer.echo(f"sent as {message.resolution_id}")
        return
    if answer is None:
        raise TransientError(
            f"no new verdict within {wait_s:g} s: is a worker running (`tillguard score`), and was {transaction_id} held, "
            "flagged or blocked? `tillguard dead-letters list` shows resolutions that were refused"
        )
    typer.echo(_line(answer))


def _line(verdict: "Verdict") -> str:
    score = "   -  " if verdict.score is None else f"{verdict.score:.4f}"
    marks = "".join(f" {mark}" for mark, on in (("degraded", verdict.degraded), ("late", verdict.late)) if on)
    reason = f"  {verdict.reasons[0].text}" if verdict.reasons else ""
    return (
        f"{verdict.scored_at:%H:%M:%S.%f} {verdict.transaction_id} r{verdict.revision} {verdict.decision:<5} {score} "
        f"{verdict.latency_ms:7.1f} ms{marks}{reason}"
    )
