import re

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from contract.metrics import METRICS, Metrics

UNITS = ("seconds", "messages", "events", "examples", "info", "ratio", "participants", "version", "epsilon")


def test_every_name_follows_the_convention_of_part_thing_and_unit() -> None:
    for metric in METRICS:
        assert re.fullmatch(r"tillguard_(connector|scoring|trainer|federation|backoffice)_[a-z_]+", metric.name), (
            metric.name
        )
        assert metric.name.endswith("_total") if metric.kind == "counter" else metric.name.endswith(UNITS), metric.name


def test_names_are_unique_and_every_metric_says_what_it_is() -> None:
    assert len({metric.name for metric in METRICS}) == len(METRICS)
    assert all(metric.text for metric in METRICS)


def test_what_is_recorded_is_what_prometheus_reads() -> None:
    metrics = Metrics()
    metrics.add("tillguard_scoring_events_total", 3, retailer="acme")
    metrics.add("tillguard_scoring_events_total", retailer="acme")
    metrics.set("tillguard_scoring_lag_messages", 7, retailer="acme")
    metrics.observe("tillguard_scoring_batch_events", 5, retailer="acme")
    text = generate_latest(metrics.registry).decode()
    assert 'tillguard_scoring_events_total{retailer="acme"} 4.0' in text
    assert 'tillguard_scoring_lag_messages{retailer="acme"} 7.0' in text
    assert 'tillguard_scoring_batch_events_bucket{le="8.0",retailer="acme"} 1.0' in text
    assert 'tillguard_scoring_batch_events_bucket{le="4.0",retailer="acme"} 0.0' in text


def test_a_registry_that_is_given_is_the_one_that_is_used() -> None:
    registry = CollectorRegistry()
    assert Metrics(registry).registry is registry


def test_a_metric_that_is_not_on_the_list_does_not_exist() -> None:
    with pytest.raises(KeyError):
        Metrics().add("tillguard_scoring_surprises_total")


@pytest.mark.parametrize(
    ("verb", "name"),
    [
        ("add", "tillguard_scoring_lag_messages"),
        ("set", "tillguard_scoring_events_total"),
        ("observe", "tillguard_scoring_events_total"),
    ],
)
def test_a_metric_is_recorded_only_by_the_verb_of_its_kind(verb: str, name: str) -> None:
    with pytest.raises(TypeError, match="is not a"):
        getattr(Metrics(), verb)(name, 1, retailer="acme")


def test_a_label_that_was_not_declared_is_refused() -> None:
    with pytest.raises(ValueError, match="label"):
        Metrics().add("tillguard_scoring_events_total", customer="c-1")


def test_many_observations_count_each() -> None:
    metrics = Metrics()
    metrics.observe_all("tillguard_scoring_batch_events", [1, 3, 300], retailer="acme")
    text = generate_latest(metrics.registry).decode()
    assert 'tillguard_scoring_batch_events_count{retailer="acme"} 3.0' in text
    assert 'tillguard_scoring_batch_events_sum{retailer="acme"} 304.0' in text
    with pytest.raises(TypeError, match="is not a histogram"):
        metrics.observe_all("tillguard_scoring_events_total", [1], retailer="acme")


def test_series_of_one_metric_stay_apart_whatever_the_order_of_their_labels() -> None:
    metrics = Metrics()
    metrics.add("tillguard_scoring_rule_hits_total", retailer="acme", rule="a")
    metrics.add("tillguard_scoring_rule_hits_total", rule="a", retailer="acme")
    metrics.add("tillguard_scoring_rule_hits_total", retailer="acme", rule="b")
    text = generate_latest(metrics.registry).decode()
    assert 'tillguard_scoring_rule_hits_total{retailer="acme",rule="a"} 2.0' in text
    assert 'tillguard_scoring_rule_hits_total{retailer="acme",rule="b"} 1.0' in text
