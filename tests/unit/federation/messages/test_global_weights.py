"""The newest global model, as it is remembered and told again."""

from federation.messages.global_weights import GlobalWeights, build_message, read_weights


def test_a_model_that_is_told_again_is_the_same_model() -> None:
    model = GlobalWeights(version=9, shapes=(), payload=b"", purpose="calibration", trainings=4)
    assert read_weights(build_message(model), 12) == model
