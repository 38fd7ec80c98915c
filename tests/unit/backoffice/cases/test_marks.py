"""What an entry of a list and a snooze need."""

from datetime import datetime, timedelta

import pytest

from backoffice.cases.marks import ListEntry, Snooze, check_entry, check_snooze
from backoffice.projection.results import Entity
from support.desk import NOW

CARD = Entity("card", "k1.card")
DAY = timedelta(days=1)


def snooze(**changes: object) -> Snooze:
    fields: dict[str, object] = {
        "rule": "amount-high",
        "entity": CARD,
        "until": NOW + DAY,
        "by": "ann",
        "comment": "asked",
    }
    return Snooze(**(fields | changes))  # type: ignore[arg-type]


def codes(faults: object) -> list[tuple[str, str]]:
    return [(each.pointer, each.code) for each in faults]  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("lasts", "may_last", "code"),
    [(30, False, None), (31, False, "too_far"), (180, True, None), (181, True, "too_far"), (-1, True, "past")],
)
def test_a_snooze_ends_within_what_the_one_who_asks_may_set(lasts: int, may_last: bool, code: str | None) -> None:
    faults = check_snooze(snooze(until=NOW + lasts * DAY), NOW, may_last=may_last, at="/snooze")
    assert codes(faults) == ([] if code is None else [("/snooze/until", code)])


def test_every_fault_of_a_snooze_is_told_at_once() -> None:
    bad = snooze(rule="Nope!", entity=Entity("shoe", ""), comment="", until=datetime(2026, 5, 2))  # noqa: DTZ001 - what is refused
    assert codes(check_snooze(bad, NOW, may_last=True)) == [
        ("/kind", "unknown"),
        ("/token", "length"),
        ("/rule", "pattern"),
        ("/until", "time_zone"),
        ("/comment", "length"),
    ]


@pytest.mark.parametrize(
    ("lasts", "may_last", "code"),
    [(None, False, "missing"), (None, True, None), (31, False, "too_far"), (400, True, None)],
)
def test_only_who_may_set_long_entries_leaves_out_the_end(lasts: int | None, may_last: bool, code: str | None) -> None:
    ends = None if lasts is None else NOW + lasts * DAY
    entry = ListEntry(entity=CARD, list="deny", expires_at=ends, by="ann", reason="ring")
    assert codes(check_entry(entry, NOW, may_last=may_last)) == ([] if code is None else [("/expires_at", code)])
