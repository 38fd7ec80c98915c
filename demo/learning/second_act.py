"""The second act: at one retailer a fraud begins that no history contains, and the system learns it, next to its work.

The only thing that is quicker than in life is the label: chargebacks come seconds after the sale, not weeks. The trainer, the
gate, the topics and the workers are those of every retailer; only how many labels start a training is set for the demonstration.
"""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Protocol

from contract.settings import Settings
from demo.children import Children
from demo.learning import recovery
from demo.shops import sender
from demo.shops.shop import Shop
from demo.tally import Tally
from demo.view import Screen
from simulator.sales import NEW_KINDS, Labelled, Truth
from trainer.examples.store import ExampleStore
from trainer.registry.registry import Registry

KIND = "invoice_fraud"
KIND_SHARE = 0.15
"""Of the sales of this act: a wave, so that a minute holds enough of it to measure recall."""
ROWS = 700
"""Of the first and the last stretch; few, for who buys twice within minutes looks like a bot, and the customers are 6,000."""
RATE = 60.0
WAITING_RATE = 10.0
"""While the trainer learns, on the same few cores."""
WAITING_S = 5.0
"""Length of a stretch then; after each one the demonstration looks whether the gate has decided."""
HEAD_START_S = 0.5
SHOWN_EVERY_S = 0.5
RESTING = timedelta(hours=1)
DECIDED_WITHIN_S = 300.0
LABEL_DELAY_S = 10.0
DAY_S = 86_400.0
TRAIN_AT = 0.9
"""Of the labels of the first stretch: this many more than were known before start a training."""
NEWEST_EXAMPLES, REPLAY_EXAMPLES, EPOCHS_MAX = 1_500, 5_000, 12
"""Few of the newest, so that the new fraud is in all three slices; few examples in all, so that nobody waits for minutes."""


class Selling(Protocol):
    """What the retailer sells in this act."""

    def sell_later(
        self, begin: datetime, seconds: float, rows: int, *, besides: Mapping[str, float], sold: int, resting: set[str]
    ) -> Sequence[Labelled]:
        """The first retailer's sales: `rows` over `seconds`, after the live phase and the `sold` that came after that.

        `besides`: shares of `rows` that are frauds of these kinds. Customers in `resting` come when no others are left.
        """
        ...


class Wait(Protocol):
    """Waits until something is done; ends by itself where nothing moves any more."""

    def __call__(self, done: Callable[[], bool], progress: Callable[[], Sequence[int]], /) -> None: ...


@dataclass(frozen=True, slots=True)
class Stage:
    """What the act is played on."""

    shop: Shop
    tally: Tally
    settings: Settings
    lock: threading.Lock
    children: Children
    screen: Screen
    wait: Wait
    folder: Path
    """For the trainer's address."""


