import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from connectors.config.connector_file import Labels, MongodbServer, MysqlServer, Resolutions, Transactions
from connectors.config.connector_file import parse as parse_connector
from contract.settings import KafkaSettings, RedisSettings, ScoringSettings, Settings
from contract.settings import parse as parse_settings
from tillguard import __version__
from tillguard.docs.calls import Call, find_fault
from tillguard.docs.setting_rows import PROCESS_VARIABLES, list_setting_rows

ROOT = Path(__file__).parents[3]
RETAILERS = sorted(folder.name for folder in (ROOT / "deploy" / "retailers").iterdir())


def container_port(published: str) -> int:
    return int(published.rpartition(":")[2])


def settings_of(service: dict[str, Any], retailer: str, monkeypatch: pytest.MonkeyPatch) -> Settings:
    for name, value in service["environment"].items():
        monkeypatch.setenv(name, value)
    file = ROOT / "deploy" / "retailers" / retailer / "settings.yaml"
    return parse_settings(yaml.safe_load(file.read_text(encoding="utf-8")), where=str(file))


def test_every_variable_of_a_container_is_a_setting(own_services: Any) -> None:
    known = {row.variable for row in list_setting_rows()} | set(PROCESS_VARIABLES)
    for name, service in own_services.items():
        ours = {variable for variable in service["environment"] if variable.startswith("TILLGUARD_")}
        assert ours <= known, name


