"""The tree of errors. A message never carries a secret or a customer's data: it names fields, never their values.

Everything that an operator could meet derives from TillguardError: the command line prints its message and ends with 1, with 2 for a
ConfigurationError, and with 3 for a FencedError. The classes of this module come without a place; a service's own say where they are.

TillguardError
├── ConfigurationError           wrong settings, mapping or rules; lists every fault
│   └── InvalidInputError        backoffice.refusals: what was given cannot be used; every fault with its field
├── InvalidEventError            one message cannot be used: it becomes a dead letter, and the stream continues
│   └── UntoldError              connectors.values: the log does not hold a mapped column
├── TransientError               a broker, database or store does not answer: bounded retry with backoff
│   ├── DeliveryError            runtime.kafka.producer: Kafka refused a message permanently
│   ├── KafkaRefusedError        scoring.feeds.librdkafka_feed: the broker refuses this worker
│   ├── LockBusyError            runtime.locks: another process holds the lock
│   ├── NotTakenError            backoffice.checkout.ports: Kafka did not confirm a record; sending it again does no harm
│   │   └── BusyError            backoffice.checkout.door: more requests wait than the door holds
│   ├── StoreUnavailableError    scoring.ports: Redis does not answer; a worker's verdicts are degraded meanwhile
│   ├── TooLargeError            connectors.mongodb.faults: a change event of more than 16 MB
│   ├── UnansweredError          tillguard.client.answers: nobody answered in time
│   └── UnknownCodeError         connectors.mongodb.faults: a server's error code that the tables do not hold
├── PositionDeadError            a source no longer has the saved position: by policy fail or resnapshot
├── DeadLetterLimitError         too many bad rows: the connector stops before it drains a table
├── PackageRefusedError          a model package is damaged or does not fit: the old model stays
├── PinnedError                  the serving model is pinned: a training does not replace it by itself
├── ServingChangedError          another model was put in service since a training compared its own with what served
├── TrainingRefusedError         the history or its model is not good enough to serve: nothing is published
├── FencedError                  another process has taken this one's place: it leaves the work to that process
├── UnexpectedError              something that no rule foresaw, in a sentence
├── InvariantError               a promise of the design is broken: crash
├── ChecksumError                connectors.mysql.log.framing: an event of the binary log was damaged on its way
├── MalformedEventError          connectors.mysql.log.cursor: an event of the binary log does not follow its format
│   └── TooLargeError            connectors.mysql.log.compression: larger than the bound once decompressed
├── UndecodableError             connectors.mysql.columns.packed: a column's bytes cannot be read
├── ConditionError               scoring.rules.expressions: a rule's condition cannot be used; becomes a fault of a ConfigurationError
├── RevisionConflictError        scoring.ports: another resolution of the case came first
├── LateError                    scoring.ports: the model did not end in time
├── ModelFailedError             scoring.ports: the model gave no usable score
├── StalledError                 scoring.worker.supervision: there is work, and nothing moves
├── TrainingUnableError          federation.learning.learner: a retailer cannot train in this round
├── FederationRefusedError       federation.refusals: something is refused, and nothing was done
│   ├── EnvelopeRefusedError     a message is dropped
│   ├── KeyStoreError            the keys cannot be read or written
│   ├── MaskingRefusedError      the masked sum is not given
│   ├── PrivacyBudgetError       a release would exceed the budget
│   └── UpdateRefusedError       an update is not used
├── CursorError                  backoffice.projection.cursors: a page's cursor is none that its list gave
├── StateConflictError           backoffice.refusals: it cannot be done as things stand
├── UnknownObjectError           backoffice.refusals: there is no such thing, or none that the one who asks may know of
├── NotSignedInError             backoffice.refusals: name, password, link or session are not right
├── WaitRequiredError            backoffice.refusals: asked for too often
├── NotAllowedError              backoffice.refusals: whoever asks has no right to it
├── RequestRefusedError          tillguard.client.answers: a request will never be answered as it is
└── NotRetriedError              tillguard.operations.dead_letter_desk: a dead letter cannot be tried again

Outside the tree stands control flow that no operator meets, since the code that raises it also waits for it:

- connectors.ports.Interrupted: a stop was asked for while the sink was blocked
- connectors.files.csv_rows.OpenQuoteError: passes through the standard library's CSV reader, back to its caller
- trainer.registry.registry._TakenError: rolls back the transaction that finds a version registered
- backoffice.http.problems.ProblemError: an answer of HTTP, raised by a route for the application that called it
- federation.transports.memory.CrashError: a simulated kill -9, which no handler of errors may catch
"""

from collections.abc import Sequence


class TillguardError(Exception):
    """Anything that Tillguard itself raises."""


class ConfigurationError(TillguardError):
    """Settings, a mapping or rules are wrong; `faults` lists every one of them, in words that say what to do."""

    def __init__(self, faults: Sequence[str]) -> None:
        super().__init__("; ".join(faults))
        self.faults = list(faults)


class InvalidEventError(TillguardError):
    """One message cannot be used. `reason` is a code of `contract.dead_letters.REASONS`; `detail` names fields only.

    `field` is the path of the field at fault, such as `origin.position`, where there is one.
    """

    def __init__(self, reason: str, detail: str, field: str | None = None) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail
        self.field = field


class TransientError(TillguardError):
    """A peer did not answer; trying again may help."""


class PositionDeadError(TillguardError):
    """The source can no longer continue from the saved position (purged binlog, oplog rolled over, dead token)."""


class DeadLetterLimitError(TillguardError):
    """The share or run of bad rows passed the limit."""


class PackageRefusedError(TillguardError):
    """A model package is not loaded; `reason` says why (checksum, feature_schema, parity, format, output)."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


class PinnedError(TillguardError):
    """The retailer's serving model is pinned, so that no training puts another in service by itself; says by whom and why."""


class ServingChangedError(TillguardError):
    """What serves is not what a new model was compared with any more, or may not be for long: a person decided meanwhile."""


class TrainingRefusedError(TillguardError):
    """The history cannot give a model worth serving, or the trained one did not pass its checks; says what is missing."""


class FencedError(TillguardError):
    """Another process has taken this one's place; whatever this one still writes is refused."""


class UnexpectedError(TillguardError):
    """Something that no rule foresaw: a fault of Tillguard or of a library. Names the kind of error and its place, no data."""


class InvariantError(TillguardError):
    """A promise of the design does not hold; continuing would spread the damage."""
