"""The model registry: what was trained, where its package lies, what was promoted. SQLAlchemy tables and files.

Invariant: a row in `models` means a whole package on disk, with all its attachments. The files are written (see
trainer.package_files) before the rows are inserted in one transaction, so a kill at any moment leaves either nothing or a
complete model.
"""

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import msgspec
import sqlalchemy as sa

from contract.clock import epoch_ms, from_epoch_ms
from contract.errors import ConfigurationError, PackageRefusedError, TransientError
from contract.models import PACKAGE_BYTES_MAX, Manifest
from contract.package import is_version, read_package
from trainer import database, package_files

NO_ATTACHMENTS: Mapping[str, bytes] = MappingProxyType({})
_ATTACHMENT_NAME = re.compile(r"[a-z][a-z0-9_]{0,31}")
_METADATA = sa.MetaData()

_MODELS = sa.Table(
    "models",
    _METADATA,
    sa.Column("model_version", sa.String(128), primary_key=True),
    sa.Column("retailer", sa.String(48)),
    sa.Column("created_ms", sa.BigInteger),
    sa.Column("package_sha256", sa.String(64)),
    sa.Column("package_bytes", sa.BigInteger),
    sa.Column("manifest", sa.Text),
)
_ATTACHMENTS = sa.Table(
    "attachments",
    _METADATA,
    sa.Column("model_version", sa.String(128), primary_key=True),
    sa.Column("name", sa.String(32), primary_key=True),
    sa.Column("sha256", sa.String(64)),
    sa.Column("bytes", sa.BigInteger),
)
_PROMOTIONS = sa.Table(
    "promotions",
    _METADATA,
    sa.Column("promotion_id", sa.Integer, primary_key=True),
    sa.Column("retailer", sa.String(48)),
    sa.Column("model_version", sa.String(128)),
    sa.Column("promoted_ms", sa.BigInteger),
    sa.Column("promoted_by", sa.String(128)),
    sa.Column("confirmed", sa.Boolean),
)


class Entry(NamedTuple):
    """One registered model."""

    manifest: Manifest
    package_sha256: str
    package_bytes: int
    file: Path


class Attachment(NamedTuple):
    """One file beside a package."""

    name: str
    sha256: str
    bytes: int
    file: Path


class Promotion(NamedTuple):
    """One model put in service, or meant to be."""

    model_version: str
    promoted_at: datetime
    promoted_by: str
    confirmed: bool
    """False: the trainer was stopped before Kafka confirmed it; promote the version again."""


