import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from contract.metrics import METRICS
from tillguard.docs.calls import find_page_faults
from tillguard.docs.setting_rows import list_setting_rows

FOLDER = Path(__file__).parents[3] / "deploy" / "prometheus"
BY_NAME = {metric.name: metric for metric in METRICS}
SUFFIXES = {"histogram": ("_bucket", "_sum", "_count"), "counter": ("",), "gauge": ("",)}
SERIES = {metric.name + suffix: metric for metric in METRICS for suffix in SUFFIXES[metric.kind]}


def rules() -> list[dict[str, Any]]:
    document = yaml.safe_load((FOLDER / "alerts.yaml").read_text(encoding="utf-8"))
    return [rule for group in document["groups"] for rule in group["rules"]]


def test_every_alert_is_over_metrics_that_exist() -> None:
    for rule in rules():
        for series in re.findall(r"tillguard_[a-z_]+", rule["expr"]):
            assert series in SERIES, f"{rule['alert']}: {series}"


def test_counters_are_read_by_their_rate_and_gauges_are_not() -> None:
    for rule in rules():
        for function, series in re.findall(r"(\w+)\((tillguard_[a-z_]+)", rule["expr"]):
            counts = SERIES[series].kind != "gauge"
            assert (function in {"rate", "increase"}) == counts, f"{rule['alert']}: {function}({series})"


def test_labels_that_an_alert_groups_or_speaks_by_are_labels_of_its_metrics() -> None:
    for rule in rules():
        series = re.findall(r"tillguard_[a-z_]+", rule["expr"])
        known = {label for name in series for label in SERIES[name].labels} | {"le", "instance", "job", "service"}
        grouped = {
            label.strip() for by in re.findall(r"(?:by|on) \(([^)]*)\)", rule["expr"]) for label in by.split(",")
        }
        chosen = set(re.findall(r"[{,]\s*(\w+)\s*=", rule["expr"]))
        spoken = set(re.findall(r"\$labels\.(\w+)", " ".join(rule["annotations"].values())))
        assert grouped | chosen | spoken <= known, rule["alert"]
        assert not re.search(r"\bby \(", rule["expr"]) or spoken <= grouped, rule["alert"]


def test_every_alert_says_what_it_means_and_what_to_do() -> None:
    names = [rule["alert"] for rule in rules()]
    assert len(set(names)) == len(names)
    for rule in rules():
        assert rule["labels"]["severity"] in {"page", "ticket"}
        assert len(rule["annotations"]["summary"]) > 20, rule["alert"]
        assert len(rule["annotations"]["remedy"]) > 40, rule["alert"]


def test_remedies_name_settings_commands_and_metrics_that_exist() -> None:
    settings = {row.name for row in list_setting_rows()}
    for rule in rules():
        remedy = rule["annotations"]["remedy"]
        assert find_page_faults(remedy) == [], rule["alert"]
        assert set(re.findall(r"\b(?:kafka|redis|scoring|retention)\.[a-z_]+", remedy)) <= settings, rule["alert"]
        assert set(re.findall(r"tillguard_[a-z_]+", remedy)) <= set(BY_NAME), rule["alert"]


@pytest.mark.parametrize(
    ("job", "image", "port"),
    [
        ("tillguard-scoring", "scoring", 6066),
        ("tillguard-connectors", "connectors", 6067),
        ("tillguard-trainers", "trainer", 6067),
    ],
)
def test_prometheus_asks_every_process_that_has_a_page(
    own_services: dict[str, dict[str, Any]], job: str, image: str, port: int
) -> None:
    document = yaml.safe_load((FOLDER / "prometheus.yaml").read_text(encoding="utf-8"))
    assert document["rule_files"] == ["alerts.yaml"]
    (described,) = [config for config in document["scrape_configs"] if config["job_name"] == job]
    (discovery,) = described["dns_sd_configs"]
    processes = [
        name
        for name, service in own_services.items()
        if service["image"].startswith(f"tillguard/{image}:") and "expose" in service
    ]
    assert sorted(discovery["names"]) == sorted(processes)
    assert discovery["port"] == port
    assert all(own_services[name]["expose"] == [str(port)] for name in processes)


def test_alerts_ask_for_jobs_that_exist() -> None:
    document = yaml.safe_load((FOLDER / "prometheus.yaml").read_text(encoding="utf-8"))
    jobs = {config["job_name"] for config in document["scrape_configs"]}
    asked = {job for rule in rules() for job in re.findall(r'job="([^"]+)"', rule["expr"])}
    assert asked == jobs
