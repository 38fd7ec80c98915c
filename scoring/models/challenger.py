"""What the newest promotion and the newest challenge together mean. Pure.

Every worker must come to the same end, whether it followed the topic all along or read what compaction left of it: so this
looks at nothing but the newest message of each kind.
"""

from collections.abc import Sequence

from contract.errors import PackageRefusedError
from contract.events import Transaction
from contract.models import ChallengeMode, ModelChallenge, ModelPromotion
from contract.package import is_version
from scoring.decision.shares import CANARY, get_canary_token, is_in_share
from scoring.ports import Challenger


def choose_challenger(challenge: ModelChallenge | None, promotion: ModelPromotion | None) -> tuple[str, str] | None:
    """Version and checksum of the package that should challenge, or None; raises PackageRefusedError for what none can be.

    Who serves does not challenge.
    """
    if challenge is None or challenge.model_version is None:
        return None
    if not is_version(challenge.model_version) or challenge.package_sha256 is None:
        raise PackageRefusedError("format", "a challenge by a version that cannot be")
    if promotion is not None and promotion.model_version == challenge.model_version:
        return None
    return challenge.model_version, challenge.package_sha256


def decide_conduct(challenge: ModelChallenge, promotion: ModelPromotion | None) -> tuple[ChallengeMode, float]:
    """Mode and share of a challenge.

    A promotion that was decided after a canary ends it: whoever rolls back wants nobody to be answered by what was on trial.
    It continues in shadow until it is decided again.
    """
    if challenge.mode == "shadow" or (promotion is not None and promotion.promoted_at > challenge.decided_at):
        return "shadow", 0.0
    return "canary", challenge.share


def choose_canary_rows(challenger: Challenger | None, transactions: Sequence[Transaction]) -> dict[int, str] | None:
    """Rows of `transactions` that a canary answers, each with its version; None where there is no canary."""
    if challenger is None or challenger.mode != "canary":
        return None
    version, share = challenger.model.version, challenger.share
    return {
        row: version
        for row, transaction in enumerate(transactions)
        if is_in_share(get_canary_token(transaction), CANARY, share)
    }
