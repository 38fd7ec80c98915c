"""A plan of mode robust, and single updates as the coordinator opens them."""

from msgspec.structs import replace

from contract.federation.frames import Envelope, SignedEnvelope
from contract.federation.messages import LocalTraining, PrivacyTerms, RoundPlan, TensorShape, Update
from federation.messages.envelope import Opened
from federation.messages.identity import Identity

PLAN = RoundPlan(
    round=7, attempt=1, mode="robust", cohort=("alma", "berta", "carl"), updates_min=3, base_version=6,
    shapes=(TensorShape(name="w", shape=(1,)),),
    training=LocalTraining(epochs=1, batch_size=1, learning_rate=0.1, prior_offset=True, proximal_mu=0.0),
    clip_norm=2.0, frauds_weight=0.5, weight_unit=1.0, weight_max=1.0,
    privacy=PrivacyTerms(
        level="none", noise_multiplier=0.0, delta=1e-5, epsilon_before=0.0, epsilon_after=0.0, examples_min=1
    ),
    bits=32, masking=None, seed=1, roster_version=1,
)  # fmt: skip


def robust_plan(**changes: object) -> RoundPlan:
    """PLAN, without privacy, with `changes`."""
    return replace(PLAN, **changes)


def opened(message: Update, sender: Identity, plan: RoundPlan) -> Opened:
    """`message`, as `sender` sealed it to the coordinator in the plan's attempt."""
    envelope = Envelope(
        version=1, federation="federation", type="update", round=plan.round, attempt=plan.attempt, sender=sender.name,
        recipient="coordinator", sent_at_ms=0, epoch=1, body=b"",
    )  # fmt: skip
    return Opened(envelope, message, sender.public, SignedEnvelope(envelope=b"", signature=b""))
