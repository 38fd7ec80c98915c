"""What the third act found: rounds, bytes, privacy and the ledger from the federation's logs, and recall before and after. Pure."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from contract.federation.messages import LedgerEntry
from contract.federation.settings import GATE_CONFIDENCE, PROVING_TRAININGS
from demo.federation.adversary import ATTACKS
from demo.federation.members import Member, choose_stopped, compute_recall
from federation.audit.history import History, decode_content, list_rounds
from federation.transports.ports import Record
from tillguard.views.report.page import ABSENT

ALERT_SHARE = 0.08
"""Of the sales kept back, how many each model may stop: as many as are frauds, on average."""
CHOICES = {
    "local": "its own model",
    "global": "the common model",
    "blended": "a blend of both models",
    "fine_tuned": "the common model, tuned",
}
"""What a retailer's gate may choose, and how that is shown."""
MODELS_LOG, CONTROL_LOG, UPDATES_LOG = "models", "control", "updates"


class Measured(NamedTuple):
    """One member's scores on what it kept back; shape (n,)."""

    before: NDArray[np.floating]
    """By the model that it trained alone."""
    after: NDArray[np.floating]
    """By the model that serves in the end."""
    kinds: Sequence[str | None]
    """The truth."""


@dataclass(frozen=True, slots=True)
class MemberCourse:
    """How it went for one of the three."""

    member: Member
    examples: int
    """That it could learn from, with those that only judge."""
    frauds: int
    measured: Measured
    choices: Mapping[int, str]
    """Global model → what this retailer's gate chose."""
    models: tuple[str, str]
    """The versions that served before and after."""


@dataclass(frozen=True, slots=True)
class Course:
    """How the third act went."""

    federation: str
    members: Sequence[MemberCourse]
    told: History
    """What the coordinator said, read back from its logs."""
    records: Sequence[Record]
    """Everything on the logs."""
    bad: str
    """Name of the bad member."""
    attacks: Mapping[str, int]
    """What it sent, as saboteur.ATTACKS, and how often."""
    parameters: int
    """Numbers that a model has."""


def summarise(course: Course) -> dict[str, Any]:
    """The section `third_act` of the summary."""
    entries, audit = course.told.entries, course.told.audit
    honest = [each.member.name for each in course.members]
    dropped, told = count_drops(entries), tabulate_rounds(entries, course.records, honest)
    return {
        "federation": course.federation,
        "mode": next((decode_content(entry)["mode"] for entry in entries if entry.kind == "plan"), None),
        "alert_share": ALERT_SHARE,
        "retailers": {each.member.name: _member(each) for each in course.members},
        "rounds": told,
        "privacy": _price(told, course.parameters),
        "bad_member": {
            "name": course.bad,
            "sent": dict(course.attacks),
            "sent_in_all": sum(course.attacks.values()),
            "rounds_that_counted_it": _counted_in(entries, course.bad),
        },
        "dropped": dropped,
        "dropped_in_all": sum(dropped.values()),
        "ledger": {
            "entries": audit.head.following,
            "holds": audit.holds,
            "head": f"{audit.head.following - 1}:{audit.head.digest.hex()}",
            "records_of_others": course.told.refused,
        },
    }


def _member(course: MemberCourse) -> dict[str, Any]:
    member, found = course.member, course.measured
    stops = {"before": choose_stopped(found.before, ALERT_SHARE), "after": choose_stopped(found.after, ALERT_SHARE)}

    def of(wanted: Sequence[str]) -> dict[str, Any]:
        shares = {stage: _rounded(compute_recall(stop, found.kinds, wanted)) for stage, stop in stops.items()}
        return {"frauds": sum(kind in wanted for kind in found.kinds), **shares}

    return {
        "newcomer": member.newcomer,
        "examples": course.examples,
        "frauds": course.frauds,
        "seen": list(member.seen),
        "never_seen": list(member.never_seen),
        "kept_back": {"transactions": len(found.kinds), "stopped": int(stops["before"].sum())},
        "recall": {"never_seen": of(member.never_seen), "seen": of(member.seen)},
        "recall_by_kind": {kind: of([kind]) for kind in (*member.never_seen, *member.seen)},
        "choices": {str(version): choice for version, choice in sorted(course.choices.items())},
        "models": {"before": course.models[0], "after": course.models[1]},
    }