class SecondAct:
    """One retailer's; its methods are called in their order."""

    def __init__(self, stage: Stage, selling: Selling) -> None:
        self._on = stage
        self._selling = selling
        self._sold = 0
        self._shown_s = 0.0
        self._address = stage.folder / "trainer.url"
        self._began_at = self._labelled_at = datetime.now(UTC)
        self._promotions = self._alarms = 0
        self._labelled: dict[str, Truth] = {}

    def start_trainer(self) -> None:
        """Next to the worker, before the act: it takes in what was scored, and learns when enough labels are new."""
        stage = self._on
        known = sum(len(stage.tally.list_frauds(phase)) for phase in ("history", "live"))
        wanted = known + round(TRAIN_AT * ROWS * KIND_SHARE)
        prefix = "TILLGUARD_TRAINER__"
        self._address.unlink(missing_ok=True)
        stage.children.start(
            f"{stage.shop.retailer}-trainer",
            [
                "trainer", "run", "--retailer", stage.shop.retailer, "--web-port", "0",
                "--address-file", str(self._address),
            ],
            {
                f"{prefix}TRAIN_EVERY_LABELS": str(wanted),
                f"{prefix}LABEL_DELAY_DAYS": f"{LABEL_DELAY_S / DAY_S:.8f}",
                f"{prefix}NEWEST_EXAMPLES": str(NEWEST_EXAMPLES),
                f"{prefix}REPLAY_EXAMPLES": str(REPLAY_EXAMPLES),
                f"{prefix}EPOCHS_MAX": str(EPOCHS_MAX),
            },
        )  # fmt: skip

    def play(self) -> recovery.Course:
        """All of it; returns how it went."""
        retailer, text = self._on.shop.retailer, NEW_KINDS[KIND]
        with self._on.lock:
            self._promotions, self._alarms = len(self._on.tally.promotions), len(self._on.tally.alarms)
            first_model = self._on.tally.promotions[-1].model_version
        with ThreadPoolExecutor(1) as writer:
            stop = threading.Event()
            try:
                with self._on.screen.show_step(f"second act: {text} begins at {retailer}, new to its model"):
                    self._first_stretch(writer, stop)
                with self._on.screen.show_step("its chargebacks come in (after seconds here), the trainer learns"):
                    self._learn(writer, stop)
                with self._on.screen.show_step(f"more of the {text}"):
                    self._stretch(writer, stop)
            finally:
                stop.set()
        return self._course(first_model)

    def _first_stretch(self, writer: ThreadPoolExecutor, stop: threading.Event) -> None:
        self._began_at = datetime.now(UTC) + timedelta(seconds=HEAD_START_S)
        self._stretch(writer, stop)
        store: ExampleStore | None = None

        def stored() -> int:
            nonlocal store
            if store is None and self._address.exists():
                store = ExampleStore(self._on.settings.trainer.examples_url.get_secret_value(), self._on.shop.retailer)
            return store.count().total if store is not None else 0

        def taken_in() -> bool:
            there, wanted = stored(), self._scored()
            self._on.screen.show_detail(f"the trainer has taken in {there:,} of {wanted:,} scored transactions")
            return there >= wanted

        try:
            self._on.wait(taken_in, lambda: (stored(),))
        finally:
            if store is not None:
                store.close()

    def _stretch(self, writer: ThreadPoolExecutor, stop: threading.Event) -> None:
        sent = self._sell(writer, stop, ROWS, RATE)

        def done() -> bool:
            if sent.done():
                sent.result()
            self._show()
            return sent.done() and self._answered()

        self._on.wait(done, self._progress)

    def _learn(self, writer: ThreadPoolExecutor, stop: threading.Event) -> None:
        """Labels what was sold, and sells on, each fraud labelled within seconds, until the gate has decided and the last sale is answered."""
        self._labelled_at = datetime.now(UTC)
        self._label()
        deadline_s = time.monotonic() + DECIDED_WITHIN_S
        sent: list[Future[None]] = []

        def done() -> bool:
            self._show()
            if sent and not sent[-1].done():
                return False
            if sent:
                sent[-1].result()
                self._label()
            if self._outcome() != "undecided" or time.monotonic() > deadline_s:
                return self._answered()
            sent.append(self._sell(writer, stop, round(WAITING_S * WAITING_RATE), WAITING_RATE))
            return False

        self._on.wait(done, self._progress)

    def _label(self) -> None:
        """Chargebacks of whatever fraud of this act has none yet; only while nobody else writes to the shop."""
        known_at = datetime.now(UTC)
        new = {name: truth for name, truth in self._on.tally.list_frauds("second") if name not in self._labelled}
        if new:
            self._on.shop.write_labels({name: truth._replace(known_at=known_at) for name, truth in new.items()})
            self._labelled |= new

    def _sell(self, writer: ThreadPoolExecutor, stop: threading.Event, rows: int, rate: float) -> "Future[None]":
        stage = self._on
        begin = datetime.now(UTC) + timedelta(seconds=HEAD_START_S)
        resting = stage.shop.list_customers_since(begin - RESTING)
        sales = self._selling.sell_later(
            begin, rows / rate, rows, besides={KIND: KIND_SHARE}, sold=self._sold, resting=resting
        )
        self._sold += rows
        offsets = [(entry.sale.event_time - begin).total_seconds() for entry in sales]
        planned = sender.plan(stage.shop, sales, offsets, seed=None)
        with stage.lock:
            sender.announce(stage.tally, planned, "second")
        return writer.submit(
            sender.send, stage.shop, planned, begin.timestamp(), tally=stage.tally, lock=stage.lock, stop=stop
        )

    def _outcome(self) -> recovery.Outcome:
        with self._on.lock:
            if len(self._on.tally.promotions) > self._promotions:
                return "published"
            kinds = [alarm.kind for alarm in self._on.tally.alarms[self._alarms :]]
        if "model_refused" in kinds:
            return "refused"
        return "failed" if "training_failed" in kinds else "undecided"

    def _course(self, first_model: str) -> recovery.Course:
        outcome, tally = self._outcome(), self._on.tally
        promotion = tally.promotions[self._promotions] if outcome == "published" else None
        return recovery.Course(
            retailer=self._on.shop.retailer,
            kind=KIND,
            kind_text=NEW_KINDS[KIND],
            first_model=first_model,
            new_model=promotion.model_version if promotion else None,
            outcome=outcome,
            sentence=self._sentence(outcome),
            began_at=self._began_at,
            labelled_at=self._labelled_at,
            published_at=promotion.promoted_at if promotion else None,
            labels=len(self._labelled),
            labels_of_kind=sum(truth.kind == KIND for truth in self._labelled.values()),
        )

    def _sentence(self, outcome: recovery.Outcome) -> str:
        """The gate's own words: of the registry where it let the model pass, of the alarm where it did not."""
        if outcome == "undecided":
            return f"no training had ended {DECIDED_WITHIN_S:.0f} s after the labels came"
        if outcome != "published":
            wanted = {"refused": "model_refused", "failed": "training_failed"}[outcome]
            return next(alarm.text for alarm in self._on.tally.alarms[self._alarms :] if alarm.kind == wanted)
        trainer = self._on.settings.trainer
        registry = Registry(trainer.registry_url.get_secret_value(), trainer.registry_directory)
        try:
            return registry.list_promotions(self._on.shop.retailer)[0].reason
        finally:
            registry.close()

    def _show(self) -> None:
        now_s = time.monotonic()
        if now_s - self._shown_s < SHOWN_EVERY_S:
            return
        self._shown_s = now_s
        with self._on.lock:
            newest = recovery.describe_newest(self._on.tally.list_judged("second"), KIND)
        if newest:
            self._on.screen.show_detail(newest)

    def _scored(self) -> int:
        """Transactions with a full verdict, which the trainer gets to see."""
        with self._on.lock:
            return sum(
                entry.verdict is not None and entry.verdict.score is not None
                for entry in self._on.tally.entries.values()
            )

    def _answered(self) -> bool:
        return self._on.tally.answered["second"] >= self._on.tally.expected["second"]

    def _progress(self) -> tuple[int, ...]:
        tally = self._on.tally
        return tally.answered.total(), tally.sent, tally.expected["second"], len(tally.promotions), len(tally.alarms)
