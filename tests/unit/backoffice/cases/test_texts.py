"""What people may write."""

import pytest

from backoffice.cases.texts import find_fault, has_card_number


@pytest.mark.parametrize("text", ["4111 1111 1111 1111", "card 5500-0000-0000-0004, asked twice", "378282246310005"])
def test_a_card_s_number_is_refused_and_not_repeated(text: str) -> None:
    fault = find_fault("/note", text, 500)
    assert fault is not None
    assert (fault.pointer, fault.code) == ("/note", "card_number")
    assert text not in fault.text


@pytest.mark.parametrize(
    "text", ["order 4111 1111 1111 1112", "0000000000000000", "2026-05-01 12:00", "+49 30 1234567"]
)
def test_other_digits_are_no_card(text: str) -> None:
    assert not has_card_number(text)
    assert find_fault("/note", text, 500) is None


@pytest.mark.parametrize(
    ("text", "code"), [("", "length"), (" \n", "length"), ("x" * 11, "length"), ("a\x00b", "characters")]
)
def test_a_text_is_bounded_and_can_be_shown(text: str, code: str) -> None:
    fault = find_fault("/note", text, 10)
    assert fault is not None
    assert fault.code == code
