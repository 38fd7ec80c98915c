"""The model registry: what was trained, where its package lies, what serves and why. SQLAlchemy tables and files.

Invariant: a row in `models` means a whole package on disk, with all its attachments. The files are on the disk under names of
their own before the rows are inserted, and get their names in that same transaction. So of two processes that register one
version the loser touches no file, and a kill at any moment leaves either nothing or a complete model.
"""

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from types import MappingProxyType
from typing import Literal

import msgspec
import sqlalchemy as sa

from contract.clock import from_epoch_ms, to_epoch_ms
from contract.errors import PackageRefusedError, PinnedError, ServingChangedError
from contract.models import PACKAGE_BYTES_MAX, ChallengeMode, Manifest
from contract.package import is_version, read_package
from runtime import atomic_file
from runtime.atomic_file import translate_disk_errors
from runtime.database import Database
from runtime.locks import HeldLock
from trainer.registry.serving_state import find_challenger, find_serving_version, pin_objection
from trainer.registry.tables import (
    ATTACHMENTS,
    ATTEMPTS,
    CHALLENGES,
    MODELS,
    PINS,
    PROMOTIONS,
    Attachment,
    Challenge,
    Entry,
    Pin,
    Promotion,
    PromotionKind,
    ServingRevision,
    Tried,
)

__all__ = [
    "Attachment",
    "Challenge",
    "Entry",
    "Pin",
    "Promotion",
    "PromotionKind",
    "Registry",
    "ServingRevision",
    "Tried",
]

Lock = Literal["trainer", "training", "standing"]
NO_ATTACHMENTS: Mapping[str, bytes] = MappingProxyType({})
ROWS_MAX = 1_000
REASON_MAX = 256
ATTEMPT_REASON_MAX = 512
SOURCE_MAX = 128
ATTEMPTS_MAX = 1_000
"""Kept of each retailer."""
_WHAT = "the model registry"
_ATTACHMENT_NAME = re.compile(r"[a-z][a-z0-9_]{0,31}")


