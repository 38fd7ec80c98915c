"""What the live phase saw against a replay of the same transactions, in figures and in a sentence. Pure."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from demo.summary import average_precision
from demo.tally import Judged
from trainer.drift.skew import Skew

LABEL_CAUSES = ("frauds_later", "frauds_earlier", "frauds")
"""A label is on its way to the workers: they know it after the sales that follow it, or, where sales wait in Kafka, before some."""


def summarise(
    skews: Sequence[Skew], replayed: Sequence[tuple[str, float]], judged: Sequence[Sequence[Judged]]
) -> dict[str, Any]:
    """The figures; `replayed` are transaction ids with the model's score for their replayed features."""
    known = {one.transaction_id: one for ones in judged for one in ones if one.verdict.score is not None}
    pairs = [(known[name], score) for name, score in replayed if name in known]
    frauds = [one.truth.fraud for one, _ in pairs]
    causes: Counter[str] = Counter()
    for skew in skews:
        causes.update(skew.causes)
    return {
        "compared": sum(skew.compared for skew in skews),
        "different": sum(skew.different for skew in skews),
        "causes": dict(causes.most_common()),
        "average_precision_served": average_precision([one.verdict.score or 0.0 for one, _ in pairs], frauds),
        "average_precision_replayed": average_precision([score for _, score in pairs], frauds),
    }


def describe_comparison(figures: Mapping[str, Any]) -> str:
    """For the terminal and the report."""
    different = figures["different"]
    text = (
        f"Served against replayed: {figures['compared']:,} transactions compared, {different:,} different; average precision "
        f"{figures['average_precision_served']} as served, {figures['average_precision_replayed']} by the replay."
    )
    late = sum(figures["causes"].get(cause, 0) for cause in LABEL_CAUSES)
    if late:
        text += f" In {late:,} a fraud became known in the seconds (here: up to hours of event time) that its label takes to the workers."
    return text
