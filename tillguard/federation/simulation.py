"""`tillguard federation simulate`: a description file in, results and a report out."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Self

import msgspec
from pydantic import Field, ValidationError, model_validator

from contract.errors import ConfigurationError, TillguardError
from contract.federation.fields import SITES_MAX
from contract.federation.messages import LocalTraining, PrivacyTerms
from contract.federation.settings import RoundSettings
from contract.sections.section import Section
from contract.settings import list_faults
from federation.coordinator.planning import build_terms
from federation.learning.learner import Arrays, Task
from federation.learning.metrics import measure
from federation.learning.numpy_learner import Data, NumpyLearner, fit, initialise_arrays, list_shapes, predict
from federation.messages.global_weights import GlobalWeights
from federation.numeric import aggregation
from federation.numeric.tensors import flatten
from federation.simulation.data import divide, generate_transactions, join_parts, split
from federation.simulation.report import (
    render_cross_site_csv,
    render_participants_csv,
    render_report,
    render_rounds_csv,
)
from federation.simulation.simulation import ParticipantFacts, Results, RoundFacts, Simulated, make_willing, simulate
from federation.transports.memory import Faults
from tillguard.config import read_yaml
from tillguard.federation import plots


class DataSection(Section):
    """What participants learn from, made up from the seed."""

    examples: int = Field(20_000, ge=100, le=10_000_000, description="all participants together, and the test set")
    features: int = Field(20, ge=1, le=10_000, description="inputs of the network")
    fraud_share: float = Field(0.02, gt=0, lt=1, description="of all examples")
    skew: float = Field(0.5, gt=0, le=1_000, description="0.1: participants that hardly see a fraud; 100: equal ones")


class FaultSection(Section):
    """What goes wrong, and how often."""

    loss: float = Field(0.0, ge=0, lt=1, description="of participants' records, never appended")
    delay_ms_max: int = Field(0, ge=0, le=86_400_000, description="between sending and the log, uniform up to this")
    duplication: float = Field(0.0, ge=0, le=1, description="of records, appended twice")
    damage: float = Field(0.0, ge=0, le=1, description="of records, a bit changed or the end cut off")
    participant_crash: float = Field(0.0, ge=0, lt=1, description="that a participant is killed, in each of its turns")
    coordinator_crash: float = Field(0.0, ge=0, le=1, description="that the coordinator is killed, in each round")


class Description(Section):
    """A simulation's file."""

    title: str = Field("simulation", max_length=200, description="stands over the report")
    seed: int = Field(7, ge=0, lt=2**31, description="of everything random")
    participants: int = Field(10, ge=2, le=2_000, description="this many, all in this process")
    rounds: int = Field(10, ge=1, le=10_000, description="this many")
    normalised: bool = Field(
        False,
        description="true: as in the product's network, a round of statistics comes first, and calibration after each training",
    )
    hidden: tuple[Annotated[int, Field(ge=1, le=4_096)], ...] = Field(
        (64, 32), max_length=8, description="widths of the network's hidden layers"
    )
    data: DataSection = Field(default_factory=DataSection)
    faults: FaultSection = Field(default_factory=FaultSection)
    federation: RoundSettings = Field(default_factory=RoundSettings, description="as federation.rounds of the settings")

    @model_validator(mode="after")
    def _can_be_simulated(self) -> Self:
        if self.federation.privacy.level == "sample":
            raise ValueError("federation.privacy.level sample needs DP-SGD, which simulated participants do not know")
        if self.federation.cross_site_every:
            raise ValueError(
                "federation.cross_site_every: a simulation tells everyone's model on everyone's data anyway"
            )
        faults = _too_few(self.participants, self.federation)
        if faults:
            raise ValueError("; ".join(f"participants: {self.participants}, and {fault}" for fault in faults))
        return self


def _too_few(participants: int, rounds: RoundSettings) -> list[str]:
    """What asks for more than there are, so that no round of the simulation could ever end well."""
    asked = {"cohort_min": rounds.cohort_min}
    stages = rounds.phases if rounds.mode == "masked" else {"keys": rounds.keys}
    asked |= {f"{name}.count_min": phase.count_min for name, phase in stages.items() if phase.count_min is not None}
    if rounds.strategy.name == "fedbuff":
        asked["strategy.buffer_size"] = rounds.strategy.buffer_size
    faults = [f"federation.{name} asks for {least}" for name, least in asked.items() if least > participants]
    robust = rounds.robust
    objection = (
        aggregation.describe_shortage(robust.rule, participants, robust.byzantine_max)
        if rounds.mode == "robust"
        else None
    )
    return [*faults, f"federation.coordinator.robust.rule: {objection}"] if objection else faults


