"""The demonstration's report: which figures go where, and what is said about them. Pure: figures in, HTML out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from contract.dead_letters import REASONS
from demo.federation import results
from demo.learning.recovery import STAGES, Course, describe_learning, list_points
from demo.summary import DECISIONS, are_promises_kept, compute_precision_recall
from demo.tally import Judged
from demo.telling import comparison
from tillguard.views.report import figures, page
from tillguard.views.report.flow import FLOW

EXAMPLES_MAX = 8
REASONS_SHOWN = 3


@dataclass(frozen=True, slots=True)
class Run:
    """What was run, in words and numbers."""

    source: str
    """`the retail simulator, seed 7`, or the data file's name."""
    databases: Mapping[str, str]
    """Retailer → `MySQL (MariaDB server)` and the like."""
    kinds: Mapping[str, str]
    """Fraud kinds and how they are shown."""
    rate: float
    """Transactions a second asked for, over all retailers."""
    date: str
    replay: bool
    """True: event times of a data file, years old."""
    durations_s: Mapping[str, float] = field(default_factory=dict)
    """Step → seconds."""


def render_report(
    run: Run,
    summary: Mapping[str, Any],
    judged: Sequence[Judged],
    course: Course | None = None,
    second: Sequence[Judged] = (),
) -> str:
    """The whole HTML file; `course` and `second` are the second act's, where there was one."""
    body = "".join(
        (
            page.render_tiles(_tiles(summary)),
            '<div class="cards">',
            page.render_card("The way of one transaction", FLOW, wide=True),
            _accounts(run, summary),
            _decisions(run, judged),
            "" if course is None else _second_act(course, summary["second_act"], second),
            _third_act(summary["third_act"], run.kinds) if "third_act" in summary else "",
            _timeline(judged),
            _latency(summary, judged),
            _scores(judged),
            _curve(summary, judged),
            _dead_letters(summary),
            _models(run),
            _examples(run, judged),
            "</div>",
        )
    )
    return page.render_page(describe_result(summary), _lead(run, summary), body, _foot(run))


def describe_result(summary: Mapping[str, Any]) -> str:
    """One sentence that says whether the promises were kept."""
    given = f"{summary['transactions_in']:,} transactions"
    if are_promises_kept(dict(summary)):
        return f"{given}, every one answered once"
    missing = summary["unaccounted"] + summary["history"]["unaccounted"]
    return f"{given}: {missing:,} unanswered, {summary['disagreeing_redeliveries']:,} answered twice and differently"


def _lead(run: Run, summary: Mapping[str, Any]) -> str:
    stores = " and ".join(f"{name} on {database}" for name, database in run.databases.items())
    old = " The payments are years old, so every verdict says that it is late; latency is measured from their arrival all the same."
    return (
        f"Two retailers, {stores}, fed from {run.source} at {run.rate:g} transactions a second. Each learned a model from "
        f"{summary['history']['transactions_in']:,} labelled transactions in all, then judged new ones as their databases got them."
        f"{old if run.replay else ''}"
    )


