"""How a trainer is, as its heartbeat says it. Pure."""

from contract.status.message import Condition, Lag
from trainer.worker.service import Vitals


def describe_trainer(vitals: Vitals, now_s: float) -> Condition:
    """What /health says at monotonic time `now_s`, and what the trainer has to do."""
    reasons = vitals.list_ailments(now_s)
    return Condition(
        activity="training" if vitals.training else "collecting",
        healthy=not reasons,
        reasons=reasons,
        lag=None if vitals.lag is None else Lag(records=vitals.lag),
    )
