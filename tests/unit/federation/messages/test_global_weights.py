"""The newest global model, as it is remembered and told again."""

from federation.messages.global_weights import GlobalWeights, message_of, weights_of


def test_a_model_that_is_told_again_is_the_same_model() -> None:
    model = GlobalWeights(version=9, shapes=(), payload=b"", purpose="calibration", trainings=4)
    assert weights_of(message_of(model), 12) == model
