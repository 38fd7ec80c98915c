"""What each error of a MongoDB server or driver means for a connector: try again, position dead, or a person is needed. Pure.

The table of codes is closed: a code that is not in it may heal by itself, but only for so long (connectors.mongodb.stream).
Names and numbers are those of the server's own list of errors.
"""

from collections.abc import Mapping

from bson.errors import BSONError
from pymongo.errors import ConfigurationError as DriverConfigurationError
from pymongo.errors import InvalidName, InvalidURI, OperationFailure, PyMongoError

from contract.errors import ConfigurationError, PositionDeadError, TransientError

TOO_LARGE = 10334
"""BSONObjectTooLarge: a change event of more than 16 MB; connectors.mongodb.stream steps over exactly that event."""
TRANSIENT: Mapping[int, str] = {
    6: "HostUnreachable", 7: "HostNotFound", 24: "LockTimeout", 43: "CursorNotFound", 46: "LockBusy",
    50: "MaxTimeMSExpired", 63: "StaleShardVersion", 70: "ShardNotFound", 74: "NodeNotFound", 83: "RemoteResultsUnavailable",
    89: "NetworkTimeout", 90: "CallbackCanceled", 91: "ShutdownInProgress", 94: "NotYetInitialized", 95: "NotSecondary",
    106: "DistributedClockSkewed", 107: "LockFailed", 109: "ConfigurationInProgress", 112: "WriteConflict",
    117: "ConflictingOperationInProgress", 125: "CommandFailed", 133: "FailedToSatisfyReadPreference",
    134: "ReadConcernMajorityNotAvailableYet", 135: "StaleTerm", 143: "CursorInUse", 145: "PooledConnectionsDropped",
    149: "NoConfigPrimary", 150: "StaleEpoch", 172: "TransportSessionClosed", 175: "QueryPlanKilled",
    189: "PrimarySteppedDown", 202: "NetworkInterfaceExceededTimeLimit", 203: "ShardingStateNotInitialized",
    205: "ClusterTimeFailsRateLimiter", 206: "NoSuchSession", 209: "StaleClusterTime", 210: "CannotVerifyAndSignLogicalTime",
    211: "KeyNotFound", 215: "DatabaseDropPending", 216: "ElectionInProgress", 221: "IndexModified", 230: "DNSHostNotFound",
    234: "RetryChangeStream", 237: "CursorKilled", 239: "SnapshotTooOld", 246: "SnapshotUnavailable", 249: "StaleDbVersion",
    250: "StaleChunkHistory", 261: "TooManyLogicalSessions", 262: "ExceededTimeLimit", 264: "TooManyFilesOpen",
    272: "MigrationConflict", 279: "ClientDisconnect", 290: "TransactionExceededLifetimeLimitSeconds",
    303: "SplitHorizonChange", 308: "CurrentConfigNotCommittedYet", 314: "ObjectIsBusy", 317: "ConnectionPoolExpired",
    338: "ReshardCollectionInProgress", 342: "ReshardingCriticalSectionTimeout", 343: "ShardCannotRefreshDueToLocksHeld",
    348: "ChangeStreamTopologyChange", 355: "InterruptedDueToStorageChange", 365: "TemporarilyUnavailable",
    384: "ConnectionError", 391: "ReauthenticationRequired", 402: "ResourceExhausted",
    407: "PooledConnectionAcquisitionExceededTimeLimit", 433: "AdmissionQueueOverflow", 449: "RateLimitExceeded",
    9001: "SocketException", 10107: "NotWritablePrimary", 10058: "LegacyNotPrimary", 11600: "InterruptedAtShutdown",
    11601: "Interrupted", 11602: "InterruptedDueToReplStateChange", 13388: "StaleConfig", 13435: "NotPrimaryNoSecondaryOk",
    13436: "NotPrimaryOrSecondary", 50915: "BackgroundOperationInProgressForNamespace",
}  # fmt: skip
"""Elections, restarts, moved chunks, limits of time: the same question may be answered in a moment."""
DEAD: Mapping[int, str] = {
    120: "OplogStartMissing", 136: "CappedPositionLost", 222: "CloseChangeStream", 280: "ChangeStreamFatalError",
    286: "ChangeStreamHistoryLost", 326: "OplogQueryMinTsMissing", 346: "ChangeStreamInvalidated",
    464: "a token of a stream that is gone", 40576: "the resume point is no longer in the oplog",
    40615: "the resume token was not found",
}  # fmt: skip
"""The oplog no longer reaches back to the position, whenever the server says so."""
DEAD_AT_OPENING: Mapping[int, str] = {
    2: "BadValue", 9: "FailedToParse", 14: "TypeMismatch", 207: "InvalidUUID", 260: "InvalidResumeToken",
    361: "CollectionUUIDMismatch", 40647: "a token that is none", 40649: "a token that is none",
    50788: "a token of another stream", 50795: "a token of another stream", 50811: "a token that does not fit the stream",
}  # fmt: skip
"""Said of the resume token that a stream was opened with; without a token these are faults of the question."""
_GRANTS = 'the user needs the role "read" on the database, and the server must be a replica set or a sharded cluster'
_VERSION = "the server is too old for change streams, or does not allow them; MongoDB 4.0 or later is needed"
_NOT_READABLE = "`collection` must name an ordinary collection: a view or time series has no changes to read"
_SORT = "the scan cannot be sorted in the server's memory: make an index on the field of event_time, or order by key"
CONFIGURATION: Mapping[int, tuple[str, str]] = {
    11: ("UserNotFound", _GRANTS), 13: ("Unauthorized", _GRANTS), 18: ("AuthenticationFailed", _GRANTS),
    20: ("IllegalOperation", _GRANTS), 26: ("NamespaceNotFound", _GRANTS), 31: ("RoleNotFound", _GRANTS),
    59: ("CommandNotFound", _VERSION), 71: ("ReplicaSetNotFound", _GRANTS), 72: ("InvalidOptions", _VERSION),
    73: ("InvalidNamespace", "the names of `database` and `collection` must be those of the server"),
    76: ("NoReplicationEnabled", _GRANTS), 93: ("InvalidReplicaSetConfig", _GRANTS),
    108: ("InconsistentReplicaSetNames", "`replica_set` must be the name that the server says"),
    115: ("CommandNotSupported", _GRANTS), 123: ("NotAReplicaSet", _GRANTS), 140: ("InvalidSSLConfiguration", "see `tls`"),
    141: ("SSLHandshakeFailed", "see `tls`"), 148: ("ReadConcernMajorityNotEnabled", "the server must allow read concern majority"),
    166: ("CommandNotSupportedOnView", _NOT_READABLE), 167: ("OptionNotSupportedOnView", _NOT_READABLE),
    168: ("InvalidPipelineOperator", _VERSION), 214: ("AuthenticationRestrictionUnmet", _GRANTS),
    224: ("QueryFeatureNotAllowed", _VERSION), 235: ("InternalErrorNotSupported", _VERSION), 238: ("NotImplemented", _VERSION),
    292: ("QueryExceededMemoryLimitNoDiskUseAllowed", _SORT), 322: ("APIVersionError", _VERSION),
    323: ("APIStrictError", _VERSION), 334: ("MechanismUnavailable", _GRANTS), 347: ("APIMismatchError", _VERSION),
    352: ("UnsupportedOpQueryCommand", _VERSION), 376: ("ChangeStreamNotEnabled", _GRANTS),
    390: ("InvalidSignature", _GRANTS), 392: ("InvalidJWT", _GRANTS), 404: ("LDAPRoleAcquisitionError", _GRANTS),
    411: ("QueryRejectedBySettings", _GRANTS), 8000: ("AtlasError", _GRANTS), 17124: ("no oplog", _GRANTS),
    40324: ("an unknown pipeline stage", _VERSION), 40573: ("$changeStream without a replica set", _GRANTS),
}  # fmt: skip
"""Only a person can help: privileges, versions, names."""


