"""Which models a coordinator shows to whom after an attempt, for them to judge. Pure but for the random key."""

from collections.abc import Mapping

from contract.federation.messages import Member, RoundPlan, SiteModels
from federation.coordinator.collection import Collection
from federation.messages.cross_site import build_message, draw_shown


def prepare_site_models(
    federation: str,
    plan: RoundPlan,
    model_version: int,
    base: bytes,
    *,
    collection: Collection,
    members: Mapping[str, Member],
) -> SiteModels | None:
    """The models of the attempt's willing participants for them to judge, where two can be shown without telling of a third."""
    # Whoever was revoked since, or holds other keys under the name by now, is another than the one that was willing.
    willing = {
        name: one
        for name, one in collection.list_willing().items()
        if members[name].status == "approved" and members[name].sealing_key == one.sealing_key
    }
    names = draw_shown(plan, list(willing), in_model=len(collection.list_separable()))
    if not names:
        return None
    return build_message(federation, plan, model_version, base, {name: willing[name] for name in names})