class Registry:
    """The registry of all retailers that share its database; used by one thread, by any number of processes."""

    def __init__(self, url: str, directory: Path) -> None:
        """Opens it and brings its tables up to date; `url` is SQLAlchemy's, `directory` holds the packages.

        Raises ConfigurationError for a URL that cannot be used, TransientError where the database does not answer.
        """
        self._directory = directory.absolute()
        try:
            self._engine = sa.create_engine(url, pool_pre_ping=True)
        except (sa.exc.ArgumentError, sa.exc.NoSuchModuleError, ModuleNotFoundError):
            raise ConfigurationError(["trainer.registry_url: not a SQLAlchemy URL with an installed driver"]) from None
        with package_files.disk_faults():
            self._directory.mkdir(parents=True, exist_ok=True)
            if self._engine.dialect.name == "sqlite" and self._engine.url.database:
                Path(self._engine.url.database).absolute().parent.mkdir(parents=True, exist_ok=True)
            package_files.remove_leftovers(self._directory)
        with self._connection() as connection, database.migration_lock(connection, "registry"):
            database.upgrade(connection, "trainer:migrations")

    def close(self) -> None:
        """Gives the database connections back."""
        self._engine.dispose()

    def add(self, package: bytes, attachments: Mapping[str, bytes] = NO_ATTACHMENTS) -> Entry:
        """Registers a package and what belongs beside it, by name; the same again changes nothing.

        Attachments never go to workers. Names in use: `network` (what a warm start goes on from), `profile` (what drift
        is measured against). Raises PackageRefusedError for a bad package or attachment, or a version that is taken by
        another package or other attachments; TransientError; and TillguardError where the disk cannot take it.
        """
        content = read_package(package)
        manifest = content.manifest
        _check_attachments(attachments)
        known = self.find(manifest.retailer, manifest.model_version)
        if known is None:
            file = self._file(manifest.retailer, manifest.model_version)
            for name, data in attachments.items():
                package_files.write(_beside(file, name), data)
            package_files.write(file, package)
            self._insert(manifest, content.sha256, len(package), attachments)
            known = self.find(manifest.retailer, manifest.model_version)
        if known is None or known.package_sha256 != content.sha256:
            raise PackageRefusedError("format", f"model_version {manifest.model_version} is taken by another package")
        registered = {attachment.name: attachment.sha256 for attachment in self.attachments(known)}
        for name, data in attachments.items():
            if registered.get(name) != _sha256(data):
                raise PackageRefusedError("format", f"model_version {manifest.model_version} has another {name}")
        return known

    def attachments(self, entry: Entry) -> Sequence[Attachment]:
        """What lies beside the model's package, by name. Raises TransientError."""
        chosen = _ATTACHMENTS.select().where(_ATTACHMENTS.c.model_version == entry.manifest.model_version)
        with self._connection() as connection:
            rows = connection.execute(chosen.order_by(_ATTACHMENTS.c.name)).all()
        return [Attachment(row.name, row.sha256, row.bytes, _beside(entry.file, row.name)) for row in rows]

    def attachment(self, entry: Entry, name: str) -> bytes | None:
        """The attachment, checked; None where the model was registered without it.

        Raises PackageRefusedError where the file is gone or damaged, TransientError.
        """
        for known in self.attachments(entry):
            if known.name == name:
                return _checked(known.file, known.sha256)
        return None

    def find(self, retailer: str, model_version: str) -> Entry | None:
        """The model, or None where it was never completely registered. Raises TransientError."""
        chosen = (_MODELS.c.retailer == retailer) & (_MODELS.c.model_version == model_version)
        entries = self._entries(_MODELS.select().where(chosen))
        return entries[0] if entries else None

    def models(self, retailer: str, limit: int = 1_000) -> Sequence[Entry]:
        """The retailer's newest models, newest first. Raises TransientError."""
        newest = _MODELS.select().where(_MODELS.c.retailer == retailer).order_by(_MODELS.c.created_ms.desc())
        return self._entries(newest.limit(limit))

    def package(self, entry: Entry) -> bytes:
        """The model's package, checked; raises PackageRefusedError where the file is gone or damaged."""
        return _checked(entry.file, entry.package_sha256)

    def promotions(self, retailer: str, limit: int = 1_000) -> Sequence[Promotion]:
        """The retailer's promotions, newest first. Raises TransientError."""
        newest = _PROMOTIONS.select().where(_PROMOTIONS.c.retailer == retailer)
        with self._connection() as connection:
            rows = connection.execute(newest.order_by(_PROMOTIONS.c.promotion_id.desc()).limit(limit)).all()
        return [
            Promotion(row.model_version, from_epoch_ms(row.promoted_ms), row.promoted_by, bool(row.confirmed))
            for row in rows
        ]

    def serving(self, retailer: str) -> Entry | None:
        """The model of the newest confirmed promotion. Raises TransientError."""
        confirmed = [promotion for promotion in self.promotions(retailer) if promotion.confirmed]
        return self.find(retailer, confirmed[0].model_version) if confirmed else None

    def begin_promotion(self, entry: Entry, at: datetime, by: str) -> int:
        """Notes the intent before anything is sent, so that a kill in between shows; gives its number."""
        with self._connection() as connection:
            done = connection.execute(
                _PROMOTIONS.insert().values(
                    retailer=entry.manifest.retailer,
                    model_version=entry.manifest.model_version,
                    promoted_ms=epoch_ms(at),
                    promoted_by=by,
                    confirmed=False,
                )
            )
        key = done.inserted_primary_key
        return int(key[0]) if key else 0

    def confirm_promotion(self, promotion_id: int) -> None:
        """Kafka has the promotion; raises TransientError."""
        chosen = _PROMOTIONS.c.promotion_id == promotion_id
        with self._connection() as connection:
            connection.execute(_PROMOTIONS.update().where(chosen).values(confirmed=True))

    def _entries(self, query: sa.Select[tuple[object, ...]]) -> list[Entry]:
        with self._connection() as connection:
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

    def _insert(self, manifest: Manifest, sha256: str, size: int, attachments: Mapping[str, bytes]) -> None:
        with self._connection() as connection:
            connection.execute(
                _MODELS.insert().values(
                    model_version=manifest.model_version,
                    retailer=manifest.retailer,
                    created_ms=epoch_ms(manifest.created_at),
                    package_sha256=sha256,
                    package_bytes=size,
                    manifest=msgspec.json.encode(manifest).decode(),
                )
            )
            for name, data in attachments.items():
                row = {"model_version": manifest.model_version, "name": name}
                connection.execute(_ATTACHMENTS.insert().values(**row, sha256=_sha256(data), bytes=len(data)))

    @contextmanager
    def _connection(self) -> Iterator[sa.Connection]:
        try:
            with self._engine.begin() as connection:
                yield connection
        except sa.exc.DBAPIError as error:
            # The driver's own text may repeat the URL; its class says enough.
            raise TransientError(f"the model registry's database failed: {type(error.orig).__name__}") from None


def _check_attachments(attachments: Mapping[str, bytes]) -> None:
    for name, data in attachments.items():
        if _ATTACHMENT_NAME.fullmatch(name) is None:
            raise PackageRefusedError(
                "format", "an attachment's name is a small letter, then letters, digits, underscores"
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