class Registry:
    """The registry of all retailers that share its database; used by one thread, by any number of processes."""

    def __init__(self, url: str, directory: Path) -> None:
        """Opens it and brings its tables up to date; `url` is SQLAlchemy's, `directory` holds the packages.

        Raises ConfigurationError for a URL that cannot be used, TransientError where the database does not answer.
        """
        self._directory = directory.absolute()
        self._database = Database(url, setting="trainer.registry_url", what="the model registry's database")
        with translate_disk_errors(_WHAT):
            self._directory.mkdir(parents=True, exist_ok=True)
            atomic_file.remove_leftovers(self._directory)
        self._database.upgrade("trainer.registry:migrations", lock="registry")

    def close(self) -> None:
        """Gives the database connections back."""
        self._database.close()

    def add(self, package: bytes, attachments: Mapping[str, bytes] = NO_ATTACHMENTS) -> Entry:
        """Registers a package and what belongs next to it, by name; the same again changes nothing.

        Attachments never go to workers. Names in use: `network` (what a warm start continues from), `profile` (what drift
        is measured against). Raises PackageRefusedError for a bad package or attachment, or a version that is taken by
        another package or other attachments; TransientError; and TillguardError where the disk cannot take it.
        """
        content = read_package(package)
        manifest = content.manifest
        _check_attachments(attachments)
        known = self.find(manifest.retailer, manifest.model_version)
        if known is None:
            file = self._file(manifest.retailer, manifest.model_version)
            contents = {file: package} | {_beside(file, name): data for name, data in attachments.items()}
            with translate_disk_errors(_WHAT), atomic_file.Staged(contents) as staged:
                self._insert(manifest, content.sha256, len(package), attachments, staged)
            known = self.find(manifest.retailer, manifest.model_version)
        if known is None or known.package_sha256 != content.sha256:
            raise PackageRefusedError("format", f"model_version {manifest.model_version} is taken by another package")
        registered = {attachment.name: attachment.sha256 for attachment in self.list_attachments(known)}
        for name, data in attachments.items():
            if registered.get(name) != _sha256(data):
                raise PackageRefusedError("format", f"model_version {manifest.model_version} has another {name}")
        return known

    def find(self, retailer: str, model_version: str) -> Entry | None:
        """The model, or None where it was never completely registered. Raises TransientError."""
        chosen = (MODELS.c.retailer == retailer) & (MODELS.c.model_version == model_version)
        entries = self._entries(MODELS.select().where(chosen))
        return entries[0] if entries else None

    def list_models(self, retailer: str, limit: int = ROWS_MAX) -> Sequence[Entry]:
        """The retailer's newest models, newest first. Raises TransientError."""
        newest = MODELS.select().where(MODELS.c.retailer == retailer).order_by(MODELS.c.created_ms.desc())
        return self._entries(newest.limit(limit))

    def hold(
        self, name: Lock, retailer: str, *, wait_s: float = 0.0, waits: Callable[[str], None] | None = None
    ) -> HeldLock:
        """The retailer's one `trainer` process, its one `training` or one change of its `standing` at a time; see runtime.locks.take.

        Raises LockBusyError, TransientError.
        """
        return self._database.hold(f"{name}-{retailer}", wait_s=wait_s, waits=waits)

    def read_package(self, entry: Entry) -> bytes:
        """The model's package, checked; raises PackageRefusedError where the file is gone or damaged."""
        return _checked(entry.file, entry.package_sha256)

    def find_damage(self, entry: Entry) -> str | None:
        """Why the model's package cannot be used, in a sentence; None where it is whole."""
        try:
            self.read_package(entry)
        except PackageRefusedError as error:
            return error.detail
        return None

    def restore(self, entry: Entry, package: bytes) -> None:
        """Puts back a package whose file is gone or damaged; raises PackageRefusedError where it is not the one that was registered."""
        if _sha256(package) != entry.package_sha256:
            raise PackageRefusedError(
                "checksum", f"{entry.manifest.model_version}: another package than the registered one"
            )
        with translate_disk_errors(_WHAT):
            atomic_file.write(entry.file, package)

    def list_attachments(self, entry: Entry) -> Sequence[Attachment]:
        """What lies next to the model's package, by name. Raises TransientError."""
        chosen = ATTACHMENTS.select().where(ATTACHMENTS.c.model_version == entry.manifest.model_version)
        with self._database.begin() as connection:
            rows = connection.execute(chosen.order_by(ATTACHMENTS.c.name)).all()
        return [Attachment(row.name, row.sha256, row.bytes, _beside(entry.file, row.name)) for row in rows]

    def read_attachment(self, entry: Entry, name: str) -> bytes | None:
        """The attachment, checked; None where the model was registered without it.

        Raises PackageRefusedError where the file is gone or damaged, TransientError.
        """
        for known in self.list_attachments(entry):
            if known.name == name:
                return _checked(known.file, known.sha256)
        return None

    def list_promotions(self, retailer: str, limit: int = ROWS_MAX) -> Sequence[Promotion]:
        """The retailer's promotions, newest first. Raises TransientError."""
        newest = PROMOTIONS.select().where(PROMOTIONS.c.retailer == retailer)
        with self._database.begin() as connection:
            rows = connection.execute(newest.order_by(PROMOTIONS.c.promotion_id.desc()).limit(limit)).all()
        return [
            Promotion(
                row.model_version,
                from_epoch_ms(row.promoted_ms),
                row.promoted_by,
                bool(row.confirmed),
                row.kind,
                row.reason,
            )
            for row in rows
        ]

    def find_serving(self, retailer: str) -> Entry | None:
        """The model of the newest confirmed promotion. Raises TransientError."""
        version = find_serving_version(self.list_promotions(retailer))
        return None if version is None else self.find(retailer, version)

    def mark(self, retailer: str) -> ServingRevision:
        """Where promotions stand; to be read before the model that serves. Raises TransientError."""
        with self._database.begin() as connection:
            return _mark(connection, retailer)

    def begin_promotion(
        self,
        entry: Entry,
        at: datetime,
        by: str,
        kind: PromotionKind = "manual",
        reason: str = "",
        *,
        since: ServingRevision | None = None,
    ) -> int:
        """Notes the intent before anything is sent, so that a kill in between shows; gives its number.

        `since`: only if nothing was promoted since then. While the retailer's `standing` is held, nothing can come in between.
        Raises PinnedError for a training's promotion while the retailer is pinned, ServingChangedError; then nothing is noted.
        """
        retailer = entry.manifest.retailer
        row = {"retailer": retailer, "model_version": entry.manifest.model_version, "promoted_ms": to_epoch_ms(at)}
        row |= {"promoted_by": by, "confirmed": False, "kind": kind, "reason": reason[:REASON_MAX]}
        with self._database.begin() as connection:
            objection = pin_objection(_open_pin(connection, retailer)) if kind == "trained" else None
            if objection is not None:
                raise PinnedError(objection)
            if since is not None and _mark(connection, retailer) != since:
                raise ServingChangedError(f"{retailer}: another model was put in service meanwhile; see `models list`")
            return _number(connection.execute(PROMOTIONS.insert().values(row)))

    def confirm_promotion(self, promotion_id: int) -> None:
        """Kafka has the promotion; raises TransientError."""
        chosen = PROMOTIONS.c.promotion_id == promotion_id
        with self._database.begin() as connection:
            connection.execute(PROMOTIONS.update().where(chosen).values(confirmed=True))

    def pin(self, entry: Entry, at: datetime, by: str, reason: str = "") -> None:
        """From now on no training puts its model in service by itself; a pin that stands is replaced."""
        row = {"retailer": entry.manifest.retailer, "model_version": entry.manifest.model_version}
        row |= {"pinned_by": by, "reason": reason[:REASON_MAX]}
        with self._database.begin() as connection:
            _release(connection, entry.manifest.retailer, at, by)
            connection.execute(PINS.insert().values(**row, pinned_ms=to_epoch_ms(at)))

    def unpin(self, retailer: str, at: datetime, by: str) -> bool:
        """Lets trainings put their models in service again; False where nothing was pinned. Raises TransientError."""
        with self._database.begin() as connection:
            return _release(connection, retailer, at, by)

    def find_pin(self, retailer: str) -> Pin | None:
        """The pin that stands. Raises TransientError."""
        with self._database.begin() as connection:
            return _open_pin(connection, retailer)

    def begin_challenge(
        self, retailer: str, entry: Entry | None, at: datetime, by: str, *, mode: ChallengeMode, share: float
    ) -> int:
        """Notes that `entry` (None: no model) is to run next to the serving model, before that is sent; gives its number."""
        version = None if entry is None else entry.manifest.model_version
        row = {"retailer": retailer, "model_version": version, "mode": mode, "share": share, "decided_by": by}
        with self._database.begin() as connection:
            return _number(
                connection.execute(CHALLENGES.insert().values(**row, decided_ms=to_epoch_ms(at), confirmed=False))
            )

    def confirm_challenge(self, challenge_id: int) -> None:
        """Kafka has the challenge; raises TransientError."""
        chosen = CHALLENGES.c.challenge_id == challenge_id
        with self._database.begin() as connection:
            connection.execute(CHALLENGES.update().where(chosen).values(confirmed=True))

    def list_challenges(self, retailer: str, limit: int = ROWS_MAX) -> Sequence[Challenge]:
        """The retailer's challenges, newest first. Raises TransientError."""
        newest = CHALLENGES.select().where(CHALLENGES.c.retailer == retailer)
        with self._database.begin() as connection:
            rows = connection.execute(newest.order_by(CHALLENGES.c.challenge_id.desc()).limit(limit)).all()
        return [
            Challenge(
                row.model_version,
                row.mode,
                row.share,
                from_epoch_ms(row.decided_ms),
                row.decided_by,
                bool(row.confirmed),
            )
            for row in rows
        ]

    def find_challenger(self, retailer: str) -> Challenge | None:
        """What runs next to the serving model, if anything does. Raises TransientError."""
        return find_challenger(self.list_challenges(retailer))

    def note_attempt(self, retailer: str, tried: Tried) -> None:
        """Writes down what became of a training, and forgets what is older than the newest ATTEMPTS_MAX. Raises TransientError."""
        row = {"retailer": retailer, "ended_ms": to_epoch_ms(tried.ended_at), "outcome": tried.outcome}
        row |= {"reason": tried.reason[:ATTEMPT_REASON_MAX], "model_version": tried.model_version, "base": tried.base}
        row |= {"figures": msgspec.json.encode(tried.figures).decode(), "source": tried.source[:SOURCE_MAX]}
        mine = ATTEMPTS.c.retailer == retailer
        kept = sa.select(ATTEMPTS.c.attempt_id).where(mine).order_by(ATTEMPTS.c.attempt_id.desc())
        with self._database.begin() as connection:
            connection.execute(ATTEMPTS.insert().values(row))
            last = connection.execute(kept.offset(ATTEMPTS_MAX).limit(1)).scalar()
            if last is not None:
                connection.execute(ATTEMPTS.delete().where(mine & (ATTEMPTS.c.attempt_id <= last)))

    def list_attempts(self, retailer: str, limit: int = ROWS_MAX) -> Sequence[Tried]:
        """What became of the retailer's trainings, newest first. Raises TransientError."""
        newest = ATTEMPTS.select().where(ATTEMPTS.c.retailer == retailer).order_by(ATTEMPTS.c.attempt_id.desc())
        with self._database.begin() as connection:
            rows = connection.execute(newest.limit(limit)).all()
        return [
            Tried(
                from_epoch_ms(row.ended_ms),
                row.outcome,
                row.reason,
                row.model_version,
                row.base,
                msgspec.json.decode(row.figures, type=dict[str, float]),
                row.source,
            )
            for row in rows
        ]

    def _entries(self, query: sa.Select[tuple[object, ...]]) -> list[Entry]:
        with self._database.begin() as connection:
            rows = connection.execute(query).all()
        return [
            Entry(
                msgspec.json.decode(row.manifest, type=Manifest),
                row.package_sha256,
                row.package_bytes,
                self._file(row.retailer, row.model_version),
            )
            for row in rows
        ]

    def _file(self, retailer: str, model_version: str) -> Path:
        if not is_version(model_version):
            raise PackageRefusedError("format", "model_version is no safe file name")
        return self._directory / retailer / f"{model_version}.zip"

    def _insert(
        self,
        manifest: Manifest,
        sha256: str,
        size: int,
        attachments: Mapping[str, bytes],
        staged: atomic_file.Staged,
    ) -> None:
        """Registers the version, unless another process does so in this moment."""
        row: dict[str, object] = {"model_version": manifest.model_version, "retailer": manifest.retailer}
        row |= {"package_sha256": sha256}
        row |= {"created_ms": to_epoch_ms(manifest.created_at), "package_bytes": size}
        row["manifest"] = msgspec.json.encode(manifest).decode()
        kept = [
            {"model_version": manifest.model_version, "name": name, "sha256": _sha256(data), "bytes": len(data)}
            for name, data in attachments.items()
        ]
        with suppress(_TakenError), self._database.begin() as connection:
            try:
                connection.execute(MODELS.insert().values(row))
            except sa.exc.IntegrityError:
                raise _TakenError from None
            if kept:
                connection.execute(ATTACHMENTS.insert(), kept)
            staged.settle()


