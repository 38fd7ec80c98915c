"""A file is there whole or not at all, and nothing is left of what could not be written."""

from pathlib import Path

import pytest

from contract.errors import TillguardError
from runtime.atomic_file import Staged, translate_disk_errors, write


def test_a_file_is_replaced_whole_and_keeps_to_its_mode(tmp_path: Path) -> None:
    file = tmp_path / "deep" / "file"
    write(file, b"one", mode=0o600)
    write(file, b"two", mode=0o600)
    assert file.read_bytes() == b"two"
    assert file.stat().st_mode & 0o777 == 0o600
    assert list(file.parent.iterdir()) == [file]


def test_what_was_not_settled_leaves_nothing(tmp_path: Path) -> None:
    with Staged({tmp_path / "a": b"1", tmp_path / "b": b"2"}):
        assert len(list(tmp_path.iterdir())) == 2
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_keeps_what_was_and_leaves_nothing_half(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "file"
    write(file, b"one")
    monkeypatch.setattr("runtime.atomic_file.secrets.token_hex", lambda _: "x")
    (tmp_path / ".file.x.partial").symlink_to("/dev/full")
    with (
        pytest.raises(TillguardError, match="the file cannot be written: No space left"),
        translate_disk_errors("the file"),
    ):
        write(file, b"two")
    assert file.read_bytes() == b"one"
    assert list(tmp_path.iterdir()) == [file]


def test_of_two_that_make_a_file_the_second_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "file"
    with Staged({file: b"one"}) as staged:
        staged.settle_new()
    with Staged({file: b"two"}) as staged, pytest.raises(FileExistsError):
        staged.settle_new()
    assert file.read_bytes() == b"one"
    assert list(tmp_path.iterdir()) == [file]
