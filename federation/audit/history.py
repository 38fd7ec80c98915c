"""Reading a federation's logs for people: the audit chain checked, and what it says of rounds and of privacy. Pure but for the reading."""

import json
from collections import deque
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any, NamedTuple, TypeVar

import msgspec

from contract.federation.fields import COORDINATOR, NUMBER_MAX
from contract.federation.messages import Claim, LedgerEntry, PrivacyTerms, Roster
from contract.federation.settings import RoundPrivacySettings
from federation.audit.ledger import TOO_MANY, Audit, Spoken, hash_entry, select_counted, verify_chain
from federation.learning.metrics import AP
from federation.messages.envelope import Opened
from federation.messages.foreign import translate_foreign_errors
from federation.messages.identity import PublicIdentity
from federation.messages.inbox import Inbox
from federation.privacy.accounting import PrivacyLedger, Release, Spend
from federation.refusals import FederationRefusedError
from federation.transports.ports import LogName, Record, Transport

T = TypeVar("T")
POLL_S = 1.0
EARLY_MAX = 10_000
EARLY_BYTES_MAX = 64 * 1024 * 1024
_LOGS: tuple[LogName, ...] = ("control", "ledger")


class History(NamedTuple):
    """All that a coordinator has said, as far as its signature holds."""

    coordinator: PublicIdentity | None
    """None where no claim under the fingerprint stands on the log."""
    epoch: int
    roster: Roster | None
    entries: tuple[LedgerEntry, ...]
    audit: Audit
    refused: int
    """Records on the coordinator's logs that are not its own."""
    unfinished: int = 0
    """Its own entries that do not count, since its transaction failed; somebody appended them later."""


class RoundLine(NamedTuple):
    """One round in a list."""

    round: int
    attempts: int
    outcome: str
    participants: int
    began_ms: int
    ended_ms: int
    metrics: dict[str, float]
    purpose: str = "training"
    cohort: tuple[str, ...] = ()
    """Whose updates are in the model; empty where there are too many for the ledger to name."""
    change: float | None = None
    """Of a training: by how much the figure of contributions is above that of the training before; None: one was not measured."""
    bytes_up: int = 0
    """That the cohort sent, in all attempts."""


class CohortLine(NamedTuple):
    """How the trainings with a participant went, and those without: all that a sum can say of one."""

    participant: str
    trainings: int
    """That it took part in."""
    with_it: float | None
    """Mean change; None where none was measured."""
    without_it: float | None


def read_history(transport: Transport, federation: str, fingerprint: str) -> History:
    """Reads the control and ledger logs to their present end; `fingerprint` names whom to believe. Raises TransientError."""
    return LogReader(transport, federation, fingerprint).read()


class LogReader:
    """Reads what a coordinator says, as often as wanted; of that, claim, roster and ledger are kept, since a chain is checked from its beginning."""

    def __init__(self, transport: Transport, federation: str, fingerprint: str) -> None:
        self._transport = transport
        self._told = _Believed(federation, fingerprint)
        self._positions = {log: transport.find_bounds(log)[0] for log in _LOGS}

    def read(self) -> History:
        """Everything up to the present end. Raises TransientError."""
        told = self._told
        self._read("control")
        # The claim on the control log says which keys sign the ledger, which waits on its log until then.
        if told.coordinator is not None:
            self._read("ledger")
        entries = tuple(select_counted(told.spoken))
        unfinished = len(told.spoken) - len(entries)
        return History(
            told.coordinator, told.epoch, told.roster, entries, verify_chain(entries), told.refused, unfinished
        )

    def _read(self, log: LogName) -> None:
        first, end = self._transport.find_bounds(log)
        self._transport.read_from({log: max(self._positions[log], first)})
        while not self._transport.has_caught_up(log, end):
            for record in self._transport.poll(POLL_S):
                self._told.take(record)
                self._positions[log] = record.offset + 1


