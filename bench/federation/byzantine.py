"""Two of ten participants lie: what is left of the honest federation's average precision, rule by rule.

The tutorial's banks, of which two send the negative of what they learned, a hundred times what they learned, or what they learned
from inverted labels. The masked mean of a federation without liars, and the plain mean with them, stand next to the robust rules.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np

from bench.federation import trial
from bench.federation.local import Course
from bench.federation.trial import Bank
from bench.federation.tutorial import EXAMPLES, QUICK_EXAMPLES, generate_data
from bench.table import Row
from contract.federation.settings import RobustSettings, RoundSettings
from federation.learning.learner import Learner, Task, Trained
from federation.learning.numpy_learner import Data, NumpyLearner
from federation.numeric.aggregation import Rule
from federation.simulation.data import divide

LIARS = 2
BANKS = 10
SKEW = 5.0
"""Banks that differ, each with frauds: with the tutorial's skew two banks hold most of them, and who leaves those out loses more
to that than to any liar."""
SCALED = 100.0
COURSE, QUICK_COURSE = Course(rounds=10, epochs=5), Course(rounds=2, epochs=2)
CLIP_NORM = 3.0
"""About the norm of an honest update of five epochs."""
KEPT_MIN = 0.95
RULES: tuple[Rule, ...] = ("geometric_median", "trimmed_mean", "median", "multi_krum", "krum")
QUICK_RULES: tuple[Rule, ...] = ("geometric_median",)
JUDGED: Rule = "geometric_median"
"""The rule that mode robust has where settings name none."""


class Liar(NumpyLearner):
    """Trains as everyone does, then sends its update times `factor`."""

    def __init__(self, own: Data, newest: Data, *, seed: int, dropout: float, factor: float) -> None:
        super().__init__(own, newest, seed=seed, dropout=dropout)
        self._factor = factor

    def train(self, task: Task) -> Trained:
        result = super().train(task)
        lied = [
            (base + self._factor * (array - base)).astype(np.float32)
            for base, array in zip(task.base, result.arrays, strict=True)
        ]
        return result._replace(arrays=lied)


class Attack(NamedTuple):
    """What the liars send."""

    name: str
    factor: float = 1.0
    inverted: bool = False
    """They learn from labels that say the opposite."""


HONEST = Attack("nobody lies")
ATTACKS = (
    Attack("sign flipped", factor=-1.0),
    Attack("scaled x100", factor=SCALED),
    Attack("labels flipped", inverted=True),
)


def build_settings(course: Course, rule: Rule) -> RoundSettings:
    """As advised, but robust."""
    return trial.build_advised_settings(course).model_copy(
        update={
            "mode": "robust",
            "clip_norm": CLIP_NORM,
            "robust": RobustSettings(rule=rule, byzantine_max=LIARS, weight_max=2 / BANKS),
        }
    )


def build_learner(course: Course, attack: Attack, name: str, bank: Bank) -> Learner:
    """The first two banks lie."""
    number = int(name.rsplit("-", 1)[-1])
    lies = number < LIARS
    own = Data(bank.own.features, ~bank.own.labels) if lies and attack.inverted else bank.own
    return Liar(
        own, bank.newest, seed=course.seed + number, dropout=course.dropout, factor=attack.factor if lies else 1.0
    )


def measure(*, quick: bool) -> list[Row]:
    """Every rule against every attack."""
    course = QUICK_COURSE if quick else COURSE
    train, test = generate_data(QUICK_EXAMPLES if quick else EXAMPLES)
    banks, evaluate = trial.build_banks(divide(train, BANKS, SKEW, seed=0), 0), trial.make_evaluation(test)

    def ap(rule: Rule, attack: Attack) -> float:
        make: Callable[[str, Bank], Learner] = partial(build_learner, course, attack)
        title = f"{rule}, {attack.name}"
        return trial.get_final_figure(
            trial.run_federation(title, banks, build_settings(course, rule), course, evaluate, learner=make)
        )

    masked = trial.get_final_figure(
        trial.run_federation("masked, nobody lies", banks, trial.build_advised_settings(course), course, evaluate)
    )
    rows = [Row("masked mode, nobody lies, average precision", masked, "")]
    rules: tuple[Rule, ...] = QUICK_RULES if quick else RULES
    for rule in ("mean", *rules):
        honest = ap(rule, HONEST)
        rows.append(Row(f"{rule}, {HONEST.name}", honest, "", masked, honest / masked))
        for attack in ATTACKS:
            value = ap(rule, attack)
            told = rule == JUDGED and not quick
            rows.append(
                Row(
                    f"{rule}, {attack.name}", value, "", masked, value / masked,
                    f">= {KEPT_MIN:g} x honest" if told else None, value >= KEPT_MIN * masked if told else None,
                )
            )  # fmt: skip
    return rows
