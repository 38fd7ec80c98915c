"""The registry on a real file system and real databases."""

import os
import random
import signal
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from contract.errors import (
    ConfigurationError,
    PackageRefusedError,
    PinnedError,
    ServingChangedError,
    TillguardError,
    TransientError,
)
from runtime.atomic_file import LEFTOVER_AGE_S
from runtime.locks import LockBusyError
from support.tiny_model import tiny_package
from trainer.registry.registry import Registry, Tried
from trainer.registry.tables import METADATA

NOW = datetime(2026, 5, 1, tzinfo=UTC)
REPOSITORY = Path(__file__).parents[3]
ADDING = """
import sys
from pathlib import Path
from support.tiny_model import tiny_package
from trainer.registry.registry import Registry
registry = Registry(sys.argv[1], Path(sys.argv[2]))
print("open", flush=True)
padding = {f"p{number}": "x" * 1_000 for number in range(900)}
for number in range(10_000):
    registry.add(tiny_package(f"m-{sys.argv[3]}-{number}", parameters=padding), {"profile": str(number).encode() * 9_000})
    print(number, flush=True)
"""


HOLDING = """
import sys
from pathlib import Path
from trainer.registry.registry import Registry
held = Registry(sys.argv[1], Path(sys.argv[2])).hold("trainer", "shop")
print("held", flush=True)
sys.stdin.read()
"""


def url_in(folder: Path) -> str:
    return f"sqlite:///{folder / 'registry.db'}"


@pytest.fixture
def registry(tmp_path: Path) -> Any:
    opened = Registry(url_in(tmp_path), tmp_path / "packages")
    yield opened
    opened.close()


