"""Settings of rounds that cannot be kept together are refused, with the setting's name; the nearest that can are taken."""

from typing import Any

import pytest
from pydantic import ValidationError

from contract.federation.settings import PhaseTimes, RoundSettings

ROBUST: dict[str, Any] = {"mode": "robust"}
BUFFERED: dict[str, Any] = {"name": "fedbuff", "buffer_size": 4}


@pytest.mark.parametrize(
    ("good", "change", "said"),
    [
        ({"cohort_min": 5, "cohort_max": 5}, {"cohort_max": 4}, "cohort_min must not be above cohort_max"),
        ({"keys": {"count_max": 3}}, {"keys": {"count_max": 2}}, "keys.count_max must not be below cohort_min"),
        (
            {"cohort_max": 8, "unmasking": {"count_min": 8}},
            {"unmasking": {"count_min": 9}},
            "unmasking.count_min must not be above cohort_max",
        ),
        (
            ROBUST | {"privacy": {"level": "client"}, "robust": {"rule": "mean"}},
            {"robust": {"rule": "median"}},
            "privacy level client needs rule mean",
        ),
        (
            {"privacy": {"level": "client"}, "robust": {"rule": "median"}},
            ROBUST,
            "privacy level client needs rule mean",
        ),
        (
            ROBUST | {"privacy": {"level": "sample"}, "robust": {"rule": "median"}},
            {"privacy": {"level": "client"}},
            "privacy level client needs rule mean",
        ),
        (
            ROBUST | {"strategy": BUFFERED, "cohort_max": 4},
            {"cohort_max": 3},
            "buffer_size must not be above cohort_max",
        ),
        (ROBUST | {"strategy": BUFFERED}, {"mode": "masked"}, "strategy fedbuff needs mode robust"),
        (ROBUST | {"cross_site_every": 1}, {"mode": "masked"}, "cross_site_every shows single models"),
        (
            ROBUST | {"cross_site_every": 1, "robust": {"rule": "mean"}, "privacy": {"level": "sample"}},
            {"privacy": {"level": "client"}},
            "cross_site_every shows single models",
        ),
        ({"strategy": {"name": "fedavg", "buffer_size": 4}, "cohort_max": 4}, {"clip_norm": 0}, "clip_norm"),
    ],
)
def test_what_cannot_be_kept_together_is_refused(good: dict[str, Any], change: dict[str, Any], said: str) -> None:
    RoundSettings(**good)
    with pytest.raises(ValidationError, match=said):
        RoundSettings(**(good | change))


@pytest.mark.parametrize(
    ("good", "change", "said"),
    [
        ({"min_s": 30.0, "max_s": 30.0}, {"min_s": 30.1}, "min_s must not be above max_s"),
        ({"count_min": 4, "count_max": 4}, {"count_min": 5}, "count_min must not be above count_max"),
    ],
)
def test_times_and_numbers_of_a_phase_are_in_order(good: dict[str, Any], change: dict[str, Any], said: str) -> None:
    PhaseTimes(**good)
    with pytest.raises(ValidationError, match=said):
        PhaseTimes(**(good | change))


def test_each_phase_has_the_times_of_its_own_setting() -> None:
    times = {name: {"min_s": number} for number, name in enumerate(("keys", "shares", "updates", "unmasking"), start=1)}
    phases = RoundSettings.model_validate(times).phases
    assert {name: phase.min_s for name, phase in phases.items()} == {
        "keys": 1,
        "shares": 2,
        "updates": 3,
        "unmasking": 4,
    }
