import pytest
from hypothesis import given
from hypothesis import strategies as st

from backoffice.projection.cursors import CursorError, read, write


@given(st.text(max_size=40), st.integers(-(2**62), 2**62))
def test_a_cursor_gives_back_the_place_that_it_was_made_of(name: str, number: int) -> None:
    assert read(write(name, number, None), tuple[str, int, None]) == (name, number, None)


@given(st.text(max_size=60))
def test_whatever_text_is_given_as_a_cursor_is_refused_in_words(text: str) -> None:
    with pytest.raises(CursorError, match="begin without one"):
        read(text, tuple[str, str, str, int])


def test_a_cursor_of_another_list_is_refused() -> None:
    with pytest.raises(CursorError):
        read(write(1, 2), tuple[str, int])
