"""A coordinator with everything that it is made of; the same for processes, simulations and tests."""

from contract.federation.messages import RoundPlan
from contract.federation.settings import FederationSettings
from federation.coordinator.collection import Collection
from federation.coordinator.coordinator import Coordinator, Dropped, ServerUpdate
from federation.coordinator.masked import MaskedCollection
from federation.coordinator.planning import RoundPlanning
from federation.coordinator.robust import RobustCollection
from federation.coordinator.state import CoordinatorState
from federation.messages.identity import Identity


def build_coordinator(
    identity: Identity,
    settings: FederationSettings,
    state: CoordinatorState,
    *,
    server_update: ServerUpdate,
    dropped: Dropped = lambda _sender, _reason, _detail: None,
) -> Coordinator:
    """See federation.coordinator.coordinator.Coordinator."""

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
        server_update=server_update,
        dropped=dropped,
    )
