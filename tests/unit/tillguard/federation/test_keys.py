import shutil
import socket
import stat
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from contract.errors import ConfigurationError, FencedError, TillguardError, TransientError
from contract.federation.settings import FederationSettings, ParticipantSettings
from contract.settings import CoordinatorFile, parse_as
from tillguard.cli import app, main
from tillguard.config import begin_coordinator, is_retailer, load_coordinator
from tillguard.federation import keys, topics


@pytest.fixture(scope="module")
def harbour(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the keys of `harbour`, which take long to make: their passphrase is stretched."""
    folder = tmp_path_factory.mktemp("harbour")
    keys.make_identity("harbour", ParticipantSettings(key_file=folder / "keys" / "harbour.key"))
    return folder / "keys"


@pytest.fixture
def unmade(tmp_path: Path) -> ParticipantSettings:
    return ParticipantSettings(key_file=tmp_path / "keys" / "harbour.key")


@pytest.fixture
def own(harbour: Path, unmade: ParticipantSettings) -> ParticipantSettings:
    """Settings of `harbour`, whose keys are made."""
    shutil.copytree(harbour, unmade.key_file.parent)
    return unmade


def test_keys_are_made_once_and_lie_encrypted_for_their_owner_alone(unmade: ParticipantSettings) -> None:
    public = keys.make_identity("harbour", unmade)
    assert keys.make_identity("harbour", unmade) == public
    identity = keys.load_identity(unmade, "enrol")
    assert identity.public == public
    for file in (unmade.key_file, unmade.key_file.with_suffix(".passphrase")):
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    secret = unmade.key_file.with_suffix(".passphrase").read_bytes()
    assert len(secret) >= 32
    assert secret not in unmade.key_file.read_bytes()


def test_a_passphrase_of_the_settings_is_used_and_a_wrong_one_opens_nothing(tmp_path: Path) -> None:
    own = ParticipantSettings(key_file=tmp_path / "k.key", passphrase="correct horse")
    keys.make_identity("harbour", own)
    assert not (tmp_path / "k.passphrase").exists()
    wrong = ParticipantSettings(key_file=tmp_path / "k.key", passphrase="battery staple")
    with pytest.raises(ConfigurationError, match=r"federation\.participant: .*passphrase") as error:
        keys.load_identity(wrong, "enrol")
    assert str(tmp_path / "k.key") in str(error.value)
    assert "battery" not in str(error.value)


def test_a_file_that_others_may_read_or_that_is_no_key_file_is_a_matter_of_settings(own: ParticipantSettings) -> None:
    own.key_file.chmod(0o640)
    with pytest.raises(ConfigurationError, match="chmod 600"):
        keys.load_identity(own, "enrol")
    own.key_file.chmod(0o600)
    own.key_file.write_bytes(b"rubbish")
    with pytest.raises(ConfigurationError, match="no key file"):
        keys.make_identity("harbour", own)


def test_a_retailer_does_not_take_part_with_another_s_keys(own: ParticipantSettings) -> None:
    for attempt in (lambda: keys.make_identity("meadow", own), lambda: keys.load_identity(own, "enrol", "meadow")):
        with pytest.raises(ConfigurationError, match="holds the keys of harbour: give meadow"):
            attempt()


def test_without_keys_the_message_names_the_command_that_makes_them(unmade: ParticipantSettings) -> None:
    with pytest.raises(ConfigurationError, match="tillguard federation enrol"):
        keys.load_identity(unmade, "enrol")


def test_a_model_file_comes_back_as_it_was_written(tmp_path: Path) -> None:
    file = tmp_path / "new" / "model.npz"
    keys.write_model(file, {"weights": np.ones((2, 3), np.float32), "bias": np.zeros(3, np.float32)})
    model = keys.read_model(file)
    assert [(tensor.name, tensor.shape) for tensor in model.shapes] == [("weights", (2, 3)), ("bias", (3,))]
    assert np.frombuffer(model.payload, "<f4").tolist() == [1.0] * 6 + [0.0] * 3


@pytest.mark.parametrize("content", [b"", b"not a zip", b"PK\x03\x04"])
def test_a_file_that_holds_no_arrays_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "model.npz").write_bytes(content)
    with pytest.raises(ConfigurationError):
        keys.read_model(tmp_path / "model.npz")


def test_a_model_with_a_value_that_is_not_finite_is_refused(tmp_path: Path) -> None:
    keys.write_model(tmp_path / "m.npz", {"w": np.array([np.nan], np.float32)})
    with pytest.raises(ConfigurationError, match="finite"):
        keys.read_model(tmp_path / "m.npz")


def test_a_coordinator_s_settings_file_is_written_once_and_is_no_retailer_s(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TILLGUARD_STATE", str(tmp_path))
    file = begin_coordinator("kafka.example:9093")
    assert begin_coordinator(None) == begin_coordinator("kafka.example:9093") == file
    with pytest.raises(ConfigurationError, match=r"names the servers kafka\.example:9093, not other"):
        begin_coordinator("other.example:1")
    assert load_coordinator().federation.bootstrap_servers == "kafka.example:9093"
    assert not is_retailer(file)


def test_every_fault_of_a_coordinator_s_file_is_listed() -> None:
    with pytest.raises(ConfigurationError) as error:
        parse_as(
            CoordinatorFile,
            {"federation": {"rounds": {"mode": "masked", "strategy": {"name": "fedbuff"}}, "colour": 1}, "retail": 2},
            where="f",
        )
    assert len(error.value.faults) == 3


def test_client_privacy_in_mode_robust_is_refused_with_any_rule_but_the_mean() -> None:
    rounds = {"mode": "robust", "privacy": {"level": "client"}}
    with pytest.raises(ConfigurationError, match="rule mean"):
        parse_as(CoordinatorFile, {"federation": {"rounds": rounds}}, where="f")
    parse_as(CoordinatorFile, {"federation": {"rounds": rounds | {"robust": {"rule": "mean"}}}}, where="f")


def test_a_participant_without_keys_is_told_how_to_make_them(tmp_path: Path) -> None:
    file = tmp_path / "harbour.yaml"
    file.write_text(f"retailer: harbour\nfederation: {{participant: {{key_file: {tmp_path / 'k.key'}}}}}\n")
    done = CliRunner().invoke(app, ["federation", "run", "--config", str(file)])
    assert isinstance(done.exception, ConfigurationError)
    assert "`tillguard federation enrol` makes it" in str(done.exception)


@pytest.mark.parametrize("command", ["enrol", "leave", "examples"])
def test_a_retailer_s_command_asks_for_the_retailer_and_not_for_a_coordinator(command: str, tmp_path: Path) -> None:
    more = ["--out", str(tmp_path / "held.npz")] if command == "examples" else []
    done = CliRunner().invoke(app, ["federation", command, *more])
    assert isinstance(done.exception, ConfigurationError)
    assert "name the retailer" in str(done.exception)


def test_a_head_that_was_typed_wrong_is_no_broken_ledger() -> None:
    done = CliRunner().invoke(app, ["federation", "audit", "--head", "41"])
    assert isinstance(done.exception, ConfigurationError)
    assert "INDEX:DIGEST" in str(done.exception)


@pytest.mark.parametrize("words", [["status"], ["audit"], ["participants", "list"], ["participants", "approve", "a"]])
@pytest.mark.parametrize("text", ["12", "A" * 64, "a" * 65, "a" * 64 + "\n"])
def test_what_is_no_fingerprint_is_refused_before_anything_is_looked_for(words: list[str], text: str) -> None:
    result = CliRunner().invoke(app, ["federation", *words, "--fingerprint", text, "--config", "/nowhere.yaml"])
    assert result.exit_code == 2
    assert "64 digits" in result.output
    assert "nowhere" not in result.output


def test_a_process_whose_place_was_taken_ends_with_a_code_of_its_own(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fenced() -> None:
        raise FencedError("another process is coordinator of federation now")

    monkeypatch.setattr("tillguard.cli.app", fenced)
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 3
    assert capsys.readouterr().err == "tillguard: another process is coordinator of federation now\n"


def test_where_no_broker_listens_a_federation_is_not_begun_and_only_that_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with socket.socket() as taken:
        # bound and not listening: nobody answers there, and nobody else can begin to
        taken.bind(("127.0.0.1", 0))
        servers = f"127.0.0.1:{taken.getsockname()[1]}"
        settings = FederationSettings(bootstrap_servers=servers, request_timeout_s=600)
        with pytest.raises(TransientError, match=rf"no Kafka broker answers at {servers} \(federation"):
            topics.ensure(settings)
    assert caplog.text == ""


def test_a_full_disk_leaves_no_half_of_a_passphrase_and_keeps_the_model_that_was(
    tmp_path: Path, unmade: ParticipantSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = tmp_path / "model.npz"
    keys.write_model(model, {"w": np.ones(3, np.float32)})
    before = model.read_bytes()
    monkeypatch.setattr("runtime.atomic_file.secrets.token_hex", lambda _: "x")
    passphrase = keys._generated_secret(unmade)
    passphrase.parent.mkdir()
    for file in (model, passphrase):
        file.with_name(f".{file.name}.x.partial").symlink_to("/dev/full")
    with pytest.raises(TillguardError, match="No space left"):
        keys.write_model(model, {"w": np.zeros(3, np.float32)})
    with pytest.raises(TillguardError, match="No space left"):
        keys.make_identity("shop", unmade)
    assert model.read_bytes() == before
    assert not passphrase.exists()
    assert keys.make_identity("shop", unmade).name == "shop"