def tabulate_rounds(
    entries: Sequence[LedgerEntry], records: Sequence[Record], honest: Sequence[str]
) -> list[dict[str, Any]]:
    """Every round: its outcome, how long it took and for what, the bytes of each member, and what it cost in privacy."""
    lines = list_rounds(entries)
    begins = [line.began_ms for line in lines]
    found = []
    for place, line in enumerate(lines):
        until = begins[place + 1] if place + 1 < len(begins) else None
        during = [each for each in records if _within(each, line.began_ms, until)]
        privacy = _privacy(entries, line.round)
        learned_ms = _at(entries, line.round, "key_list")
        found.append(
            {
                "round": line.round,
                "outcome": line.outcome,
                "attempts": line.attempts,
                "participants": line.participants,
                "milliseconds": line.ended_ms - line.began_ms if line.ended_ms else None,
                "learning_ms": learned_ms - line.began_ms if learned_ms else None,
                "combining_ms": line.ended_ms - learned_ms if learned_ms and line.ended_ms else None,
                "bytes_up": {name: _bytes_up(during, name) for name in honest},
                "bytes_down_each": sum(len(each.value) for each in during if each.log in (CONTROL_LOG, MODELS_LOG)),
                "privacy": privacy,
            }
        )
    return found


def _within(record: Record, begin_ms: int, end_ms: int | None) -> bool:
    return record.appended_ms >= begin_ms and (end_ms is None or record.appended_ms < end_ms)


def _bytes_up(records: Sequence[Record], name: str) -> int:
    return sum(len(each.value) for each in records if each.log == UPDATES_LOG and each.key == name.encode())


def _at(entries: Sequence[LedgerEntry], number: int, kind: str) -> int | None:
    """When it was said last in this round."""
    return next((entry.at_ms for entry in reversed(entries) if entry.round == number and entry.kind == kind), None)


def _privacy(entries: Sequence[LedgerEntry], number: int) -> dict[str, Any]:
    """What the round's newest plan says of noise, and of epsilon after it."""
    plans = [decode_content(entry) for entry in entries if entry.round == number and entry.kind == "plan"]
    terms = plans[-1]["privacy"] if plans else {"level": "none"}
    if terms["level"] == "none":
        return {"level": "none"}
    wanted = ("level", "noise_multiplier", "delta", "epsilon_after")
    return {name: terms[name] for name in wanted}


def _price(told: Sequence[Mapping[str, Any]], parameters: int) -> dict[str, Any]:
    """What the rounds with noise cost: epsilon, and how loud the noise is next to the most that the members can say together.

    Each number of the sum gets noise of noise_multiplier clipping norms, and a sum of n updates has a norm of n clipping norms at most.
    """
    noisy = [line for line in told if line["privacy"]["level"] != "none"]
    if not noisy:
        return {"level": "none"}
    last = noisy[-1]
    loud = last["privacy"]["noise_multiplier"] * parameters**0.5
    return {
        "level": last["privacy"]["level"],
        "epsilon": round(last["privacy"]["epsilon_after"], 3),
        "delta": last["privacy"]["delta"],
        "rounds": [line["round"] for line in noisy],
        "noise_over_signal": round(loud / max(last["participants"], 1), 1),
        "members_for_equal": round(loud),
    }


def count_drops(entries: Sequence[LedgerEntry]) -> dict[str, int]:
    """Messages that did not count, by reason, as the ledger tells them."""
    total: Counter[str] = Counter()
    for entry in entries:
        if entry.kind == "dropped":
            total.update(decode_content(entry))
    return dict(sorted(total.items()))


def _counted_in(entries: Sequence[LedgerEntry], name: str) -> int:
    """In how many rounds' sums this member is."""
    return sum(entry.kind == "survivors" and name in decode_content(entry)["members"] for entry in entries)


def _rounded(share: float | None) -> float | None:
    return None if share is None else round(share, 4)


