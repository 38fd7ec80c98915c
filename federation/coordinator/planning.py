"""The next attempt's plan: who, how, and what it costs in privacy. Pure; the budget is checked here, before anyone trains."""

from collections.abc import Iterable

from msgspec.structs import replace

from contract.federation.fields import Purpose
from contract.federation.messages import Halted, LocalTraining, MaskingTerms, Member, PrivacyTerms, RoundPlan
from contract.federation.settings import FederationSettings, Mode, RoundSettings
from federation.coordinator import selection
from federation.coordinator.attempt import build_rules
from federation.coordinator.round_schedule import choose_purpose
from federation.coordinator.rounds import RoundRules
from federation.coordinator.state import CoordinatorState
from federation.numeric.fixed_point import choose_finest
from federation.plan_parameters import compute_value_bound
from federation.privacy.accounting import Spend
from federation.privacy.budget import LevelSpend, build_privacy_ledger, release_of
from federation.refusals import FederationRefusedError
from federation.secagg.graph import NEIGHBOURS, compute_cohort_threshold

RING_BITS = 32


class RoundPlanning:
    """See federation.coordinator.coordinator.Planning."""

    def __init__(self, settings: FederationSettings) -> None:
        self._settings = settings

    def plan(self, state: CoordinatorState, now_ms: int) -> RoundPlan | Halted | None:
        rounds = self._settings.rounds
        purpose = choose_purpose(state, rounds)
        if purpose is None:
            return None
        candidates = self._candidates(state, choose_mode(purpose, rounds))
        if len(candidates) < rounds.cohort_min:
            return None
        number, attempt = (state.round_number, state.attempt) if state.begun else (state.round_number + 1, 0)
        cohort = selection.select(
            candidates, rounds.cohort_max, rounds.selection, seed=rounds.seed, round_number=number, attempt=attempt
        )
        try:
            plan = self._drafted(state, purpose, number, attempt, cohort)
            return replace(plan, privacy=self._priced(state, plan, now_ms))
        except FederationRefusedError as error:
            return Halted(reason=str(error)[:500])

    def derive_rules(self, plan: RoundPlan) -> RoundRules:
        return build_rules(plan, self._settings.rounds)

    def add_spend(self, state: CoordinatorState, plan: RoundPlan, at_ms: int) -> None:
        if plan.privacy.level == "none":
            return
        release = release_of(plan.privacy, plan.training, plan.purpose)
        spend = Spend(round=plan.round, attempt=plan.attempt, at_ms=at_ms, release=release)
        state.spends.append(LevelSpend(level=plan.privacy.level, spend=spend))

    def _priced(self, state: CoordinatorState, plan: RoundPlan, now_ms: int) -> PrivacyTerms:
        """The terms with what they cost; raises PrivacyBudgetError with the numbers where that passes the budget."""
        terms = plan.privacy
        if terms.level == "none":
            return terms
        budget = self._settings.rounds.privacy.epsilon_max
        ledger = build_privacy_ledger(state.spends, terms.level, delta=terms.delta, epsilon_max=budget)
        release = release_of(terms, plan.training, plan.purpose)
        admitted = ledger.admit(release, round_number=plan.round, attempt=plan.attempt, at_ms=now_ms)
        return replace(terms, epsilon_before=ledger.compute_epsilon(), epsilon_after=admitted.compute_epsilon())

    def _candidates(self, state: CoordinatorState, mode: Mode) -> list[selection.Candidate]:
        return [
            selection.Candidate(
                member.name, stratum=_stratum(state, member.name), reputation=_reputation(state, member.name)
            )
            for member in select_able(state.list_approved(), mode)
        ]

    def _drafted(
        self, state: CoordinatorState, purpose: Purpose, number: int, attempt: int, cohort: tuple[str, ...]
    ) -> RoundPlan:
        rounds = self._settings.rounds
        terms, training = build_terms(rounds)
        buffered = rounds.strategy.name == "fedbuff" and purpose == "training"
        plan = RoundPlan(
            round=number,
            attempt=attempt,
            mode=choose_mode(purpose, rounds),
            cohort=cohort,
            updates_min=rounds.strategy.buffer_size if buffered else rounds.cohort_min,
            base_version=state.model.version,
            shapes=state.model.shapes,
            training=training,
            clip_norm=rounds.clip_norm,
            frauds_weight=rounds.frauds_weight if purpose == "training" else 0.0,
            weight_unit=rounds.weight_unit,
            weight_max=1.0,
            privacy=terms,
            bits=rounds.compression.bits,
            zstd_level=rounds.compression.zstd_level,
            masking=None,
            seed=rounds.seed + number,
            roster_version=state.roster_version,
            staleness_max=rounds.strategy.staleness_max if buffered else 0,
            purpose=purpose,
        )
        return plan if plan.mode == "robust" else _masked(plan)


def choose_mode(purpose: Purpose, rounds: RoundSettings) -> Mode:
    """Statistics and calibration are masked sums in every mode: what a retailer's inputs and scores are like is nobody's to see."""
    return rounds.mode if purpose == "training" else "masked"


def select_able(members: Iterable[Member], mode: Mode) -> list[Member]:
    """Who may be selected: approved and, in mode robust, willing to let single updates leave."""
    return [member for member in members if member.status == "approved" and (member.allow_robust or mode == "masked")]


def describe_shortage(members: Iterable[Member], rounds: RoundSettings) -> str:
    """How many there are of how many that a round needs, in words; empty where there are enough."""
    count = len(select_able(members, rounds.mode))
    if count >= rounds.cohort_min:
        return ""
    return f"{count} of {rounds.cohort_min}" + (" that allow mode robust" if rounds.mode == "robust" else "")


def _masked(plan: RoundPlan) -> RoundPlan:
    fixed = choose_finest(RING_BITS, compute_value_bound(plan), len(plan.cohort))
    terms = MaskingTerms(
        ring_bits=RING_BITS,
        neighbours=NEIGHBOURS,
        threshold=compute_cohort_threshold(len(plan.cohort)),
        scale=fixed.scale,
    )
    counted = plan.purpose == "training" and plan.privacy.level == "none"
    return replace(plan, masking=terms, counts_clipped=counted)


def _stratum(state: CoordinatorState, name: str) -> str:
    """By what a participant did with the newest model that it told of: the federation should hear those it does not help, too."""
    return state.adoptions.get(name, "none").split(" ")[0]


def _reputation(state: CoordinatorState, name: str) -> float:
    return state.reputations.get(name, 1.0)


def build_terms(rounds: RoundSettings) -> tuple[PrivacyTerms, LocalTraining]:
    """What a plan of these settings would say of privacy and of training."""
    privacy = rounds.privacy
    terms = PrivacyTerms(
        level=privacy.level,
        noise_multiplier=privacy.noise_multiplier if privacy.level != "none" else 0.0,
        delta=privacy.delta,
        epsilon_before=0.0,
        epsilon_after=0.0,
        examples_min=privacy.examples_min,
    )
    training = LocalTraining(
        epochs=rounds.training.epochs,
        batch_size=rounds.training.batch_size,
        learning_rate=rounds.training.learning_rate,
        prior_offset=rounds.training.prior_offset,
        proximal_mu=rounds.strategy.proximal_mu if rounds.strategy.name == "fedprox" else 0.0,
    )
    return terms, training
