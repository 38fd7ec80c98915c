import re
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pytest

from contract.dead_letters import DeadLetter
from contract.verdicts import Reason, Verdict
from demo import summary
from demo.learning import recovery
from demo.learning.recovery import Course, list_points
from demo.tally import Entry, Phase, Tally
from demo.telling import html_report
from simulator.sales import KINDS, NEW_KINDS, Truth
from tillguard.views.report.page import ABSENT

NOW = datetime(2026, 3, 14, tzinfo=UTC)
RUN = html_report.Run(
    source="the <simulator> & friends",
    databases={"alder": "MySQL", "birch": "MongoDB"},
    kinds=KINDS,
    rate=200.0,
    date="2026-03-14",
    replay=False,
    durations_s={"live": 40.25},
)
VOID = {"meta", "br", "img", "link", "input", "hr"}


class Balance(HTMLParser):
    """Raises where a tag is closed that was not opened last."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def entry(
    tally: Tally,
    number: int,
    kind: str | None,
    decision: str,
    score: float,
    *,
    phase: Phase = "live",
    model: str = "m1",
) -> None:
    transaction_id = f"{tally.retailer}-{phase}-{number}"
    tally.expect(transaction_id, Entry(phase, Truth(kind is not None, kind, NOW), 123_456))
    tally.note_committed(transaction_id, NOW.timestamp() + number)
    verdict = Verdict(
        transaction_id=transaction_id,
        retailer=tally.retailer,
        revision=1,
        decision=decision,  # type: ignore[arg-type]
        score=score,
        reasons=[Reason(code="group:device", text=f"seen on <{number}> devices", weight=0.5)],
        model_version=model,
        rules_version="r1",
        feature_schema="v1-0",
        rules=[],
        degraded=False,
        cause=None,
        late=False,
        event_time=NOW,
        scored_at=NOW + timedelta(seconds=number),
        latency_ms=4.5,
        stage_us={},
    )
    tally.take_verdict(verdict, NOW.timestamp() + number + 0.02)


@pytest.fixture(scope="module")
def tallies() -> list[Tally]:
    chance = np.random.default_rng(3)
    result = []
    for name in ("alder", "birch"):
        tally = Tally(name)
        for number in range(60):
            kind = [*KINDS][number % 5] if number % 6 == 0 else None
            decision = "block" if kind else ["allow", "allow", "flag", "hold"][number % 4]
            entry(tally, number, kind, decision, float(chance.random()))
        tally.expect(f"{name}-bad", Entry("live", Truth(False, None, NOW), 1, bad="spoilt"))
        tally.take_dead_letter(
            DeadLetter(
                retailer=name, part="scoring", reason="currency_unknown", detail="", source="", position="", failed_at=NOW,
                key=f"{name}-bad",
            )
        )  # fmt: skip
        result.append(tally)
    return result


@pytest.fixture(scope="module")
def page(tallies: list[Tally]) -> str:
    return html_report.render_report(
        RUN, summary.summarise(tallies), [one for tally in tallies for one in tally.list_judged()]
    )


def text_of(page: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", re.sub(r"<style.*?</style>", "", page, flags=re.DOTALL)))


def test_every_tag_of_the_page_is_closed(page: str) -> None:
    balance = Balance()
    balance.feed(page)
    assert balance.open == []


def test_the_page_loads_nothing_from_anywhere(page: str) -> None:
    assert not re.findall(r"https?://|src=|@import|url\((?!#)|<script|<link", page)


def test_the_numbers_of_the_summary_are_on_the_page(page: str, tallies: list[Tally]) -> None:
    figures, text = summary.summarise(tallies), text_of(page)
    assert f"{figures['transactions_in']} transactions, every one answered once" in text
    assert "alder, MySQL 61 60 1 0" in text
    assert "live, both 122 120 2 0" in text
    assert "currency_unknown" in text
    assert f"Average precision of the score {figures['average_precision']:.2f}".rstrip("0") in text
    for kind in KINDS.values():
        assert kind in text
    assert "4.5 ms" in text
    assert "live 40.2 s" in text


def test_reasons_are_shown_in_words_and_every_value_is_escaped(page: str) -> None:
    assert "devices</li>" in page
    assert "seen on &lt;" in page
    assert "the &lt;simulator&gt; &amp; friends" in page
    assert "seen on <" not in page


def test_plots_take_their_colours_from_the_page(page: str) -> None:
    assert page.count("<svg") == 5
    assert not re.findall(r"#0102[0-9a-f]{2}", page)
    for name in re.findall(r"var\(--([a-z]+)\)", page):
        assert f"--{name}:" in page


def test_a_broken_promise_is_the_headline(tallies: list[Tally]) -> None:
    figures = summary.summarise(tallies) | {"unaccounted": 3}
    assert html_report.describe_result(figures) == "122 transactions: 3 unanswered, 0 answered twice and differently"


def test_a_report_without_any_verdict_still_reads() -> None:
    page = html_report.render_report(RUN, summary.summarise([Tally("alder")]), [])
    assert "0 transactions" in page
    assert "Nothing was held or blocked." in page


def second_act(new_model: str | None) -> tuple[Course, Tally]:
    """Twenty sales a stage, half of them of a new fraud: found by the new model alone."""
    tally = Tally("alder")
    for number in range(60):
        learned = number >= 40 and new_model is not None
        kind = "invoice_fraud" if number % 2 else None
        entry(
            tally, number, kind, "hold" if kind and learned else "allow", 0.5,
            phase="second", model=str(new_model) if learned else "m1",
        )  # fmt: skip
    course = Course(
        retailer="alder",
        kind="invoice_fraud",
        kind_text=NEW_KINDS["invoice_fraud"],
        first_model="m1",
        new_model=new_model,
        outcome="published" if new_model else "refused",
        sentence="better in 99% of <resamplings>",
        began_at=NOW,
        labelled_at=NOW + timedelta(seconds=20),
        published_at=NOW + timedelta(seconds=40) if new_model else None,
        labels=12,
        labels_of_kind=10,
    )
    return course, tally


@pytest.mark.parametrize("new_model", ["m2", None])
def test_the_second_act_is_told_with_its_numbers_and_a_plot(tallies: list[Tally], new_model: str | None) -> None:
    course, tally = second_act(new_model)
    judged = tally.list_judged("second")
    figures = summary.summarise(tallies)
    figures["second_act"] = recovery.summarise(course, judged, summary.count_outcomes([tally], "second"))
    page = html_report.render_report(
        RUN, figures, [one for each in tallies for one in each.list_judged()], course, judged
    )
    balance = Balance()
    balance.feed(page)
    assert balance.open == []
    text = text_of(page)
    assert page.count("<svg") == 6
    assert "first model 10 0 0.0 %" in text
    assert "second act, alder 60 60 0 0" in text
    assert "better in 99% of &lt;resamplings&gt;" in text.replace("Better", "better")
    if new_model:
        assert "new model 10 10 100.0 %" in text
        assert "new model published" in text
    else:
        assert f"new model 0 0 {ABSENT}" in text
        assert "No new model took over from m1." in text
        assert "new model published" not in text
    assert len(list_points(course, judged)) == 30


def test_what_the_second_act_lost_breaks_the_promise(tallies: list[Tally]) -> None:
    figures = summary.summarise(tallies)
    assert summary.are_promises_kept({**figures, "second_act": {"unaccounted": 0}})
    assert not summary.are_promises_kept({**figures, "second_act": {"unaccounted": 1}})


def test_the_third_act_is_told_with_a_plot_and_every_round(tallies: list[Tally]) -> None:
    recall = {"frauds": 40, "before": 0.25, "after": 0.75}
    noise = {"level": "client", "noise_multiplier": 1.0, "delta": 1e-5, "epsilon_after": 4.38}
    line = {
        "round": 1, "outcome": "model 1", "attempts": 1, "participants": 3, "milliseconds": 4_000, "learning_ms": 3_000,
        "combining_ms": 1_000, "bytes_up": {"cedar": 811_098}, "bytes_down_each": 891_309, "privacy": noise,
    }  # fmt: skip
    act = {
        "alert_share": 0.08,
        "retailers": {
            "cedar": {
                "newcomer": True, "examples": 400, "seen": ["bots"], "never_seen": ["stolen_card"],
                "recall": {"never_seen": recall, "seen": {"frauds": 0, "before": None, "after": None}},
                "recall_by_kind": {"stolen_card": recall}, "choices": {"1": "blended"},
            }
        },
        "rounds": [line],
        "privacy": {"level": "client", "epsilon": 4.38, "delta": 1e-5, "rounds": [1], "noise_over_signal": 148.0,
                    "members_for_equal": 444},
        "bad_member": {"name": "thorn", "sent": {"forged": 1}, "sent_in_all": 1, "rounds_that_counted_it": 0},
        "dropped_in_all": 1,
        "ledger": {"entries": 9, "holds": True, "head": "8:" + "a" * 64},
    }  # fmt: skip
    figures = summary.summarise(tallies) | {"third_act": act}
    told = html_report.render_report(RUN, figures, [one for tally in tallies for one in tally.list_judged()])
    balance = Balance()
    balance.feed(told)
    assert balance.open == []
    assert told.count("<svg") == 6
    text = text_of(told)
    assert "stolen card 25.0 % → 75.0 % of 40" in text
    assert "1 3,000 ms 1,000 ms 811,098 bytes 891,309 bytes 4.38" in text
    assert "a blend of both models, round 1" in text
    assert summary.are_promises_kept(figures)
    assert not summary.are_promises_kept(figures | {"third_act": act | {"ledger": {"holds": False}}})