def _tiles(summary: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    latency, whole = summary["latency_ms"], summary["end_to_end_ms"]
    frauds = sum(summary["frauds_by_kind"].values())
    return [
        (
            page.format_number(summary["unaccounted"]),
            "unaccounted for",
            f"of {summary['transactions_in']:,} transactions",
        ),
        (
            page.format_number(summary["disagreeing_redeliveries"]),
            "differing answers",
            f"in {summary['redeliveries']:,} redeliveries",
        ),
        (
            page.format_milliseconds(latency["p50"]),
            "median latency",
            f"99 of 100 within {page.format_milliseconds(latency['p99'])}",
        ),
        (
            page.format_milliseconds(whole["p50"]),
            "from commit to verdict",
            f"99 of 100 within {page.format_milliseconds(whole['p99'])}",
        ),
        (page.format_percent(_found(summary)), "of frauds found", f"{frauds:,} frauds in the live phase"),
        (page.format_percent(summary["genuine_untroubled"]), "of customers untroubled", "genuine and allowed at once"),
    ]


def _found(summary: Mapping[str, Any]) -> float | None:
    allowed = summary["recall_by_decision"]["allow"]
    return None if allowed is None else 1.0 - float(allowed)


def _accounts(run: Run, summary: Mapping[str, Any]) -> str:
    rows: list[Sequence[page.Cell]] = [
        (f"{name}, {run.databases.get(name, '')}", *_account(entry)) for name, entry in summary["retailers"].items()
    ]
    rows.append(("live, both", *_account(summary)))
    if "second_act" in summary:
        rows.append((f"second act, {summary['second_act']['retailer']}", *_account(summary["second_act"])))
    rows.append(("history, both", *_account(summary["history"])))
    return page.render_card(
        "Every transaction accounted for",
        page.render_table(("", "in", "verdicts", "dead letters", "unaccounted"), rows),
        "In = verdicts + dead letters + unaccounted. Some rows were spoilt on purpose: they must become dead letters. "
        f"{summary['redeliveries']:,} transactions were delivered twice; {summary['degraded']:,} were first answered by "
        f"rules alone; {summary['labels']:,} labels arrived.{_replayed(summary)}",
        wide=True,
    )


def _replayed(summary: Mapping[str, Any]) -> str:
    return f" {comparison.describe_comparison(summary['replayed'])}" if "replayed" in summary else ""


def _account(entry: Mapping[str, Any]) -> tuple[int, int, int, int]:
    return entry["transactions_in"], entry["verdicts"], entry["dead_letters"], entry["unaccounted"]


def _decisions(run: Run, judged: Sequence[Judged]) -> str:
    kinds = [kind for kind in run.kinds if any(entry.truth.kind == kind for entry in judged)]
    groups: list[tuple[str, list[Judged]]] = [("genuine", [entry for entry in judged if not entry.truth.fraud])]
    groups += [(run.kinds[kind], [entry for entry in judged if entry.truth.kind == kind]) for kind in kinds]
    rows = [
        (name, [sum(entry.verdict.decision == decision for entry in group) for decision in DECISIONS])
        for name, group in groups
    ]
    return page.render_card(
        "Decisions against the truth",
        page.render_shaded_table(
            ("", *DECISIONS, ""), rows, DECISIONS, [_remark(name, counts) for name, counts in rows]
        ),
        "Found: anything but allow. Stopped: held or blocked. The truth is known here because the demonstration made or "
        "holds it; the system never saw it before it answered.",
        wide=True,
    )


def _second_act(course: Course, act: Mapping[str, Any], second: Sequence[Judged]) -> str:
    found = list_points(course, second)
    series = {
        "first model": [(point.seconds, point.found) for point in found if not point.by_new_model],
        "new model": [(point.seconds, point.found) for point in found if point.by_new_model],
    }
    marks = {"labels come in": (course.labelled_at - course.began_at).total_seconds()}
    if course.published_at is not None:
        marks["new model published"] = (course.published_at - course.began_at).total_seconds()
    rows = [
        (
            text,
            act["recall"][stage]["frauds"],
            act["recall"][stage]["found"],
            page.format_percent(act["recall"][stage]["share"]),
            page.format_percent(act["known_frauds"][stage]["share"]),
            page.format_percent(act["genuine_untroubled"][stage]["share"]),
        )
        for stage, text in STAGES.items()
    ]
    head = ("", course.kind_text, "found", "recall", "recall of known kinds", "customers untroubled")
    return page.render_card(
        f"Second act: {course.kind_text} begins at {course.retailer}, and is learned",
        page.render_broad(figures.draw_recall(series, marks)) + page.render_table(head, rows),
        f"No history contains this fraud. {' '.join(describe_learning(act, course.kind_text))}",
        wide=True,
    )


def _third_act(act: Mapping[str, Any], kinds: Mapping[str, str]) -> str:
    retailers = act["retailers"].items()
    groups = {
        f"{name}\n{words}": (each["recall"][what]["before"], each["recall"][what]["after"])
        for name, each in retailers
        for what, words in (("never_seen", "never seen there"), ("seen", "seen there"))
    }
    gains = [
        (
            f"{name}{', a newcomer' if each['newcomer'] else ''}",
            each["examples"],
            ", ".join(kinds.get(kind, kind) for kind in each["seen"]),
            ", ".join(
                f"{kinds.get(kind, kind)} {page.format_percent(found['before'])} → {page.format_percent(found['after'])} of {found['frauds']}"
                for kind, found in each["recall_by_kind"].items()
                if kind in each["never_seen"]
            ),
            results.describe_serving(each),
        )
        for name, each in retailers
    ]
    head = ("", "examples", "frauds seen", "never seen: stopped alone → together", "model in the end")
    return page.render_card(
        "Third act: three retailers learn together, and show nobody a sale",
        page.render_broad(figures.draw_pairs(groups, ("alone", "together")))
        + page.render_table(head, gains)
        + page.render_table(results.ROUND_HEAD, [results.round_cells(line) for line in act["rounds"]])
        + page.render_paragraphs(results.describe_act(act)),
        wide=True,
    )


def _remark(name: str, counts: Sequence[int]) -> str:
    total = sum(counts)
    if not total:
        return ""
    if name == "genuine":
        return f"{100 * counts[0] / total:.1f} % untroubled"
    return f"{100 * (total - counts[0]) / total:.0f} % found, {100 * (counts[2] + counts[3]) / total:.0f} % stopped"


def _timeline(judged: Sequence[Judged]) -> str:
    if not judged:
        return ""
    first = min(entry.verdict.scored_at for entry in judged)
    seconds = [(entry.verdict.scored_at - first).total_seconds() for entry in judged]
    picture = figures.draw_timeline(seconds, [entry.verdict.decision for entry in judged], DECISIONS)
    return page.render_card("Verdicts per second", picture)


def _latency(summary: Mapping[str, Any], judged: Sequence[Judged]) -> str:
    whole = [entry.end_to_end_ms for entry in judged if entry.end_to_end_ms is not None]
    picture = figures.draw_latency(
        {"in Kafka → verdict": [entry.latency_ms for entry in judged], "database commit → readable": whole}
    )
    p99, p99_whole = summary["latency_ms"]["p99"], summary["end_to_end_ms"]["p99"]
    return page.render_card(
        "Latency",
        picture,
        f"99 of 100 within {page.format_milliseconds(p99)}, and within {page.format_milliseconds(p99_whole)} from the database on.",
    )


def _scores(judged: Sequence[Judged]) -> str:
    scored = [(entry.verdict.score, entry.truth.fraud) for entry in judged if entry.verdict.score is not None]
    picture = figures.draw_scores([s for s, fraud in scored if not fraud], [s for s, fraud in scored if fraud])
    return page.render_card("Scores", picture, "Genuine and fraudulent transactions, each as a share of its own kind.")


def _curve(summary: Mapping[str, Any], judged: Sequence[Judged]) -> str:
    scored = [(entry.verdict.score, entry.truth.fraud) for entry in judged if entry.verdict.score is not None]
    precision, recall = compute_precision_recall([s for s, _ in scored], [fraud for _, fraud in scored])
    points = {}
    for place, name in enumerate(DECISIONS[1:], start=1):
        point = _operating_point(judged, DECISIONS[place:])
        if point is not None:
            points[name] = point
    picture = figures.draw_precision_recall(precision.tolist(), recall.tolist(), points)
    return page.render_card(
        "Precision and recall",
        picture,
        f"Average precision of the score {page.format_number(summary['average_precision'])}.",
    )


def _operating_point(judged: Sequence[Judged], decisions: Sequence[str]) -> tuple[float, float] | None:
    """(recall, precision) of everything that was given one of `decisions`."""
    given = [entry.truth.fraud for entry in judged if entry.verdict.decision in decisions]
    frauds = sum(entry.truth.fraud for entry in judged)
    return (sum(given) / frauds, sum(given) / len(given)) if given and frauds else None


def _dead_letters(summary: Mapping[str, Any]) -> str:
    reasons = summary["dead_letters_by_reason"]
    body = page.render_bars(reasons, REASONS) if reasons else "<p>None.</p>"
    return page.render_card(
        "Dead letters by reason",
        body,
        "Rows that cannot be judged are never dropped: each one says why and where it is.",
    )


def _models(run: Run) -> str:
    rows = [(step, f"{seconds:.1f} s") for step, seconds in run.durations_s.items()]
    return page.render_card("How long it took", page.render_table(("step", "time"), rows))


def _examples(run: Run, judged: Sequence[Judged]) -> str:
    """The highest score of each kind of truth among what was held or blocked, genuine ones included: they are the price."""
    stopped = [entry for entry in judged if entry.verdict.decision in {"hold", "block"} and entry.verdict.reasons]
    stopped.sort(key=lambda entry: -(entry.verdict.score or 0.0))
    chosen: list[Judged] = []
    for lap in range(EXAMPLES_MAX):
        for kind in (*run.kinds, None):
            of_kind = [entry for entry in stopped if entry.truth.kind == kind]
            chosen += of_kind[lap : lap + 1]
    body = "".join(_example(run, entry) for entry in chosen[:EXAMPLES_MAX]) or "<p>Nothing was held or blocked.</p>"
    return page.render_card(
        "Why: examples of what was held or blocked", f'<div class="examples">{body}</div>', wide=True
    )


def _example(run: Run, entry: Judged) -> str:
    verdict = entry.verdict
    truth = run.kinds.get(entry.truth.kind or "", "fraud") if entry.truth.fraud else "genuine: a false alarm"
    return page.render_example(
        verdict.decision,
        f"{entry.amount_minor / 100:,.2f} at {entry.retailer}",
        f"score {page.format_number(verdict.score)}; in truth {truth}",
        [reason.text for reason in verdict.reasons[:REASONS_SHOWN]],
    )


def _foot(run: Run) -> str:
    return f"Tillguard demonstration, {run.date}. This file holds everything it shows; it loads nothing from anywhere."