class _TakenError(Exception):
    """The version is registered already; ends the transaction that found out."""


def _mark(connection: sa.Connection, retailer: str) -> ServingRevision:
    c = PROMOTIONS.c
    mine = sa.select(sa.func.max(c.promotion_id)).where(c.retailer == retailer)
    return ServingRevision(connection.scalar(mine), connection.scalar(mine.where(c.confirmed.is_(True))))


def _number(done: sa.CursorResult[tuple[object, ...]]) -> int:
    key = done.inserted_primary_key
    return int(key[0]) if key else 0


def _open_pin(connection: sa.Connection, retailer: str) -> Pin | None:
    chosen = PINS.select().where((PINS.c.retailer == retailer) & PINS.c.released_ms.is_(None))
    row = connection.execute(chosen.order_by(PINS.c.pin_id.desc()).limit(1)).first()
    return None if row is None else Pin(row.model_version, from_epoch_ms(row.pinned_ms), row.pinned_by, row.reason)


def _release(connection: sa.Connection, retailer: str, at: datetime, by: str) -> bool:
    chosen = (PINS.c.retailer == retailer) & PINS.c.released_ms.is_(None)
    released = PINS.update().where(chosen).values(released_ms=to_epoch_ms(at), released_by=by)
    return connection.execute(released).rowcount > 0


def _check_attachments(attachments: Mapping[str, bytes]) -> None:
    for name, data in attachments.items():
        if _ATTACHMENT_NAME.fullmatch(name) is None:
            raise PackageRefusedError(
                "format", "an attachment's name is a small letter, then small letters, digits, underscores"
            )
        if len(data) > PACKAGE_BYTES_MAX:
            raise PackageRefusedError("format", f"attachment {name}: {len(data)} bytes, at most {PACKAGE_BYTES_MAX}")


def _beside(file: Path, name: str) -> Path:
    """A version may hold dots and a name none, so no two attachments share a file."""
    return file.with_name(f"{file.name.removesuffix('.zip')}.{name}.attachment")


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _checked(file: Path, sha256: str) -> bytes:
    try:
        data = file.read_bytes()
    except OSError as error:
        raise PackageRefusedError("format", f"{file} cannot be read: {error.strerror}") from None
    if _sha256(data) != sha256:
        raise PackageRefusedError("checksum", f"{file} is not the file that was registered")
    return data