def describe_serving(member: Mapping[str, Any]) -> str:
    """Which model serves a retailer in the end: `a blend of both models, round 2`."""
    taken = [(version, choice) for version, choice in member["choices"].items() if choice != "local"]
    if not taken:
        return CHOICES["local"]
    version, choice = taken[-1]
    return f"{CHOICES[choice]}, round {version}"


ROUND_HEAD = ("round", "learning", "adding up", "each sent", "each received", "epsilon")


def round_cells(line: Mapping[str, Any]) -> tuple[str, ...]:
    """One round of a table: its number, times, bytes and epsilon."""
    privacy = line["privacy"]
    sent = max(line["bytes_up"].values(), default=0)
    return (
        str(line["round"]),
        *(ABSENT if line[part] is None else f"{line[part]:,} ms" for part in ("learning_ms", "combining_ms")),
        f"{sent:,} bytes",
        f"{line['bytes_down_each']:,} bytes",
        "no bound" if privacy["level"] == "none" else f"{privacy['epsilon_after']:.2f}",
    )


def describe_act(act: Mapping[str, Any]) -> list[str]:
    """The act in words: what travelled, the bad member, privacy, the ledger."""
    return [_travelled(act), _cheated(act), _protected(act), _audited(act)]


def _travelled(act: Mapping[str, Any]) -> str:
    sure = round(100 * GATE_CONFIDENCE)
    return (
        f"Stopped: of the frauds among the sales kept back, when every model may stop {100 * act['alert_share']:.0f} sales in 100. "
        "No sale, score or label left its retailer. What left is each one's change to the common model, hidden under random numbers that "
        "cancel out when all are added up: the coordinator reads the sum, and no single change. Each retailer then tried the common "
        f"model on its own newest labels. The first {PROVING_TRAININGS} had to be better there in {sure} of 100 resamplings to serve; later "
        f"ones were turned down only where the model that served was better in {sure} of 100. One that surely costs more never serves."
    )


def _cheated(act: Mapping[str, Any]) -> str:
    bad, dropped = act["bad_member"], act["dropped_in_all"]
    kinds = ", ".join(f"{count} {ATTACKS.get(kind, kind)}" for kind, count in bad["sent"].items())
    counted = bad["rounds_that_counted_it"]
    return (
        f"{bad['name']}, approved like the others, sent {bad['sent_in_all']} bad messages: {kinds}. "
        f"{'All' if dropped == bad['sent_in_all'] else f'{dropped} messages'} were dropped, as the ledger says, by reason; "
        + (f"it is in the sum of {counted} rounds. " if counted else "no sum has anything of it. ")
        + "What hides a change from the coordinator hides a false one, too: one that is well formed would be added, and against that "
        "stand the retailers' own trials."
    )


def _protected(act: Mapping[str, Any]) -> str:
    price = act["privacy"]
    bare = [str(line["round"]) for line in act["rounds"] if line["privacy"]["level"] == "none"]
    plain = (
        f"Privacy: rounds {', '.join(bare)} added no noise, so nothing bounds what the model itself could tell of the sales behind it. "
        if bare
        else ""
    )
    if price["level"] == "none":
        return plain + "No privacy was bought, and none is promised."
    last = price["rounds"][-1]
    kept = [name for name, each in act["retailers"].items() if each["choices"].get(str(last)) == "local"]
    return (
        f"{plain}Round {last} added noise that does: epsilon {price['epsilon']:.2f} was spent at delta {price['delta']:g}, and stands in the "
        f"ledger from before anyone trained. Among so few it costs the model: the noise is {price['noise_over_signal']:,.0f} times as loud as all "
        f"they can say together, and {len(kept)} of {len(act['retailers'])} refused what came of it. It takes hundreds of members "
        f"to be heard above it: with {price['members_for_equal']:,} both are equal."
    )


def _audited(act: Mapping[str, Any]) -> str:
    ledger = act["ledger"]
    reader = next((name for name, each in act["retailers"].items() if each["newcomer"]), "a member")
    if not ledger["holds"]:
        return f"Ledger: {ledger['entries']} entries, and a link or a signature does NOT hold."
    return (
        f"Ledger: {ledger['entries']} entries; every signature and link holds, as {reader}, the newcomer, found by itself, with nothing but "
        f"Kafka and the coordinator's fingerprint. Head {ledger['head'][:24]}…"
    )
