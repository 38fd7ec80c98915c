import json
from io import StringIO
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from contract.federation.messages import LedgerEntry
from demo.federation import adversary, results
from demo.federation.members import Member
from demo.federation.results import Course, Measured, MemberCourse
from demo.telling import closing
from federation.audit.history import History
from federation.audit.ledger import GENESIS, Head, make_head_after, make_next_entry, verify_chain
from federation.transports.ports import LogName, Record
from simulator.sales import KINDS

BEGAN_MS = 1_000_000
NOISE = {"level": "client", "noise_multiplier": 2.0, "delta": 1e-5, "epsilon_before": 0.0, "epsilon_after": 3.25}


def chain(*said: tuple[str, int, int, dict[str, Any]]) -> tuple[LedgerEntry, ...]:
    """Entries (kind, round, milliseconds after the beginning, content)."""
    head, entries = Head(0, GENESIS), []
    for kind, number, at_ms, content in said:
        entries.append(make_next_entry(head, kind, content, at_ms=BEGAN_MS + at_ms, round_number=number, attempt=0))
        head = make_head_after(entries[-1])
    return tuple(entries)


def one_round(number: int, at_ms: int, privacy: dict[str, Any]) -> list[tuple[str, int, int, dict[str, Any]]]:
    return [
        ("plan", number, at_ms, {"mode": "masked", "privacy": privacy}),
        ("dropped", 0, at_ms + 3_000, {"unsigned": 2, "oversized": 1}),
        ("key_list", number, at_ms + 3_000, {}),
        ("survivors", number, at_ms + 3_500, {"stage": "updates", "members": ["cedar", "elm"]}),
        ("global_model", number, at_ms + 4_000, {"model_version": number, "participants": 2}),
    ]


ENTRIES = chain(
    *one_round(1, 0, {"level": "none"}), *one_round(2, 10_000, NOISE), ("dropped", 0, 14_500, {"unsigned": 1})
)


def record(log: LogName, key: str, size: int, at_ms: int) -> Record:
    return Record(log, 0, key.encode(), bytes(size), BEGAN_MS + at_ms)


RECORDS = [
    record("updates", "cedar", 7, -1),
    record("control", "coordinator", 100, 1),
    record("updates", "cedar", 800, 2_000),
    record("updates", "thorn", 999, 2_000),
    record("models", "coordinator", 700, 4_001),
    record("ledger", "3", 50, 4_001),
    record("updates", "cedar", 900, 12_000),
    record("updates", "elm", 30, 19_000),
]
KINDS_SOLD = [None, "bots", "bots", "stolen_card", None] * 10
"""With a share of 8 in 100, four of these fifty are stopped."""


def course(entries: tuple[LedgerEntry, ...] = ENTRIES) -> Course:
    blind = np.array([float(kind == "bots") for kind in KINDS_SOLD])
    learned = np.array([float(kind == "stolen_card") for kind in KINDS_SOLD])
    cedar = MemberCourse(
        Member("cedar", ("bots",), 50, 0.5), 400, 30, Measured(blind, learned, KINDS_SOLD), {1: "blended", 2: "local"},
        ("c-1", "c-2"),
    )  # fmt: skip
    elm = MemberCourse(
        Member("elm", ("bots",), 50, 0.5, newcomer=True), 90, 9, Measured(blind, blind, KINDS_SOLD),
        {1: "local", 2: "local"}, ("e-1", "e-1"),
    )  # fmt: skip
    told = History(None, 1, None, entries, verify_chain(entries), 0)
    return Course("f", [cedar, elm], told, RECORDS, "thorn", {"forged": 4, "oversized": 3}, 10_000)


def test_each_round_has_its_own_times_bytes_and_privacy() -> None:
    first, second = results.summarise(course())["rounds"]
    assert (first["milliseconds"], first["learning_ms"], first["combining_ms"]) == (4_000, 3_000, 1_000)
    assert first["bytes_up"] == {"cedar": 800, "elm": 0}
    assert first["bytes_down_each"] == 800
    assert first["privacy"] == {"level": "none"}
    assert second["bytes_up"] == {"cedar": 900, "elm": 30}
    assert second["privacy"]["epsilon_after"] == 3.25
    assert (second["outcome"], second["participants"]) == ("model 2", 2)


def test_what_was_dropped_is_summed_up_from_the_ledger_and_the_sums_hold_nothing_of_the_bad_member() -> None:
    figures = results.summarise(course())
    assert figures["dropped"] == {"oversized": 2, "unsigned": 5}
    assert figures["dropped_in_all"] == figures["bad_member"]["sent_in_all"] == 7
    assert figures["bad_member"]["rounds_that_counted_it"] == 0
    let_in = chain(("survivors", 1, 0, {"stage": "updates", "members": ["cedar", "thorn"]}))
    assert results.summarise(course(let_in))["bad_member"]["rounds_that_counted_it"] == 1


def test_recall_is_measured_at_the_same_number_of_stopped_sales_before_and_after() -> None:
    cedar = results.summarise(course())["retailers"]["cedar"]
    assert cedar["kept_back"] == {"transactions": 50, "stopped": 4}
    assert cedar["recall"]["never_seen"] == {"frauds": 10, "before": 0.0, "after": 0.4}
    assert cedar["recall"]["seen"] == {"frauds": 20, "before": 0.2, "after": 0.0}
    assert cedar["recall_by_kind"]["coupon_abuse"] == {"frauds": 0, "before": None, "after": None}
    assert cedar["choices"] == {"1": "blended", "2": "local"}


def test_noise_is_compared_with_what_the_members_can_say() -> None:
    price = results.summarise(course())["privacy"]
    assert (price["epsilon"], price["rounds"]) == (3.25, [2])
    assert price["noise_over_signal"] == 100.0  # 2 * sqrt(10,000) / 2 members
    assert price["members_for_equal"] == 200


def test_the_sentences_say_what_happened_and_a_broken_ledger_is_no_success() -> None:
    text = " ".join(results.describe_act(results.summarise(course())))
    assert "sent 7 bad messages: 4 in another member's name, 3 far too large" in text
    assert "epsilon 3.25 was spent at delta 1e-05" in text
    assert "2 of 2 refused what came of it" in text
    assert "every signature and link holds" in text
    broken = results.summarise(course(ENTRIES[:2] + ENTRIES[3:]))
    assert broken["ledger"]["holds"] is False
    assert "does NOT hold" in " ".join(results.describe_act(broken))


def test_without_noise_no_privacy_is_claimed() -> None:
    figures = results.summarise(course(chain(*one_round(1, 0, {"level": "none"}))))
    assert figures["privacy"] == {"level": "none"}
    assert "none is promised" in " ".join(results.describe_act(figures))


@pytest.mark.parametrize("width", [80, 140])
def test_the_terminal_shows_who_gained_and_what_each_round_cost(width: int) -> None:
    console = Console(width=width, record=True, file=StringIO())
    console.print(closing.render_third_act(results.summarise(course()), KINDS))
    text = console.export_text()
    assert "elm, a newcomer" in text
    assert "a blend of both models, round 1" in text
    assert "3,000 ms" in text
    assert "no bound" in text


def test_the_saboteurs_log_tells_what_it_sent() -> None:
    log = "2026 [warning] something\nsent: forged\nsent: malformed\nsent: forged\n"
    assert adversary.count_sent(log) == {"forged": 2, "malformed": 1}
    assert adversary.count_sent("") == {}
    assert json.dumps(adversary.ATTACKS)
