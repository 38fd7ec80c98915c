"""Where a participant's heartbeat finds how the participant is: kept up to date by the thread that runs it."""

from dataclasses import dataclass

from contract.status.message import Condition
from federation.participant.process import ParticipantProcess
from federation.participant.status import describe_participant


@dataclass(slots=True)
class Standing:
    """Written by the participant's thread, read by the heartbeat's; single values, so no lock is needed."""

    process: ParticipantProcess | None = None
    """None before the federation's Kafka answered for the first time."""
    away: str = ""
    """Why it is waited for now."""

    def look(self) -> Condition:
        """How the participant is."""
        if self.process is None:
            return Condition(activity="starting", healthy=not self.away, reasons=[self.away] if self.away else [])
        participant = self.process.participant
        return describe_participant(
            participant.membership,
            participant.state.adopted_version,
            training=participant.task is not None,
            away=self.away,
            warnings=self.process.warnings,
        )

    def note_away(self, reason: str) -> None:
        """The federation's Kafka, or the participant's store, does not answer."""
        self.away = reason

    def note_process(self, process: ParticipantProcess) -> None:
        """It answers, and this process takes part."""
        self.process, self.away = process, ""
