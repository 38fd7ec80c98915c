"""The next attempt's plan: who, how, and what it costs in privacy. Pure; the budget is checked here, before anyone trains."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from msgspec.structs import replace

from contract.federation import Halted, LocalTraining, MaskingTerms, PrivacyTerms, RoundPlan
from contract.federation_settings import FederationSettings, PrivacySettings
from federation import selection
from federation.attempt import rules_of
from federation.coordinator_state import CoordinatorState
from federation.fixed_point import finest
from federation.graph import NEIGHBOURS, threshold
from federation.refusals import FederationRefusedError, PrivacyBudgetError
from federation.rounds import RoundRules
from federation.terms import value_bound

RING_BITS = 32


class Spend(NamedTuple):
    """What one more attempt costs."""

    epsilon_before: float
    epsilon_after: float
    record: bytes
    """As the accountant keeps it."""


class Accountant(Protocol):
    """Adds up what was released. Pure."""

    def price(self, spends: Sequence[bytes], privacy: PrivacySettings, cohort: int, approved: int) -> Spend:
        """The budget before and after one more attempt of `cohort` out of `approved`.

        Raises PrivacyBudgetError with the numbers where it would pass `privacy.epsilon_max`.
        """
        ...


class RoundPlanning:
    """See federation.coordinator.Planning."""

    def __init__(self, settings: FederationSettings, accountant: Accountant) -> None:
        self._settings = settings
        self._accountant = accountant

    def plan(self, state: CoordinatorState, now_ms: int) -> RoundPlan | Halted | None:  # noqa: ARG002 - the port's
        rounds = self._settings.rounds
        candidates = self._candidates(state)
        if len(candidates) < rounds.cohort_min:
            return None
        number, attempt = (state.round_number, state.attempt) if state.begun else (state.round_number + 1, 0)
        cohort = selection.select(
            candidates, rounds.cohort_max, rounds.selection, seed=rounds.seed, round_number=number, attempt=attempt
        )
        try:
            spend = self._accountant.price(state.spends, rounds.privacy, len(cohort), len(candidates))
            return self._drafted(state, number, attempt, cohort, spend)
        except PrivacyBudgetError as error:
            return Halted(
                reason=f"privacy budget: round {number} attempt {attempt} would raise epsilon from {error.epsilon_before:.3f} "
                f"to {error.epsilon_after:.3f} at delta {rounds.privacy.delta:g}, above {error.epsilon_max:g}"
            )
        except FederationRefusedError as error:
            return Halted(reason=f"no plan can be made: {error}"[:500])

    def rules(self, plan: RoundPlan) -> RoundRules:
        return rules_of(plan, self._settings.rounds)

    def spent(self, state: CoordinatorState, plan: RoundPlan) -> None:
        if plan.privacy.level != "none":
            approved = len(self._candidates(state))
            # Priced against nothing that it could pass: what stands on the log has happened, and must be counted.
            limitless = self._settings.rounds.privacy.model_copy(
                update={
                    "epsilon_max": float("inf"),
                    "level": plan.privacy.level,
                    "noise_multiplier": plan.privacy.noise_multiplier,
                }
            )
            state.spends.append(self._accountant.price(state.spends, limitless, len(plan.cohort), approved).record)

    def _candidates(self, state: CoordinatorState) -> list[selection.Candidate]:
        robust = self._settings.rounds.mode == "robust"
        return [
            selection.Candidate(
                member.name, stratum=_stratum(state, member.name), reputation=_reputation(state, member.name)
            )
            for member in state.approved()
            if member.allow_robust or not robust
        ]

    def _drafted(
        self, state: CoordinatorState, number: int, attempt: int, cohort: tuple[str, ...], spend: Spend
    ) -> RoundPlan:
        rounds = self._settings.rounds
        proximal = rounds.strategy.proximal_mu if rounds.strategy.name == "fedprox" else 0.0
        plan = RoundPlan(
            round=number,
            attempt=attempt,
            mode=rounds.mode,
            cohort=cohort,
            updates_min=rounds.cohort_min,
            base_version=state.model.version,
            shapes=state.model.shapes,
            training=LocalTraining(
                epochs=rounds.training.epochs,
                batch_size=rounds.training.batch_size,
                learning_rate=rounds.training.learning_rate,
                prior_offset=rounds.training.prior_offset,
                proximal_mu=proximal,
            ),
            clip_norm=rounds.clip_norm,
            frauds_weight=rounds.frauds_weight,
            weight_unit=rounds.weight_unit,
            weight_max=1.0,
            privacy=PrivacyTerms(
                level=rounds.privacy.level,
                noise_multiplier=rounds.privacy.noise_multiplier if rounds.privacy.level != "none" else 0.0,
                delta=rounds.privacy.delta,
                epsilon_before=spend.epsilon_before,
                epsilon_after=spend.epsilon_after,
            ),
            bits=rounds.compression.bits,
            masking=None,
            seed=rounds.seed + number,
            roster_version=state.roster_version,
        )
        return plan if rounds.mode == "robust" else _masked(plan)


def _masked(plan: RoundPlan) -> RoundPlan:

    fixed = finest(RING_BITS, value_bound(plan), len(plan.cohort))
    complete = len(plan.cohort) <= NEIGHBOURS
    terms = MaskingTerms(
        ring_bits=RING_BITS,
        neighbours=NEIGHBOURS,
        threshold=threshold(len(plan.cohort), complete=complete),
        scale=fixed.scale,
    )
    return replace(plan, masking=terms)


def _stratum(state: CoordinatorState, name: str) -> str:
    """By what a participant did with the newest model that it told of: the federation should hear those it does not help, too."""
    return state.adoptions.get(name, "none").split(" ")[0]


def _reputation(state: CoordinatorState, name: str) -> float:
    return state.reputations.get(name, 1.0)
