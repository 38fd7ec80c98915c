"""What a status message may hold."""

import pytest

from contract.codec import Decoder, encode
from contract.errors import InvalidEventError
from contract.status.message import REASONS_MAX, TEXT_MAX, Condition, clip_sentences


def test_sentences_that_are_too_long_or_too_many_are_cut_so_that_every_reader_takes_them() -> None:
    many = ["x" * (TEXT_MAX + 1)] * (REASONS_MAX + 1)
    decoder = Decoder(Condition)
    with pytest.raises(InvalidEventError):
        decoder.decode(encode(Condition(activity="scoring", healthy=False, reasons=many)))
    cut = Condition(activity="scoring", healthy=False, reasons=clip_sentences(many))
    assert decoder.decode(encode(cut)) == cut
