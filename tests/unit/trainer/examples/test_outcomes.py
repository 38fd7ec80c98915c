"""What scoring workers are told of transactions, and when."""

from typing import Any

from contract.clock import from_epoch_ms, to_epoch_ms
from contract.risk import KnownOutcome
from contract.windows import DAY_MS
from trainer.examples.label_log import LabelLog
from trainer.examples.labels import Revision
from trainer.examples.outcomes import SeenTransaction, compute_horizon_begin_ms, derive_outcome, find_missing

TODAY = 1_790_000_000_000
NEXT_YEAR = TODAY + 365 * DAY_MS
SALE = SeenTransaction("t-1", TODAY - 3 * DAY_MS, b"\x01\x00" + b"x" * 8, plain=True)


def revision(label_time_ms: int, *, fraud: bool, number: int = 0) -> Revision:
    return Revision(label_time_ms, number, "chargeback", fraud, None)


def told(*revisions: Revision, as_of_ms: int = TODAY) -> KnownOutcome | None:
    return derive_outcome("shop", SALE, revisions, as_of_ms)


def verdict(*revisions: Revision, as_of_ms: int = TODAY) -> bool | None:
    found = told(*revisions, as_of_ms=as_of_ms)
    return None if found is None else found.fraud


def test_a_fraud_is_told_of_from_its_time_on_and_not_before() -> None:
    dated = revision(NEXT_YEAR, fraud=True)
    assert verdict(dated) is None
    assert verdict(dated, as_of_ms=NEXT_YEAR) is True


def test_a_correction_takes_back_a_fraud_that_is_dated_in_the_future() -> None:
    early, correction = revision(NEXT_YEAR, fraud=True, number=1), revision(TODAY, fraud=False, number=2)
    assert verdict(early, correction) is False
    assert verdict(correction, early) is False


def test_genuine_ones_and_records_without_entities_have_nothing_to_tell() -> None:
    assert verdict(revision(TODAY, fraud=False)) is None
    nobody = SALE._replace(entities=b"")
    assert derive_outcome("shop", nobody, [revision(TODAY, fraud=True)], TODAY) is None


def test_records_of_a_single_entity_are_told_of_and_an_amount_explains_only_a_fraud() -> None:
    one = SALE._replace(entities=b"\x01\x00")
    assert derive_outcome("shop", one, [revision(TODAY, fraud=True)], TODAY) is not None
    for plain in (True, False):
        seen = SALE._replace(plain=plain)
        fraud = derive_outcome("shop", seen, [revision(TODAY, fraud=True)], TODAY)
        genuine = derive_outcome("shop", seen, [revision(0, fraud=True), revision(TODAY, fraud=False)], TODAY)
        assert fraud is not None
        assert genuine is not None
        assert (fraud.plain, genuine.plain) == (plain, False)


def message(label_time_ms: int, *, fraud: bool, **changes: Any) -> KnownOutcome:
    fields: dict[str, Any] = {
        "transaction_id": "t-1", "retailer": "shop", "event_time": from_epoch_ms(SALE.event_time_ms),
        "entities": SALE.entities, "fraud": fraud, "plain": fraud, "label_time": from_epoch_ms(label_time_ms),
    }  # fmt: skip
    return KnownOutcome(**(fields | changes))


def test_what_the_topic_says_already_is_not_sent_again() -> None:
    fraud = message(TODAY, fraud=True)
    assert find_missing([fraud], {}, TODAY) == [fraud]
    assert find_missing([fraud], {"t-1": fraud}, TODAY) == []
    assert find_missing([fraud], {"t-1": message(TODAY - 5, fraud=True, plain=False)}, TODAY) == []


def test_a_later_label_is_sent_and_one_that_the_topic_knows_later_stands() -> None:
    fraud, genuine = message(TODAY - 5, fraud=True), message(TODAY, fraud=False)
    assert find_missing([genuine], {"t-1": fraud}, TODAY) == [genuine]
    assert find_missing([fraud], {"t-1": genuine}, TODAY) == []
    same_moment = message(TODAY, fraud=True)
    assert find_missing([same_moment], {"t-1": genuine}, TODAY) == [same_moment]


def test_an_outcome_on_the_topic_that_is_dated_in_the_future_is_taken_back() -> None:
    future, genuine = message(NEXT_YEAR, fraud=True), message(TODAY, fraud=False)
    assert find_missing([genuine], {"t-1": future}, TODAY) == [genuine]


def test_the_horizon_reaches_a_month_and_the_delay_back() -> None:
    assert TODAY - compute_horizon_begin_ms(TODAY, 7.0) == 38 * DAY_MS
    assert to_epoch_ms(from_epoch_ms(TODAY)) == TODAY


def test_a_log_of_labels_keeps_every_revision_of_each_transaction() -> None:
    log = LabelLog()
    log.add("a", True, 3, "chargeback", "bots")
    log.add("b", False, 1, "review")
    log.add("a", False, 9, "analyst")
    assert log.list_revisions("a") == (
        Revision(9, 2, "analyst", False, None),
        Revision(3, 0, "chargeback", True, "bots"),
    )
    assert log.list_revisions("b") == (Revision(1, 1, "review", False, None),)
    assert log.list_revisions("c") == ()
    assert (len(log), log.list_called_fraud()) == (2, ["a"])


def test_where_no_label_says_fraud_nothing_is_called_so() -> None:
    log = LabelLog()
    assert log.list_called_fraud() == []
    log.add("b", False, 1, "review")
    assert log.list_called_fraud() == []
