"""The closed list of metrics. A metric that is not here does not exist; names are `tillguard_<part>_<thing>_<unit>`."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

LATENCY_BUCKETS_S = (0.0005, 0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0)


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric: what it says, and by which labels."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    text: str
    labels: tuple[str, ...] = ()
    buckets: Sequence[float] = LATENCY_BUCKETS_S


METRICS = (
    Metric("tillguard_connector_rows_total", "counter", "rows read from the source", ("connector", "phase")),
    Metric("tillguard_connector_dead_letters_total", "counter", "rows that could not be mapped", ("connector", "reason")),
    Metric("tillguard_connector_rowless_transactions_total", "counter", "transactions that touched a mapped table and gave no row", ("connector", "why")),
    Metric("tillguard_connector_delivered_total", "counter", "messages Kafka confirmed", ("connector",)),
    Metric("tillguard_connector_lag_seconds", "gauge", "age of the newest row read when it was read", ("connector",)),
    Metric("tillguard_connector_idle_seconds", "gauge", "time since the source last answered (rows or heartbeat)", ("connector",)),
    Metric("tillguard_connector_in_flight_messages", "gauge", "sent, not yet confirmed", ("connector",)),
    Metric("tillguard_scoring_events_total", "counter", "transactions read", ("retailer",)),
    Metric("tillguard_scoring_verdicts_total", "counter", "verdicts published", ("retailer", "decision", "degraded")),
    Metric("tillguard_scoring_redelivered_total", "counter", "transactions seen before", ("retailer",)),
    Metric("tillguard_scoring_dead_letters_total", "counter", "messages that could not be scored", ("retailer", "reason")),
    Metric("tillguard_scoring_latency_seconds", "histogram", "append of the transaction to verdict", ("retailer",)),
    Metric("tillguard_scoring_stage_seconds", "histogram", "time of a stage per batch", ("retailer", "stage")),
    Metric("tillguard_scoring_batch_events", "histogram", "events in a batch", ("retailer",), (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)),
    Metric("tillguard_scoring_lag_messages", "gauge", "transactions not yet read, over this worker's partitions", ("retailer",)),
    Metric("tillguard_scoring_pending_events", "gauge", "degraded answers that still await their full revision", ("retailer",)),
    Metric("tillguard_scoring_progress_age_seconds", "gauge", "time since offsets last moved while there was lag", ("retailer",)),
    Metric("tillguard_scoring_rule_hits_total", "counter", "how often a rule fired", ("retailer", "rule")),
    Metric("tillguard_scoring_rules_snoozed_total", "counter", "how often a rule matched and was snoozed", ("retailer", "rule")),
    Metric("tillguard_scoring_rules_info", "gauge", "1 for the version of the rules that decides", ("retailer", "rules_version")),
    Metric("tillguard_scoring_rules_refused_total", "counter", "messages of the rules topic that a worker could not use", ("retailer", "reason")),
    Metric("tillguard_scoring_model_info", "gauge", "1 for the version that serves", ("retailer", "model_version")),
    Metric("tillguard_scoring_challenger_info", "gauge", "1 for the version that runs next to it, and how", ("retailer", "model_version", "mode")),
    Metric("tillguard_scoring_packages_refused_total", "counter", "model packages refused", ("retailer", "reason")),
    Metric("tillguard_scoring_shadow_scores_total", "counter", "transactions that a challenger scored in shadow", ("retailer",)),
    Metric("tillguard_scoring_shadow_dropped_total", "counter", "transactions that a challenger should have scored in shadow and did not", ("retailer", "reason")),
    Metric("tillguard_scoring_state_gap_info", "gauge", "1 while the state does not hold what the serving model expects: `risk` (known frauds) or `windows`", ("retailer", "kind")),
    Metric("tillguard_scoring_breaker_open_info", "gauge", "1 while more holds and blocks are wanted than the breaker allows", ("retailer",)),
    Metric("tillguard_scoring_breaker_flagged_total", "counter", "transactions that the breaker flagged instead of a hold or block", ("retailer",)),
    Metric("tillguard_scoring_control_total", "counter", "transactions of the control group, flagged instead of a hold or block", ("retailer",)),
    Metric("tillguard_scoring_outcomes_total", "counter", "known outcomes that went into the risk of entities", ("retailer",)),
    Metric("tillguard_scoring_holds_expired_total", "counter", "holds that policy decided", ("retailer",)),
    Metric("tillguard_trainer_examples", "gauge", "examples used by the last training", ("retailer", "label")),
    Metric("tillguard_trainer_training_seconds", "gauge", "duration of the last training", ("retailer",)),
    Metric("tillguard_trainer_drift_psi_ratio", "gauge", "population stability index of a feature against the serving model's training", ("retailer", "feature")),
    Metric("tillguard_trainer_drift_score_change_ratio", "gauge", "change of the mean score since training, as a share of what it was", ("retailer",)),
    Metric("tillguard_trainer_estimated_performance_ratio", "gauge", "precision and recall of the serving model, estimated without labels (CBPE)", ("retailer", "measure")),
    Metric("tillguard_trainer_drift_checked_seconds", "gauge", "UNIX time of the last check of drift", ("retailer",)),
    Metric("tillguard_trainer_alarms_total", "counter", "alarms raised", ("retailer", "kind")),
    Metric("tillguard_trainer_published_total", "counter", "models published", ("retailer",)),
    Metric("tillguard_trainer_ingested_total", "counter", "messages taken into the examples store", ("retailer", "kind")),
    Metric("tillguard_trainer_dead_letters_total", "counter", "messages that could not be used", ("retailer", "reason")),
    Metric("tillguard_trainer_lag_messages", "gauge", "feature records and labels not yet taken in", ("retailer",)),
    Metric("tillguard_trainer_stored_examples", "gauge", "examples in the store", ("retailer", "label")),
    Metric("tillguard_trainer_new_labels_messages", "gauge", "labels that came since the last training", ("retailer",)),
    Metric("tillguard_trainer_trainings_total", "counter", "trainings that ended", ("retailer", "outcome")),
    Metric("tillguard_federation_roster_doubted_participants", "gauge", "names on the federation's roster with keys that are not believed, and the retailer's own name where its place there is not right", ("retailer",)),
    Metric("tillguard_federation_dropped_total", "counter", "messages of participants that did not count", ("federation", "reason")),
    Metric("tillguard_federation_rounds_total", "counter", "rounds that ended", ("federation", "outcome")),
    Metric("tillguard_federation_attempts_total", "counter", "attempts that began", ("federation",)),
    Metric("tillguard_federation_round_seconds", "gauge", "duration of the last round, its plan to its end", ("federation",)),
    Metric("tillguard_federation_participants", "gauge", "participants by what they are", ("federation", "status")),
    Metric("tillguard_federation_model_version", "gauge", "the newest global model", ("federation",)),
    Metric("tillguard_federation_epsilon", "gauge", "privacy spent at the delta of the settings", ("federation", "level")),
    Metric("tillguard_federation_shared_ratio", "gauge", "how what a participant took does on its own newest labels, where it shares that", ("federation", "participant", "figure")),
    Metric("tillguard_federation_received_bytes_total", "counter", "bytes of a participant's messages that counted", ("federation", "participant")),
    Metric("tillguard_federation_told_bytes_total", "counter", "bytes that the coordinator wrote, for every participant to read", ("federation",)),
    Metric("tillguard_federation_read_bytes_total", "counter", "bytes this participant read of what the coordinator says", ("retailer",)),
    Metric("tillguard_federation_unheard_total", "counter", "records on the coordinator's topics that this participant did not believe, or that came twice", ("retailer", "reason")),
    Metric("tillguard_federation_sent_bytes_total", "counter", "bytes this participant sent to the federation", ("retailer",)),
    Metric("tillguard_federation_trainings_total", "counter", "local trainings for rounds", ("retailer", "outcome")),
    Metric("tillguard_federation_clipped_total", "counter", "own updates that were cut at the clipping norm before they left", ("retailer",)),
    Metric("tillguard_federation_clipped_ratio", "gauge", "numbers of the newest masked update beyond the bound of its fixed point, as a share", ("retailer",)),
    Metric("tillguard_federation_adopted_total", "counter", "global models by what this retailer did with them", ("retailer", "decision")),
    Metric("tillguard_backoffice_requests_total", "counter", "requests answered", ("route", "status")),
    Metric("tillguard_backoffice_request_seconds", "histogram", "from a request to its answer", ("route",)),
    Metric("tillguard_backoffice_fallbacks_total", "counter", "transactions that got the fallback: no verdict came within the budget", ("retailer",)),
)  # fmt: skip


class Metrics:
    """All metrics on one registry, reached by name."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self.registry = registry or CollectorRegistry()
        self._by_name: dict[str, Counter | Gauge | Histogram] = {}
        self._series: dict[tuple[object, ...], Any] = {}
        for metric in METRICS:
            if metric.kind == "counter":
                self._by_name[metric.name] = Counter(metric.name, metric.text, metric.labels, registry=self.registry)
            elif metric.kind == "gauge":
                self._by_name[metric.name] = Gauge(metric.name, metric.text, metric.labels, registry=self.registry)
            else:
                self._by_name[metric.name] = Histogram(
                    metric.name, metric.text, metric.labels, registry=self.registry, buckets=metric.buckets
                )

    def add(self, name: str, amount: float = 1.0, **labels: str) -> None:
        """Counts `amount` on a counter."""
        counter = self._by_name[name]
        if not isinstance(counter, Counter):
            raise TypeError(f"{name} is not a counter")
        self._labelled(counter, name, labels).inc(amount)

    def set(self, name: str, value: float, **labels: str) -> None:
        """Sets a gauge."""
        gauge = self._by_name[name]
        if not isinstance(gauge, Gauge):
            raise TypeError(f"{name} is not a gauge")
        self._labelled(gauge, name, labels).set(value)

    def observe(self, name: str, value: float, **labels: str) -> None:
        """Adds one observation to a histogram."""
        histogram = self._by_name[name]
        if not isinstance(histogram, Histogram):
            raise TypeError(f"{name} is not a histogram")
        self._labelled(histogram, name, labels).observe(value)

    def observe_all(self, name: str, values: Iterable[float], **labels: str) -> None:
        """Adds many observations to a histogram."""
        histogram = self._by_name[name]
        if not isinstance(histogram, Histogram):
            raise TypeError(f"{name} is not a histogram")
        child = self._labelled(histogram, name, labels)
        for value in values:
            child.observe(value)

    def _labelled(self, metric: Counter | Gauge | Histogram, name: str, labels: dict[str, str]) -> Any:
        """The series with these labels; remembered, because prometheus_client takes 2 µs to find it."""
        key = (name, *labels.items())
        series = self._series.get(key)
        if series is None:
            series = self._series[key] = metric.labels(**labels)
        return series
