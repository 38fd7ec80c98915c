"""The newest global model, as it is remembered and told again."""

from msgspec.structs import replace

from federation.messages.global_weights import GlobalWeights, build_message, read_weights


def test_a_model_that_is_told_again_is_the_same_model() -> None:
    model = GlobalWeights(version=9, shapes=(), payload=b"", purpose="calibration", trainings=4)
    assert read_weights(build_message(model), 12) == model


def test_a_model_remembers_the_round_that_made_it_where_the_next_one_calibrates_it() -> None:
    told = build_message(GlobalWeights(version=9, shapes=(), payload=b""))
    assert read_weights(told, 12).calibration_after == -1
    assert read_weights(replace(told, calibration_follows=True), 12).calibration_after == 12
    assert (told.participants, told.weight, told.metrics) == (0, 0.0, {})