def test_every_container_s_settings_are_whole_and_point_at_the_services_of_the_file(
    compose: Any, own_services: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert own_services
    for service in own_services.values():
        retailer = service["command"][service["command"].index("--retailer") + 1]
        settings = settings_of(service, retailer, monkeypatch)
        host, _, port = settings.kafka.bootstrap_servers.partition(":")
        assert settings.retailer == retailer
        assert f"PLAINTEXT://{host}:{port}" in compose["services"][host]["environment"]["KAFKA_ADVERTISED_LISTENERS"]
        assert settings.redis.host in compose["services"]
        assert settings.redis.password


def test_every_command_of_a_container_is_one_of_the_command_line(own_services: Any) -> None:
    for name, service in own_services.items():
        call = Call(" ".join(service["command"]), tuple(service["command"]), whole=True)
        assert find_fault(call) is None, name


def test_files_that_a_command_names_are_mounted_where_it_looks(own_services: Any) -> None:
    for name, service in own_services.items():
        mounts = dict(reversed(volume.removesuffix(":ro").split(":")) for volume in service["volumes"])
        folder = ROOT / mounts["/etc/tillguard"]
        for word in [*service["command"], service["environment"]["TILLGUARD_CONFIG"]]:
            if word.startswith("/etc/tillguard/"):
                assert (folder / word.removeprefix("/etc/tillguard/")).is_file(), f"{name}: {word}"


def test_ports_are_the_ones_that_settings_take_when_nobody_says_otherwise(compose: Any, own_services: Any) -> None:
    services = compose["services"]
    assert KafkaSettings().bootstrap_servers.endswith(":9092")
    assert "PLAINTEXT://:9092" in services["kafka"]["environment"]["KAFKA_LISTENERS"]
    assert RedisSettings().port == 6379
    assert "--port" not in " ".join(services["redis"]["command"])
    assert container_port(services["mysql"]["ports"][0]) == MysqlServer.model_fields["port"].default
    assert container_port(services["mongodb"]["ports"][0]) == MongodbServer.model_fields["port"].default
    web = str(ScoringSettings().web_port)
    scoring = [service for service in own_services.values() if service["image"].startswith("tillguard/scoring")]
    assert scoring
    for service in scoring:
        assert service["expose"] == [web]
        assert service["environment"]["TILLGUARD_SCORING__WEB_PORT"] == web
        assert service["environment"]["TILLGUARD_SCORING__WEB_HOST"] == "0.0.0.0"
        assert f"http://127.0.0.1:{web}/health" in " ".join(service["healthcheck"]["test"])


def test_a_process_that_stays_is_asked_for_its_health_where_its_page_is(
    own_services: dict[str, dict[str, Any]],
) -> None:
    for name, service in own_services.items():
        if service["restart"] != "unless-stopped":
            continue
        (port,) = service["expose"]
        assert f"http://127.0.0.1:{port}/health" in " ".join(service["healthcheck"]["test"]), name
        words = service["command"]
        if "--web-port" in words:
            assert words[words.index("--web-port") + 1] == port, name
            assert words[words.index("--web-host") + 1] == "0.0.0.0", name


def test_a_port_is_open_to_this_machine_only(compose: Any) -> None:
    for name, service in compose["services"].items():
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", [])), name


def test_whatever_is_waited_for_can_be_waited_for(compose: Any) -> None:
    services = compose["services"]
    for name, service in services.items():
        for other, how in service.get("depends_on", {}).items():
            if how["condition"] == "service_healthy":
                assert "healthcheck" in services[other], f"{name} waits for the health of {other}"
            else:
                assert how["condition"] == "service_completed_successfully"
                assert services[other]["restart"] in {"no", "on-failure"}


def test_every_store_keeps_its_data_on_a_volume_of_its_own(compose: Any) -> None:
    used = [
        volume.split(":")[0]
        for service in compose["services"].values()
        for volume in service.get("volumes", [])
        if not volume.startswith("./")
    ]
    assert sorted(used) == sorted(compose["volumes"])
    assert {"kafka-data", "redis-data", "mysql-data", "mongodb-data"} <= set(used)


def test_paths_that_a_container_writes_lie_on_a_volume_or_are_its_own_state(own_services: Any) -> None:
    for name, service in own_services.items():
        mounts = [volume.split(":")[1] for volume in service["volumes"] if not volume.startswith("./")]
        for variable, value in service["environment"].items():
            elsewhere = {"TILLGUARD_SCORING__MODEL_DIRECTORY", "TILLGUARD_BACKOFFICE__PUBLIC_URL"}
            if variable.endswith(("_URL", "_DIRECTORY")) and variable not in elsewhere:
                path = value.removeprefix("sqlite:///")
                assert any(path.startswith(mount) for mount in mounts), f"{name}: {variable}"


def test_secrets_come_from_the_environment_and_the_example_names_every_one_without_a_value(compose_text: Any) -> None:
    named = set(re.findall(r"\$\{([A-Z_]+)", compose_text))
    example = (ROOT / ".env.example").read_text(encoding="utf-8")
    assert set(re.findall(r"^([A-Z_]+)=$", example, re.MULTILINE)) == named
    for line in compose_text.splitlines():
        found = re.match(r"\s+([A-Z_]*(?:PASSWORD|KEY|KEYS|AUTH)): (.*)", line)
        assert found is None or "${" in found[2], line
    assert ".env" in (ROOT / ".gitignore").read_text(encoding="utf-8").split()


def test_images_carry_a_version_and_ours_is_the_product_s(compose: Any) -> None:
    for name, service in compose["services"].items():
        image, _, tag = service["image"].partition(":")
        assert tag not in {"", "latest"}, name
        assert not image.startswith("tillguard/") or tag == __version__, name


def test_our_containers_may_do_nothing_that_they_need_not(own_services: Any) -> None:
    for name, service in own_services.items():
        assert service["cap_drop"] == ["ALL"], name
        assert service["read_only"] is True, name
        assert "privileged" not in service, name


@pytest.mark.parametrize("retailer", RETAILERS)
def test_a_retailer_s_connector_file_is_valid_and_reads_what_the_database_is_made_with(
    compose: Any, retailer: Any
) -> None:
    file = ROOT / "deploy" / "retailers" / retailer / "connectors" / "orders.yaml"
    config = parse_connector(file.read_text(encoding="utf-8"), str(file))
    assert config.source.kind != "file"
    assert config.source.host in compose["services"]
    service = compose["services"][f"{retailer}-connector"]
    assert config.source.password_env in service["environment"]
    script = {"mysql": "mysql/init.sh", "mongodb": "mongodb/init.js"}[config.source.kind]
    made = (ROOT / "deploy" / script).read_text(encoding="utf-8")
    for section in (config.transactions, *config.labels, *config.resolutions):
        assert re.search(rf'(CREATE TABLE {section.name} \(|"{section.name}")', made), section.name
    assert config.source.user is not None
    assert config.source.user in made


def test_every_column_that_the_mysql_connector_reads_is_a_column_of_its_table() -> None:
    file = ROOT / "deploy" / "retailers" / "meadow" / "connectors" / "orders.yaml"
    config = parse_connector(file.read_text(encoding="utf-8"), str(file))
    script = (ROOT / "deploy" / "mysql" / "init.sh").read_text(encoding="utf-8")
    sections: list[Transactions | Labels | Resolutions] = [config.transactions, *config.labels, *config.resolutions]
    for section in sections:
        body = re.search(rf"CREATE TABLE {section.name} \((.*?)^\);", script, re.MULTILINE | re.DOTALL)
        assert body is not None
        columns = set(re.findall(r"^  ([a-z_]+) ", body[1], re.MULTILINE))
        fields = section.fields
        read = {
            name
            for field in type(fields).model_fields
            if (spec := getattr(fields, field))
            for name in spec.list_names()
        }
        assert read | {config.get_key_column(section)} <= columns, section.name


@pytest.mark.skipif(
    shutil.which("docker-compose") is None, reason="needs docker-compose (Debian package docker-compose)"
)
def test_compose_itself_accepts_the_file_once_every_secret_is_set(tmp_path: Path) -> None:
    filled = re.sub("=$", "=" + "0123456789abcdef" * 4, (ROOT / ".env.example").read_text(), flags=re.MULTILINE)
    (tmp_path / "env").write_text(filled)
    command = ["docker-compose", "-f", str(ROOT / "docker-compose.yml"), "--env-file"]
    done = subprocess.run([*command, str(tmp_path / "env"), "config"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert set(yaml.safe_load(done.stdout)["services"]) >= {"kafka", "redis", "mysql", "mongodb", "meadow-scoring"}
    unset = subprocess.run(
        [*command, str(ROOT / ".env.example"), "config"], capture_output=True, text=True, check=False
    )
    assert unset.returncode != 0
    assert "set it in .env" in unset.stderr + unset.stdout
