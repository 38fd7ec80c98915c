"""The chain of audit entries, without a database."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backoffice.audit.chain import AuditEntry, Head, hash_entry, make_head_after, verify_chain


def entries(count: int) -> list[AuditEntry]:
    made, head = [], Head()
    for number in range(count):
        entry = AuditEntry(
            retailer="meadow", number=number, previous=head.digest, at_ms=number, who_kind="person", who_id="p1",
            who_name="ann", action="cases.decide", object=f"case:{number}", outcome="done", details={"b": 1, "a": "x"},
        )  # fmt: skip
        made.append(entry)
        head = make_head_after(entry)
    return made


def test_a_whole_chain_holds_and_an_empty_one_too() -> None:
    assert verify_chain([]) == (Head(), "")
    assert verify_chain(entries(5)) == (make_head_after(entries(5)[-1]), "")


@pytest.mark.parametrize(
    "changes",
    [
        {"retailer": "harbour"}, {"at_ms": 99}, {"who_kind": "token"}, {"who_id": "p2"}, {"who_name": "bob"}, {"action": "cases.note"},
        {"object": "case:9"}, {"outcome": "failed"}, {"details": {}}, {"details": {"a": "x", "b": True}}, {"previous": "0" * 64},
    ],
)  # fmt: skip
def test_no_field_can_be_changed_without_its_being_found(changes: dict[str, object]) -> None:
    chain = entries(4)
    chain[2] = msgspec.structs.replace(chain[2], **changes)
    assert not verify_chain(chain).holds
    last = entries(3)
    noted = make_head_after(last[-1])
    last[-1] = msgspec.structs.replace(last[-1], **changes)
    assert not verify_chain(last, noted).holds


@given(st.permutations(range(6)))
def test_every_other_order_is_found(order: list[int]) -> None:
    chain = entries(6)
    assert verify_chain([chain[each] for each in order]).holds == (order == sorted(order))


@given(st.integers(0, 5), st.integers(0, 6))
def test_a_noted_head_finds_that_entries_are_gone_at_the_end(kept: int, noted: int) -> None:
    chain = entries(6)
    head = Head() if noted == 0 else make_head_after(chain[noted - 1])
    assert verify_chain(chain[:kept], head).holds == (noted <= kept)


def test_details_count_by_content_and_not_by_their_order() -> None:
    one = entries(1)[0]
    assert hash_entry(one) == hash_entry(msgspec.structs.replace(one, details={"a": "x", "b": 1}))


def test_a_head_is_read_as_it_is_written() -> None:
    head = make_head_after(entries(1)[0])
    assert Head.from_text(f" {head}\n") == head
    for text in ("", "1", "1:abc", f"-1:{head.digest}", f"1:{head.digest.upper()}x", f"²:{head.digest}"):
        with pytest.raises(ValueError, match="NUMBER:DIGEST"):
            Head.from_text(text)