def started(script: str, *arguments: str) -> subprocess.Popen[str]:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(REPOSITORY), str(REPOSITORY / "tests")])}
    command = [sys.executable, "-c", script, *arguments]
    return subprocess.Popen(
        command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def test_a_registered_model_is_found_with_its_very_bytes(registry: Registry) -> None:
    package = tiny_package("m-1")
    entry = registry.add(package)
    assert registry.read_package(entry) == package
    assert registry.find("shop", "m-1") == entry
    assert [known.manifest.model_version for known in registry.list_models("shop")] == ["m-1"]


def test_registering_it_again_changes_nothing(registry: Registry) -> None:
    assert registry.add(tiny_package("m-1")) == registry.add(tiny_package("m-1"))
    assert len(registry.list_models("shop")) == 1


def test_a_version_is_never_given_to_another_package(registry: Registry) -> None:
    first = registry.add(tiny_package("m-1"))
    with pytest.raises(PackageRefusedError, match="taken"):
        registry.add(tiny_package("m-1", bias=-2.0))
    assert registry.read_package(first) == tiny_package("m-1")


def test_retailers_see_their_own_models_only(registry: Registry) -> None:
    registry.add(tiny_package("m-1", retailer="shop"))
    registry.add(tiny_package("m-2", retailer="other"))
    assert [entry.manifest.model_version for entry in registry.list_models("other")] == ["m-2"]
    assert registry.find("other", "m-1") is None


def test_a_damaged_or_vanished_file_is_refused_by_name(registry: Registry) -> None:
    entry = registry.add(tiny_package("m-1"))
    entry.file.write_bytes(entry.file.read_bytes()[:-1] + b"?")
    with pytest.raises(PackageRefusedError, match="not the file that was registered"):
        registry.read_package(entry)
    entry.file.unlink()
    with pytest.raises(PackageRefusedError, match="No such file"):
        registry.read_package(entry)


def test_what_lies_beside_a_package_comes_back_as_it_was(registry: Registry) -> None:
    entry = registry.add(tiny_package("m-1"), {"network": b"weights", "profile": b"edges"})
    assert registry.read_attachment(entry, "network") == b"weights"
    assert registry.read_attachment(entry, "profile") == b"edges"
    assert registry.read_attachment(entry, "other") is None
    assert registry.add(tiny_package("m-1"), {"network": b"weights"}) == entry
    assert [attachment.bytes for attachment in registry.list_attachments(entry)] == [7, 5]


def test_versions_and_names_never_share_a_file(registry: Registry) -> None:
    registry.add(tiny_package("m"), {"a": b"1"})
    registry.add(tiny_package("m.a"), {"a": b"2", "b": b"3"})
    first, second = registry.find("shop", "m"), registry.find("shop", "m.a")
    assert first is not None
    assert second is not None
    assert registry.read_attachment(first, "a") == b"1"
    assert [registry.read_attachment(second, name) for name in "ab"] == [b"2", b"3"]


def test_a_version_keeps_its_attachments_and_names_are_safe_for_files(registry: Registry) -> None:
    registry.add(tiny_package("m-1"), {"profile": b"edges"})
    with pytest.raises(PackageRefusedError, match="has another profile"):
        registry.add(tiny_package("m-1"), {"profile": b"others"})
    with pytest.raises(PackageRefusedError, match="has another network"):
        registry.add(tiny_package("m-1"), {"network": b"late"})
    with pytest.raises(PackageRefusedError, match="name"):
        registry.add(tiny_package("m-2"), {"../profile": b"edges"})
    assert registry.find("shop", "m-2") is None


def test_a_damaged_or_vanished_attachment_is_refused_by_name(registry: Registry) -> None:
    entry = registry.add(tiny_package("m-1"), {"profile": b"edges"})
    file = registry.list_attachments(entry)[0].file
    file.write_bytes(b"edgez")
    with pytest.raises(PackageRefusedError, match="not the file that was registered"):
        registry.read_attachment(entry, "profile")
    file.unlink()
    with pytest.raises(PackageRefusedError, match="No such file"):
        registry.read_attachment(entry, "profile")


def test_a_disk_that_cannot_take_an_attachment_registers_nothing(
    tmp_path: Path, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runtime.atomic_file.secrets.token_hex", lambda _: "x")
    (tmp_path / "packages" / "shop").mkdir()
    (tmp_path / "packages" / "shop" / ".m-1.profile.attachment.x.partial").symlink_to("/dev/full")
    with pytest.raises(TillguardError, match="cannot be written: No space left on device"):
        registry.add(tiny_package("m-1"), {"profile": b"edges"})
    assert registry.find("shop", "m-1") is None


def test_the_serving_model_is_that_of_the_newest_confirmed_promotion(registry: Registry) -> None:
    one, two = registry.add(tiny_package("m-1")), registry.add(tiny_package("m-2"))
    assert registry.find_serving("shop") is None
    registry.confirm_promotion(registry.begin_promotion(one, NOW, "ann"))
    registry.begin_promotion(two, NOW, "ann")
    serving = registry.find_serving("shop")
    assert serving is not None
    assert serving.manifest.model_version == "m-1"
    assert [(p.model_version, p.confirmed) for p in registry.list_promotions("shop")] == [("m-2", False), ("m-1", True)]


def test_a_promotion_says_by_whom_how_and_why(registry: Registry) -> None:
    entry = registry.add(tiny_package("m-1"))
    registry.confirm_promotion(registry.begin_promotion(entry, NOW, "ann", "rollback", "too many false alarms"))
    (promotion,) = registry.list_promotions("shop")
    assert (promotion.promoted_by, promotion.kind, promotion.reason) == ("ann", "rollback", "too many false alarms")


def test_while_pinned_a_training_promotes_nothing_and_a_person_may(registry: Registry) -> None:
    one, two = registry.add(tiny_package("m-1")), registry.add(tiny_package("m-2"))
    registry.pin(one, NOW, "ann", "audit")
    with pytest.raises(PinnedError, match=r"m-1 was pinned by ann on 2026-05-01 00:00 UTC: audit; .*unpin"):
        registry.begin_promotion(two, NOW, "trainer", "trained")
    assert registry.list_promotions("shop") == []
    registry.begin_promotion(two, NOW, "ann", "manual")
    assert registry.unpin("shop", NOW, "bob")
    assert not registry.unpin("shop", NOW, "bob")
    assert registry.find_pin("shop") is None
    registry.begin_promotion(two, NOW, "trainer", "trained")
    assert [promotion.kind for promotion in registry.list_promotions("shop")] == ["trained", "manual"]


def test_a_promotion_is_refused_where_another_came_since_the_models_were_compared(registry: Registry) -> None:
    old, bad, new = (registry.add(tiny_package(name)) for name in ("m-1", "m-2", "m-3"))
    for entry in (old, bad):
        registry.confirm_promotion(registry.begin_promotion(entry, NOW, "ann"))
    compared = registry.mark("shop")
    rollback = registry.begin_promotion(old, NOW, "ann", "rollback")
    with pytest.raises(ServingChangedError, match="meanwhile"):
        registry.begin_promotion(new, NOW, "trainer", "trained", since=compared)
    begun = registry.mark("shop")
    registry.confirm_promotion(rollback)
    with pytest.raises(ServingChangedError):
        registry.begin_promotion(new, NOW, "trainer", "trained", since=begun)
    assert [promotion.model_version for promotion in registry.list_promotions("shop")] == ["m-1", "m-2", "m-1"]
    registry.begin_promotion(new, NOW, "trainer", "trained", since=registry.mark("shop"))
    assert registry.list_promotions("shop")[0].model_version == "m-3"


def test_a_mark_is_one_retailers_own(registry: Registry) -> None:
    other = registry.add(tiny_package("o-1", retailer="other"))
    mark = registry.mark("shop")
    registry.confirm_promotion(registry.begin_promotion(other, NOW, "ann"))
    assert registry.mark("shop") == mark


def test_a_damaged_package_is_told_and_only_its_own_bytes_restore_it(registry: Registry) -> None:
    entry = registry.add(tiny_package("m-1"))
    assert registry.find_damage(entry) is None
    entry.file.write_bytes(entry.file.read_bytes()[:100])
    assert "not the file that was registered" in (registry.find_damage(entry) or "")
    with pytest.raises(PackageRefusedError, match="another package"):
        registry.restore(entry, tiny_package("m-1", bias=-2.0))
    registry.restore(entry, tiny_package("m-1"))
    assert registry.read_package(entry) == tiny_package("m-1")


def test_of_those_that_register_a_version_at_once_one_wins_wholly(tmp_path: Path) -> None:
    Registry(url_in(tmp_path), tmp_path / "packages").close()
    for number in range(5):
        version, together = f"m-{number}", threading.Barrier(4)
        refused: list[str] = []

        def register(bias: int, version: str = version, together: threading.Barrier = together) -> None:
            registry = Registry(url_in(tmp_path), tmp_path / "packages")
            package = tiny_package(version, bias=float(-bias))
            together.wait()
            try:
                registry.add(package, {"profile": str(bias).encode()})
            except PackageRefusedError as error:
                refused.append(error.detail)  # noqa: B023 - joined below
            registry.close()

        threads = [threading.Thread(target=register, args=(bias,)) for bias in range(1, 5)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(refused) == 3
        assert all("is taken by another package" in each for each in refused)
        registry = Registry(url_in(tmp_path), tmp_path / "packages")
        entry = registry.find("shop", version)
        assert entry is not None
        bias = registry.read_attachment(entry, "profile")
        assert registry.read_package(entry) == tiny_package(version, bias=-float(bias or b"0"))
        registry.close()
    assert not list(tmp_path.glob("packages/*/*.partial"))


def test_a_trainers_lock_is_held_once_says_by_whom_and_a_kill_frees_it(tmp_path: Path, registry: Registry) -> None:
    holder = started(HOLDING, url_in(tmp_path), str(tmp_path / "packages"))
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    with pytest.raises(LockBusyError, match=f"process {holder.pid} on ") as raised:
        registry.hold("trainer", "shop")
    assert "since 20" in raised.value.by
    with registry.hold("trainer", "other"), registry.hold("training", "shop") as mine:
        assert mine.is_still_held()
    waited: list[str] = []
    with pytest.raises(LockBusyError):
        registry.hold("trainer", "shop", wait_s=0.01, waits=waited.append)
    assert len(waited) == 1
    holder.kill()
    holder.communicate()
    with registry.hold("trainer", "shop", wait_s=30):
        pass


def test_a_pin_holds_one_retailer_and_the_newest_one_counts(registry: Registry) -> None:
    one, two = registry.add(tiny_package("m-1")), registry.add(tiny_package("m-2"))
    other = registry.add(tiny_package("o-1", retailer="other"))
    registry.pin(one, NOW, "ann")
    registry.pin(two, NOW, "bob", "x" * 1_000)
    pinned = registry.find_pin("shop")
    assert pinned is not None
    assert (pinned.model_version, pinned.pinned_by, len(pinned.reason)) == ("m-2", "bob", 256)
    assert registry.find_pin("other") is None
    registry.begin_promotion(other, NOW, "trainer", "trained")
    assert registry.unpin("shop", NOW, "bob")
    assert registry.find_pin("shop") is None


def test_the_challenger_is_that_of_the_newest_confirmed_challenge(registry: Registry) -> None:
    entry = registry.add(tiny_package("m-1"))
    assert registry.find_challenger("shop") is None
    number = registry.begin_challenge("shop", entry, NOW, "ann", mode="canary", share=0.05)
    assert registry.find_challenger("shop") is None
    registry.confirm_challenge(number)
    challenger = registry.find_challenger("shop")
    assert challenger is not None
    assert (challenger.model_version, challenger.mode, challenger.share) == ("m-1", "canary", 0.05)
    registry.confirm_challenge(registry.begin_challenge("shop", None, NOW, "ann", mode="shadow", share=0.0))
    assert registry.find_challenger("shop") is None
    assert len(registry.list_challenges("shop")) == 2


def test_promotions_from_before_kinds_were_kept_are_told_by_who_made_them(tmp_path: Path) -> None:
    from alembic import command
    from alembic.config import Config

    Registry(url_in(tmp_path), tmp_path / "packages").close()
    engine = sa.create_engine(url_in(tmp_path))
    with engine.begin() as connection:
        config = Config()
        config.set_main_option("script_location", "trainer.registry:migrations")
        config.attributes["connection"] = connection
        command.downgrade(config, "0002")
        for by in ("trainer", "ann"):
            row = f"'shop', 'm-1', 0, '{by}', 1"
            columns = "retailer, model_version, promoted_ms, promoted_by, confirmed"
            connection.execute(sa.text(f"INSERT INTO promotions ({columns}) VALUES ({row})"))
    engine.dispose()
    registry = Registry(url_in(tmp_path), tmp_path / "packages")
    assert [promotion.kind for promotion in registry.list_promotions("shop")] == ["manual", "trained"]
    registry.close()


def test_it_stands_again_after_reopening_and_migrating_twice_is_harmless(tmp_path: Path) -> None:
    first = Registry(url_in(tmp_path), tmp_path / "packages")
    first.add(tiny_package("m-1"))
    first.close()
    second = Registry(url_in(tmp_path), tmp_path / "packages")
    assert len(second.list_models("shop")) == 1
    second.close()


def test_what_became_of_each_training_is_kept_newest_first_and_bounded(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trainer.registry.registry.ATTEMPTS_MAX", 3)
    made = [
        Tried(NOW + timedelta(hours=number), "refused", "x" * 600, f"m-{number}", None, {"new": number / 10})
        for number in range(5)
    ]
    for each in made:
        registry.note_attempt("shop", each)
        registry.note_attempt("other", each)
    newest = [each._replace(reason="x" * 512) for each in reversed(made)]
    assert registry.list_attempts("shop") == newest[:3]
    assert registry.list_attempts("shop", limit=1) == newest[:1]
    assert registry.list_attempts("nobody") == []


def test_the_migrations_make_the_tables_that_the_code_reads(registry: Registry, tmp_path: Path) -> None:
    engine = sa.create_engine(url_in(tmp_path))
    inspected = sa.inspect(engine)
    for table in METADATA.tables.values():
        assert {column["name"] for column in inspected.get_columns(table.name)} == set(table.columns.keys())
    engine.dispose()


def test_migrations_can_be_taken_back(tmp_path: Path) -> None:
    from alembic import command
    from alembic.config import Config

    Registry(url_in(tmp_path), tmp_path / "packages").close()
    engine = sa.create_engine(url_in(tmp_path))
    with engine.begin() as connection:
        config = Config()
        config.set_main_option("script_location", "trainer.registry:migrations")
        config.attributes["connection"] = connection
        command.downgrade(config, "base")
    assert set(sa.inspect(engine).get_table_names()) == {"alembic_version"}
    engine.dispose()


def test_many_processes_may_open_it_for_the_first_time_at_once(tmp_path: Path) -> None:
    children = [started(ADDING, url_in(tmp_path), str(tmp_path / "packages"), str(number)) for number in range(3)]
    try:
        for child in children:
            assert child.stdout is not None
            assert child.stdout.readline() == "open\n", child.stderr.read() if child.stderr else ""
    finally:
        for child in children:
            child.kill()
            child.communicate()


def test_a_kill_at_any_moment_leaves_whole_models_only(tmp_path: Path, chance: random.Random) -> None:
    for run in range(3):
        child = started(ADDING, url_in(tmp_path), str(tmp_path / "packages"), str(run))
        assert child.stdout is not None
        assert [child.stdout.readline() for _ in range(2)] == ["open\n", "0\n"]
        deadline_s = time.monotonic() + chance.uniform(0.05, 0.5)
        while time.monotonic() < deadline_s:
            assert child.poll() is None
        child.send_signal(signal.SIGKILL)
        child.communicate()
    registry = Registry(url_in(tmp_path), tmp_path / "packages")
    assert len(registry.list_models("shop")) >= 3
    for entry in registry.list_models("shop"):
        assert len(registry.read_package(entry)) == entry.package_bytes
        assert registry.read_attachment(entry, "profile") == entry.manifest.model_version.split("-")[2].encode() * 9_000
    registry.add(tiny_package("after"))
    registry.close()


def test_what_a_killed_trainer_left_half_written_is_removed_once_it_is_old(tmp_path: Path) -> None:
    folder = tmp_path / "packages" / "shop"
    folder.mkdir(parents=True)
    old, young = folder / ".m.1.partial", folder / ".m.2.partial"
    old.touch()
    young.touch()
    long_ago = time.time() - LEFTOVER_AGE_S - 1
    os.utime(old, (long_ago, long_ago))
    Registry(url_in(tmp_path), tmp_path / "packages").close()
    assert [file.name for file in folder.iterdir()] == [".m.2.partial"]


def test_a_full_disk_is_one_clear_sentence_and_registers_nothing(
    tmp_path: Path, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runtime.atomic_file.secrets.token_hex", lambda _: "x")
    (tmp_path / "packages" / "shop").mkdir()
    (tmp_path / "packages" / "shop" / ".m-1.zip.x.partial").symlink_to("/dev/full")
    with pytest.raises(TillguardError, match="cannot be written: No space left on device"):
        registry.add(tiny_package("m-1"))
    assert registry.find("shop", "m-1") is None
    registry.add(tiny_package("m-1"))


def test_a_folder_that_cannot_be_made_and_a_url_that_is_none_are_said_so(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(TillguardError, match="cannot be written"):
        Registry(url_in(tmp_path), tmp_path / "file" / "packages")
    with pytest.raises(ConfigurationError, match="not a SQLAlchemy URL"):
        Registry("secret://password@nowhere", tmp_path)


def test_a_database_that_does_not_answer_is_transient_and_its_password_stays_unsaid(tmp_path: Path) -> None:
    with pytest.raises(TransientError, match="OperationalError") as raised:
        Registry("mysql+pymysql://ann:hunter2@127.0.0.1:1/registry", tmp_path)
    assert "hunter2" not in str(raised.value)
    assert raised.value.__cause__ is None


@pytest.mark.integration
def test_it_works_on_mariadb_also_when_two_open_it_at_once(stack: Any, retailer_name: str, tmp_path: Path) -> None:
    uri = stack.endpoints["mariadb"].uri
    database = retailer_name.replace("-", "_")
    server = sa.create_engine(uri)
    with server.begin() as connection:
        connection.execute(sa.text(f"CREATE DATABASE {database}"))
    try:
        children = [started(ADDING, f"{uri}/{database}", str(tmp_path), str(number)) for number in range(2)]
        for child in children:
            assert child.stdout is not None
            assert child.stdout.readline() == "open\n", child.stderr.read() if child.stderr else ""
        for child in children:
            child.kill()
            child.communicate()
        registry = Registry(f"{uri}/{database}", tmp_path)
        entry = registry.add(tiny_package("m-1"))
        registry.confirm_promotion(registry.begin_promotion(entry, NOW, "ann"))
        assert registry.find_serving("shop") == entry
        registry.pin(entry, NOW, "ann")
        with pytest.raises(PinnedError):
            registry.begin_promotion(entry, NOW, "trainer", "trained")
        registry.confirm_challenge(registry.begin_challenge("shop", entry, NOW, "ann", mode="canary", share=0.05))
        assert registry.unpin("shop", NOW, "ann")
        assert registry.find_challenger("shop") is not None
        registry.close()
    finally:
        with server.begin() as connection:
            connection.execute(sa.text(f"DROP DATABASE {database}"))
        server.dispose()