class _Believed:
    def __init__(self, federation: str, fingerprint: str) -> None:
        self.coordinator: PublicIdentity | None = None
        self.epoch = 0
        self.roster: Roster | None = None
        self.spoken: list[Spoken] = []
        self.refused = 0
        self._early: deque[Record] = deque()
        """What stands before the first claim that is there, and so before it is known whose it is; the newest of it."""
        self._early_bytes = 0
        self._chained: set[bytes] = set()
        """Digests of `spoken`: whoever may write to the log can append a copy, which breaks no chain."""
        self._fingerprint = fingerprint
        self._inboxes = {log: Inbox(federation, log=log, any_time=True) for log in _LOGS}

    def take(self, record: Record) -> None:
        try:
            with translate_foreign_errors():
                found = self._inboxes[record.log].take(record.value, roster=self._known, now_ms=record.appended_ms)
        except FederationRefusedError:
            if self.coordinator is None:
                self._keep(record)
            else:
                self.refused += 1
            return
        for opened in found:
            self._heed(opened)

    def _keep(self, record: Record) -> None:
        self._early.append(record)
        self._early_bytes += len(record.value)
        while len(self._early) > EARLY_MAX or self._early_bytes > EARLY_BYTES_MAX:
            self._early_bytes -= len(self._early.popleft().value)
            self.refused += 1

    def _known(self, name: str) -> PublicIdentity | None:
        return self.coordinator if name == COORDINATOR else None

    def _heed(self, opened: Opened) -> None:
        message = opened.message
        if opened.sender.fingerprint != self._fingerprint or opened.envelope.sender != COORDINATOR:
            self.refused += 1
        elif isinstance(message, Claim):
            self.coordinator = opened.sender
            self.epoch = max(self.epoch, opened.envelope.epoch)
            early, self._early, self._early_bytes = self._early, deque(), 0
            for record in early:
                self.take(record)
        elif isinstance(message, Roster):
            if self.roster is None or message.version > self.roster.version:
                self.roster = message
        elif isinstance(message, LedgerEntry):
            self._chain(Spoken(message, opened.envelope.epoch, opened.envelope.sent_at_ms))

    def _chain(self, spoken: Spoken) -> None:
        digest = hash_entry(spoken.entry)
        if digest not in self._chained:
            self._chained.add(digest)
            self.spoken.append(spoken)