class UnknownCodeError(TransientError):
    """A code that the tables do not hold."""


class TooLargeError(TransientError):
    """A change event that the server cannot send, since it has more than 16 MB."""


class translated:  # noqa: N801 - reads as a word at its place: with translated()
    """Turns the driver's errors into ours; messages that could quote a document are left out."""

    def __init__(self, *, opening: bool = False) -> None:
        """`opening`: a stream is opened with a resume token, so more codes mean a dead position."""
        self._opening = opening

    def __enter__(self) -> None:
        """Nothing to prepare."""

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, DriverConfigurationError | InvalidName | InvalidURI):
            raise ConfigurationError([f"MongoDB: {error}"]) from None
        if isinstance(error, OperationFailure):
            raise translate_error(error, opening=self._opening) from None
        if isinstance(error, PyMongoError | BSONError):
            raise TransientError(f"MongoDB: {type(error).__name__}") from None


def translate_error(error: OperationFailure, *, opening: bool) -> Exception:
    """Our error for a server's refusal; `opening` as above."""
    code = error.code or 0
    if code == TOO_LARGE:
        return TooLargeError(f"MongoDB cannot send a change event of more than 16 MB (code {code})")
    if code in DEAD or (opening and code in DEAD_AT_OPENING):
        name = DEAD.get(code) or DEAD_AT_OPENING[code]
        return PositionDeadError(f"MongoDB no longer has the saved position (code {code}, {name})")
    if code in CONFIGURATION:
        name, remedy = CONFIGURATION[code]
        return ConfigurationError([f"MongoDB refuses (code {code}, {name}); {remedy}"])
    if error.has_error_label("NonResumableChangeStreamError"):
        return PositionDeadError(f"MongoDB says that the change stream cannot continue (code {code})")
    if code in TRANSIENT or error.has_error_label("ResumableChangeStreamError"):
        return TransientError(f"MongoDB: code {code} ({TRANSIENT.get(code, 'resumable')})")
    return UnknownCodeError(f"MongoDB: code {code}, which Tillguard does not know; the server's log says more")
