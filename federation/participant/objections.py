"""What a retailer's own settings, and what it knows, have against a round. Pure."""

from contract.federation.messages import RoundPlan
from contract.federation.settings import ParticipantSettings
from federation.participant.state import ParticipantState
from federation.secagg.graph import NEIGHBOURS


def to_plan(plan: RoundPlan, own: ParticipantSettings, state: ParticipantState, *, foreign: bool) -> str | None:
    """Why this retailer takes no part, its budget apart, as a code of REFUSALS; None: nothing is against it.

    `foreign`: the plan's model is another than the one that is learned here.
    """
    base = state.models.get(plan.base_version)
    checks = {
        "mode": plan.mode == "robust" and (not own.allow_robust or plan.purpose != "training"),
        "cohort": len(plan.cohort) < own.cohort_min or (plan.mode == "masked" and plan.updates_min < own.cohort_min),
        "privacy": own.require_privacy if plan.privacy.level == "none" else plan.privacy.delta > own.delta_max,
        "keys": not all(_is_approved(state, name) for name in plan.cohort) or _may_isolate(plan),
        "model": base is None or base.shapes != plan.shapes or foreign,
    }
    return next((reason for reason, applies in checks.items() if applies), None)


def _is_approved(state: ParticipantState, name: str) -> bool:
    member = state.members.get(name)
    return member is not None and member.status == "approved" and name not in state.distrusted


def _may_isolate(plan: RoundPlan) -> bool:
    """Whether fewer stand between a retailer and the coordinator than the promise is worked out for (federation.secagg.graph)."""
    return plan.mode == "masked" and (plan.masking is None or plan.masking.neighbours < NEIGHBOURS)
