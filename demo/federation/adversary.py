"""The member of the third act's federation that breaks the rules: `python -m demo.federation.adversary FILE`.

It was enrolled and approved like any other, and answers a round's first stage as it should, so that everybody counts on it. Then it
sends, with its own keys and rights, what such a member can send, and writes down how much of each. It never trains.
"""

import os
import signal
import sys
from collections import Counter
from pathlib import Path

import msgspec

from contract.clock import SystemClock, to_epoch_ms
from contract.federation.fields import CLOCK_TOLERANCE_MS, MESSAGE_BYTES_MAX
from contract.federation.frames import Announcement, Envelope, PartsAnnounced, SignedEnvelope
from contract.federation.messages import MaskKeys, MaskShares, Withdrawal
from contract.federation.settings import FederationSettings
from federation.learning.learner import Trained
from federation.messages.envelope import ANNOUNCEMENT_DOMAIN, seal, to_records
from federation.messages.identity import Identity
from federation.participant.participant import Participant
from federation.participant.state import ParticipantState, Saying
from federation.transports.kafka_logs import KafkaTransport
from federation.transports.ports import LogName, Outgoing, Record
from tillguard.config import load
from tillguard.federation.keys import load_identity

POLL_S = 0.2
SENT = "sent: "
EXAMPLES, FRAUDS = 100, 5
"""That it says it learned from."""
ATTACKS = {
    "forged": "in another member's name",
    "replayed": "copied from others",
    "malformed": "of random bytes",
    "oversized": "far too large",
    "future": "dated tomorrow",
    "out_of_turn": "for another round",
    "stranger": "from somebody nobody knows",
    "wrong_shares": "with parts left out that the sum needs",
}
"""What it sends, and how that is shown."""
DAY_MS = 86_400_000


class Adversary:
    """One run, in one thread."""

    def __init__(self, settings: FederationSettings, identity: Identity, transport: KafkaTransport) -> None:
        self._settings = settings
        self._identity = identity
        self._transport = transport
        self._participant = Participant(identity, settings.name, settings.participant, ParticipantState())
        self._stranger = Identity.generate("nobody")
        self._overheard: dict[str, bytes] = {}
        """By sender: another member's newest record that a signature of its own is on."""
        self._clock_ms = 0
        self._read_all()

    def _read_all(self) -> None:
        logs: tuple[LogName, ...] = ("control", "models", "updates")
        self._transport.read_from({log: self._transport.find_bounds(log)[0] for log in logs})

    def run_once(self) -> None:
        """Hears what there is, and answers."""
        stranger = self._participant.state.coordinator is None
        for record in self._transport.poll(POLL_S):
            if record.log == "updates":
                self._overhear(record)
            else:
                self._participant.handle_record(record)
        participant, task = self._participant, self._participant.task
        if stranger and participant.state.coordinator is not None:
            self._read_all()  # the model may have come before anybody could know whose it is
            return
        if task is not None:
            participant.report_trained(Trained(task.base, EXAMPLES, FRAUDS))
        outbox, participant.outbox = participant.outbox, []
        for saying in outbox:
            self._answer(saying)

    def _answer(self, saying: Saying) -> None:
        if isinstance(saying.message, MaskKeys):
            self._send(None, self._sealed(saying))
            self._pester(saying)
        elif isinstance(saying.message, MaskShares):
            spoilt = saying._replace(message=MaskShares(shares=saying.message.shares[:1]))
            self._send("wrong_shares", self._sealed(spoilt))
            for record in self._overheard.values():
                self._send("replayed", [record])

    def _pester(self, saying: Saying) -> None:
        """Everything that needs no turn."""
        plan = self._participant.plan
        victim = next((name for name in plan.cohort if name != self._identity.name), None) if plan else None
        if victim is not None:
            self._send("forged", self._sealed(saying, sender=victim))
        self._send("malformed", [os.urandom(2_000)])
        self._send("oversized", [self._announcement()])
        self._send("future", self._sealed(saying, ahead_ms=CLOCK_TOLERANCE_MS + DAY_MS))
        self._send("out_of_turn", self._sealed(saying._replace(round=saying.round + 7)))
        self._send("stranger", self._sealed(Saying(Withdrawal(reason=""), sealed=False), identity=self._stranger))

    def _sealed(
        self, saying: Saying, *, sender: str | None = None, ahead_ms: int = 0, identity: Identity | None = None
    ) -> list[bytes]:
        self._clock_ms = max(self._clock_ms + 1, to_epoch_ms(SystemClock().now()))
        author = identity or self._identity
        signed = seal(
            saying.message,
            author,
            federation=self._settings.name,
            round_number=saying.round,
            attempt=saying.attempt,
            sent_at_ms=self._clock_ms + ahead_ms,
            epoch=self._participant.state.epoch,
            reader=self._participant.state.coordinator if saying.sealed else None,
            sender=sender,
        )
        return to_records(signed, author)

    def _announcement(self) -> bytes:
        told = Announcement(
            federation=self._settings.name,
            sender=self._identity.name,
            bytes=MESSAGE_BYTES_MAX,
            digests=(bytes(32),),
        )
        announcement = msgspec.msgpack.encode(told)
        signature = self._identity.sign(announcement, ANNOUNCEMENT_DOMAIN)
        return msgspec.msgpack.encode(PartsAnnounced(announcement=announcement, signature=signature))

    def _overhear(self, record: Record) -> None:
        """Keeps another member's newest keys: they are signed, and everybody may read them."""
        try:
            frame = msgspec.msgpack.decode(record.value, type=SignedEnvelope)
            heading = msgspec.msgpack.decode(frame.envelope, type=Envelope)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            return  # a part of something longer, or its own rubbish
        if heading.type == "keys" and heading.sender != self._identity.name:
            self._overheard[heading.sender] = record.value

    def _send(self, kind: str | None, records: list[bytes]) -> None:
        self._transport.append([Outgoing("updates", self._identity.name.encode(), record) for record in records])
        if kind is not None:
            sys.stdout.write(f"{SENT}{kind}\n")
            sys.stdout.flush()


def count_sent(log: str) -> dict[str, int]:
    """How much of each attack the process's log tells of. Pure."""
    told = Counter(line.removeprefix(SENT) for line in log.splitlines() if line.startswith(SENT))
    return {kind: told[kind] for kind in ATTACKS if told[kind]}


def main(file: Path) -> None:
    """Runs until SIGTERM."""
    settings = load(file=file).federation
    identity = load_identity(settings.participant, "enrol")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    transport = KafkaTransport(settings, identity.name)
    try:
        saboteur = Adversary(settings, identity, transport)
        while True:
            saboteur.run_once()
    finally:
        transport.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
