"""A coordinator with everything that it is made of; the same for processes, simulations and tests."""

from contract.federation import RoundPlan
from contract.federation_settings import FederationSettings
from federation.collection import Collection
from federation.coordinator import Coordinator, Dropped, Finishing
from federation.coordinator_state import CoordinatorState
from federation.identity import Identity
from federation.masked import MaskedCollection
from federation.planning import RoundPlanning
from federation.robust import RobustCollection


def coordinator_for(
    identity: Identity,
    settings: FederationSettings,
    state: CoordinatorState,
    *,
    finishing: Finishing,
    dropped: Dropped = lambda _sender, _reason, _detail: None,
) -> Coordinator:
    """See federation.coordinator.Coordinator."""

    def collecting(plan: RoundPlan) -> Collection:
        if plan.mode == "masked":
            return MaskedCollection(settings.name, plan)
        return RobustCollection(settings, identity, plan)

    return Coordinator(
        identity,
        settings,
        state,
        planning=RoundPlanning(settings),
        collecting=collecting,
        finishing=finishing,
        dropped=dropped,
    )