def read_description(file: Path) -> Description:
    """The description in `file`; raises ConfigurationError with every fault."""
    document = read_yaml(file, "docs/federation.md has one to begin with")
    try:
        return Description.model_validate(document or {})
    except ValidationError as error:
        raise ConfigurationError(list_faults(error, where=str(file))) from None


def simulate_file(file: Path, out: Path) -> str:
    """Runs the description in `file`, writes everything to the folder `out`, and gives the report."""
    results = run_description(read_description(file))
    text = render_report(results)
    files = {
        "results.json": msgspec.json.format(msgspec.json.encode(results)).decode(),
        "rounds.csv": render_rounds_csv(results),
        "participants.csv": render_participants_csv(results),
        "cross_site.csv": render_cross_site_csv(results),
        "report.md": text,
    }
    images = plots.render_plots(results)
    try:
        out.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            (out / name).write_text(content, encoding="utf-8")
        for name, image in images.items():
            (out / name).write_bytes(image)
    except OSError as error:
        raise TillguardError(f"{out} cannot be written: {error.strerror}") from None
    return text


def run_description(wanted: Description, progress: Callable[[RoundFacts], None] = lambda _: None) -> Results:
    """Runs it in this process."""
    data = wanted.data
    train, test = split(
        generate_transactions(data.examples, data.features, data.fraud_share, wanted.seed), 0.8, wanted.seed
    )
    parts = divide(train, wanted.participants, data.skew, wanted.seed)
    names = [f"shop-{number}" for number in range(wanted.participants)]
    initial = initialise_arrays(data.features, wanted.hidden, wanted.seed, form=wanted.normalised)
    task = _alone(wanted, initial)

    def evaluate(arrays: Arrays) -> dict[str, float]:
        return measure(predict(arrays, test.features), test.labels)

    learners: dict[str, NumpyLearner] = {}
    facts: list[ParticipantFacts] = []
    models: dict[str, Arrays] = {}
    for number, (name, part) in enumerate(zip(names, parts, strict=True)):
        own, newest = split(part, 0.8, wanted.seed)
        learners[name] = NumpyLearner(own, newest, seed=wanted.seed + number)
        model = fit(initial, own, task, wanted.seed + number) if len(own.labels) else initial
        alone = evaluate(model) if len(own.labels) else {}
        if number < SITES_MAX:
            models[name] = model
        facts.append(ParticipantFacts(name=name, examples=len(part.labels), frauds=int(part.labels.sum()), local=alone))
    return simulate(
        Simulated(
            title=wanted.title,
            seed=wanted.seed,
            rounds=wanted.rounds,
            settings=make_willing(wanted.federation),
            faults=Faults(**wanted.faults.model_dump(include={"loss", "delay_ms_max", "duplication", "damage"})),
            participant_crash=wanted.faults.participant_crash,
            coordinator_crash=wanted.faults.coordinator_crash,
        ),
        learners,
        GlobalWeights(
            version=0,
            shapes=list_shapes(data.features, wanted.hidden, form=wanted.normalised),
            payload=flatten(initial).tobytes(),
        ),
        evaluate=evaluate,
        facts=facts,
        central=evaluate(fit(initial, join_parts(_not_empty(parts)), task, wanted.seed)),
        cross_site=_cross_site(models, learners),
        progress=progress,
    )


def _cross_site(models: Mapping[str, Arrays], learners: Mapping[str, NumpyLearner]) -> dict[str, dict[str, float]]:
    """Whose model does how well where: by model, by the participant whose newest examples it is judged on."""
    found = {
        name: {other: learners[other].evaluate(model).get("ap") for other in models} for name, model in models.items()
    }
    return {name: {other: ap for other, ap in row.items() if ap is not None} for name, row in found.items()}


def _alone(wanted: Description, initial: Arrays) -> Task:
    """As many epochs as all rounds together, for comparison."""
    terms, training = build_terms(wanted.federation)
    epochs = min(training.epochs * wanted.rounds, 100)
    return Task(
        round=0,
        attempt=0,
        base=initial,
        training=_with_epochs(training, epochs),
        privacy=_without(terms),
        clip_norm=wanted.federation.clip_norm,
        seed=wanted.seed,
    )


def _with_epochs(training: LocalTraining, epochs: int) -> LocalTraining:
    return msgspec.structs.replace(training, epochs=epochs, proximal_mu=0.0)


def _without(terms: PrivacyTerms) -> PrivacyTerms:
    return msgspec.structs.replace(terms, level="none", noise_multiplier=0.0)


def _not_empty(parts: list[Data]) -> list[Data]:
    return [part for part in parts if len(part.labels)]