def decode_content(entry: LedgerEntry) -> dict[str, Any]:
    """An entry's content; empty where its bytes are no JSON object: a coordinator's signature makes no content well formed."""
    try:
        content = json.loads(entry.content)
    except (ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def _section(content: Mapping[str, object], name: str) -> dict[str, Any]:
    section = content.get(name)
    return section if isinstance(section, dict) else {}


def _whole(value: object) -> int:
    """A count or a version; 0 where it is none."""
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 2**53 else 0


def _read(entry: LedgerEntry, section: object, kind: type[T]) -> T:
    """Raises FederationRefusedError: what is said of privacy is never guessed."""
    try:
        return msgspec.convert(section, kind)
    except msgspec.ValidationError:
        raise FederationRefusedError(
            "ledger", f"entry {entry.index} tells of privacy in a form that this build does not read"
        ) from None


def list_rounds(entries: Sequence[LedgerEntry]) -> list[RoundLine]:
    """Every round that began, oldest first."""
    lines: dict[int, RoundLine] = {}
    for entry in entries:
        if entry.round == 0:
            continue
        line = lines.get(entry.round, RoundLine(entry.round, 0, "under way", 0, entry.at_ms, 0, {}))
        content = decode_content(entry)
        line = line._replace(bytes_up=line.bytes_up + _whole(_section(content, "bytes").get("up")))
        if entry.kind == "plan":
            purpose = str(content.get("purpose", "training"))
            line = line._replace(attempts=entry.attempt + 1, outcome="under way", purpose=purpose, cohort=())
        elif entry.kind in {"survivors", "stage_over"} and content.get("stage") == "updates":
            members = content.get("members")
            line = line._replace(cohort=tuple(map(str, members)) if isinstance(members, list) else ())
        elif entry.kind == "failure":
            final = bool(content.get("final"))
            line = line._replace(outcome=f"failed: {content.get('reason', '')}", ended_ms=entry.at_ms if final else 0)
        elif entry.kind == "global_model":
            line = line._replace(
                outcome=f"model {content.get('model_version')}",
                participants=_whole(content.get("participants")),
                ended_ms=entry.at_ms,
                metrics=dict(_numbers(content.get("metrics"))),
            )
        lines[entry.round] = line
    return _with_changes([lines[number] for number in sorted(lines)])


def _with_changes(lines: Sequence[RoundLine]) -> list[RoundLine]:
    found: list[RoundLine] = []
    before: float | None = None
    for line in lines:
        value = line.metrics.get(AP) if line.purpose == "training" else None
        change = None if value is None or before is None else value - before
        found.append(line._replace(change=change))
        before = before if value is None else value
    return found


class Standing(NamedTuple):
    """What the ledger says of one participant; None: nothing."""

    contribution: float | None = None
    """Of the newest training in which it was measured: average precision, or agreement with all where there were no data."""
    reputation: float | None = None


def collect_standings(entries: Sequence[LedgerEntry]) -> dict[str, Standing]:
    """By participant, the newest of each."""
    found: dict[str, Standing] = {}
    for entry in entries:
        if entry.kind != "evaluated":
            continue
        content = decode_content(entry)
        for name, value in _numbers(content.get("contributions")):
            found[name] = found.get(name, Standing())._replace(contribution=value)
        for name, value in _numbers(content.get("reputations")):
            found[name] = found.get(name, Standing())._replace(reputation=value)
    return found


def _numbers(values: object) -> list[tuple[str, float]]:
    """None stands for what could not be measured; where there are too many names, the ledger has none of them."""
    if not isinstance(values, dict) or TOO_MANY in values:
        return []
    return [
        (name, float(value))
        for name, value in values.items()
        if isinstance(value, int | float) and abs(value) <= NUMBER_MAX  # NaN is not
    ]


def group_by_cohort(lines: Sequence[RoundLine]) -> list[CohortLine]:
    """Of everyone who was ever named in a cohort, by name; how a model changes with a cohort is not the doing of each of them."""
    trainings = [line for line in lines if line.cohort and line.purpose == "training" and line.metrics]
    names = sorted({name for line in trainings for name in line.cohort})

    def mean(parts: Sequence[RoundLine]) -> float | None:
        known = [line.change for line in parts if line.change is not None]
        return fmean(known) if known else None

    return [
        CohortLine(
            name,
            sum(name in line.cohort for line in trainings),
            mean([line for line in trainings if name in line.cohort]),
            mean([line for line in trainings if name not in line.cohort]),
        )
        for name in names
    ]


def read_newest_privacy(entries: Sequence[LedgerEntry]) -> dict[str, Any]:
    """What the newest plan said of privacy; empty where no round began."""
    newest = next((entry for entry in reversed(entries) if entry.kind == "plan"), None)
    if newest is None:
        return {}
    terms = _read(newest, decode_content(newest).get("privacy"), PrivacyTerms)
    return dict(msgspec.to_builtins(terms))


def find_halt(entries: Sequence[LedgerEntry]) -> str:
    """Why no round begins, where that is the newest that is known of rounds; else empty."""
    newest = next((entry for entry in reversed(entries) if entry.kind in {"plan", "halted", "run_ordered"}), None)
    return str(decode_content(newest).get("reason", "")) if newest is not None and newest.kind == "halted" else ""


def rebuild_privacy_ledger(entries: Sequence[LedgerEntry], privacy: RoundPrivacySettings) -> PrivacyLedger:
    """The privacy ledger of the settings' level, rebuilt from the audit chain alone: nothing else need be believed."""
    if privacy.level == "none":
        raise FederationRefusedError("privacy", "rounds without privacy have no account")
    spends = []
    for entry in entries:
        content = decode_content(entry) if entry.kind == "plan" else {}
        if entry.kind == "plan" and _read(entry, content.get("privacy"), PrivacyTerms).level == privacy.level:
            release = _read(entry, content.get("release"), Release)
            spends.append(Spend(round=entry.round, attempt=entry.attempt, at_ms=entry.at_ms, release=release))
    return PrivacyLedger(
        level=privacy.level, delta=privacy.delta, epsilon_max=privacy.epsilon_max, spends=tuple(spends)
    )
