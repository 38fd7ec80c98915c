"""How the desk does: how much, how fast, and how often right. Pure."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from statistics import median

from backoffice.cases.outcomes import is_right
from backoffice.cases.results import DeskFigures, HandledDecision
from backoffice.cases.story import find_truth
from contract.events import Label


def summarise(
    handled: Sequence[HandledDecision],
    labels: Mapping[str, Sequence[Label]],
    *,
    since: datetime,
    until: datetime,
    now: datetime,
    by: str | None,
    expired_unseen: int,
    capped: bool,
) -> DeskFigures:
    """The figures of decisions made in [since, until).

    Args:
        handled: the decisions.
        labels: of their transactions, as the read model gives them.
        since: begin of the range.
        until: its end.
        now: labels of a later time do not exist yet.
        by: whose decisions these are; None: everybody's.
        expired_unseen: holds that ended without a decision.
        capped: there are more decisions than these.
    """
    standing = [each.decision for each in handled if each.decision.state != "refused"]
    truths = [(each.outcome, find_truth(labels.get(each.transaction_id, ()), now)) for each in standing]
    judged = [is_right(outcome, fraud=fraud) for outcome, fraud in truths if fraud is not None]
    # A case that nobody took before its decision, as one of many at once, says nothing of how long one takes.
    times = [each.took_s for each in handled if each.took_s > 0]
    return DeskFigures(
        since=since,
        until=until,
        by=by,
        decided=len(standing),
        approved=sum(each.outcome == "approved" for each in standing),
        rejected=sum(each.outcome == "rejected" for each in standing),
        pending=sum(each.state == "pending" for each in standing),
        refused=len(handled) - len(standing),
        judged=len(judged),
        right=sum(judged),
        hit_rate=sum(judged) / len(judged) if judged else None,
        median_handling_s=median(times) if times else None,
        expired_unseen=expired_unseen,
        capped=capped,
    )
