"""The sandbox: every outcome that a checkout can meet, on demand, without a topic, a model or a customer. Answers are made up.

What it remembers, bounded, is in memory alone: a restart forgets it.
"""

from collections import OrderedDict
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

import msgspec

from backoffice.checkout.answers import VerdictAnswer
from backoffice.checkout.door import FellBack, Judged, Refused
from backoffice.checkout.request import RequestReader, TransactionRequest, encode_content
from contract.clock import Clock
from contract.codec import Decoder
from contract.events import ResolutionKind, Transaction
from contract.features import get_schema_hash
from contract.policies import FallbackSettings, HoldSettings, decide_degraded
from contract.verdicts import REVISION_DEGRADED, REVISION_FULL, Decision, Reason, Verdict

Force = Literal["allow", "flag", "hold", "block", "degraded", "late", "timeout", "conflict", "expire"]
REMEMBERED_MAX = 10_000
EXPIRES_AFTER_S = 2.0
"""How long a hold of `expire` lasts."""
SCORES: dict[Decision, float] = {"allow": 0.01, "flag": 0.2, "hold": 0.5, "block": 0.95}
MODEL_VERSION = "sandbox"
RULES_VERSION = "r-sandbox"
MEANINGS: dict[ResolutionKind, Decision] = {
    "step_up_passed": "allow",
    "step_up_failed": "block",
    "approved": "allow",
    "rejected": "block",
}


class SandboxRequest(TransactionRequest, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """A transaction with the outcome that it is to have."""

    force: Force = "allow"
    """`degraded`: revision 0 at once, revision 1 when asked again. `late`: marked late. `timeout`: no verdict within the budget.
    `conflict`: the id was seen with other content. `expire`: a hold that nobody resolves within two seconds."""


@dataclass(slots=True)
class _Case:
    content: bytes
    force: Force
    verdict: Verdict
    resolution_id: str | None = None


class Sandbox:
    """Of one retailer; used by one event loop."""

    def __init__(
        self,
        reader: RequestReader,
        clock: Clock,
        *,
        base_currency: str,
        fallback: FallbackSettings,
        hold: HoldSettings,
        remembered_max: int = REMEMBERED_MAX,
    ) -> None:
        self._reader = reader
        self._clock = clock
        self._base_currency = base_currency
        self._fallback = fallback
        self._hold = hold
        self._remembered_max = remembered_max
        self._decoder = Decoder(SandboxRequest)
        self._cases: OrderedDict[str, _Case] = OrderedDict()

    def judge(self, body: bytes) -> Judged | FellBack | Refused:
        """What the request forces; raises InvalidEventError as the door does."""
        now = self._clock.now()
        request = self._decoder.decode(body)
        transaction, amount_base = self._reader.build(request, now)
        known = self._cases.get(transaction.transaction_id)
        content = encode_content(transaction)
        if request.force == "conflict" or (known is not None and known.content != content):
            return Refused("conflict", "this transaction_id was seen before with other content")
        fallback = decide_degraded(amount_base, self._base_currency, self._fallback)
        if known is None:
            verdict = _make_verdict(transaction, request.force, fallback, now, self._hold)
            self._remember(transaction.transaction_id, _Case(content, request.force, verdict))
        if request.force == "timeout":
            return FellBack(fallback)
        found = self.find(transaction.transaction_id)
        return Judged(found.document) if found is not None else FellBack(fallback)

    def find(self, transaction_id: str) -> VerdictAnswer | None:
        """The newest revision; asking moves on what time moves on."""
        case = self._cases.get(transaction_id)
        if case is None:
            return None
        answered, case.verdict = case.verdict, self._advance(case)
        shown = answered if answered.revision == REVISION_DEGRADED else case.verdict
        return VerdictAnswer(shown.revision, shown.outcome, msgspec.json.encode(shown))

    def resolve(self, transaction_id: str, resolution_id: str, outcome: ResolutionKind) -> Judged | Refused:
        """The revision that follows; as in service, one resolution ends a case."""
        case = self._cases.get(transaction_id)
        if case is None or (case.verdict.decision == "allow" and case.resolution_id is None):
            return Refused("not_resolvable", "no held, flagged or blocked verdict is known under transaction_id")
        if case.resolution_id not in {None, resolution_id}:
            return Refused("conflict", "another resolution of this transaction came first")
        if case.resolution_id is None:
            case.verdict = _revise(self._advance(case), MEANINGS[outcome], outcome, self._clock.now())
            case.resolution_id = resolution_id
        return Judged(msgspec.json.encode(case.verdict))

    def _advance(self, case: _Case) -> Verdict:
        verdict, now = case.verdict, self._clock.now()
        if verdict.revision == REVISION_DEGRADED:
            return msgspec.structs.replace(
                verdict, revision=REVISION_FULL, decision="allow", score=SCORES["allow"], model_version=MODEL_VERSION,
                degraded=False, cause=None, reasons=[], scored_at=now,
            )  # fmt: skip
        if verdict.hold_until is not None and verdict.hold_until <= now:
            return _revise(verdict, self._hold.on_expiry, "expired", now)
        return verdict

    def _remember(self, transaction_id: str, case: _Case) -> None:
        self._cases[transaction_id] = case
        if len(self._cases) > self._remembered_max:
            self._cases.popitem(last=False)


def _make_verdict(
    transaction: Transaction, force: Force, fallback: Decision, now: datetime, hold: HoldSettings
) -> Verdict:
    decision = _choose_decision(force, fallback)
    lasts_s = EXPIRES_AFTER_S if force == "expire" else hold.expires_after_s
    is_degraded = force == "degraded"
    return Verdict(
        transaction_id=transaction.transaction_id,
        retailer=transaction.retailer,
        revision=REVISION_DEGRADED if is_degraded else REVISION_FULL,
        decision=decision,
        score=None if is_degraded else SCORES[decision],
        reasons=[Reason(code="policy:sandbox", text="the sandbox was asked for this", weight=1.0)],
        model_version=None if is_degraded else MODEL_VERSION,
        rules_version=RULES_VERSION,
        feature_schema=get_schema_hash(),
        rules=[],
        degraded=is_degraded,
        cause="model_unavailable" if is_degraded else None,
        late=force == "late",
        event_time=transaction.event_time,
        scored_at=now,
        latency_ms=0.0,
        stage_us={},
        hold_until=now + timedelta(seconds=lasts_s) if decision == "hold" and not is_degraded else None,
    )


def _choose_decision(force: Force, fallback: Decision) -> Decision:
    match force:
        case "allow" | "flag" | "hold" | "block":
            return force
        case "degraded":
            return fallback
        case "expire":
            return "hold"
        case "late" | "timeout" | "conflict":
            return "allow"


def _revise(verdict: Verdict, decision: Decision, outcome: str, now: datetime) -> Verdict:
    reason = Reason(code=f"policy:{outcome}", text="the sandbox was asked for this", weight=1.0)
    return msgspec.structs.replace(
        verdict,
        revision=verdict.revision + 1,
        decision=decision,
        reasons=[reason, *verdict.reasons],
        scored_at=now,
        hold_until=None,
        outcome=outcome,
    )
