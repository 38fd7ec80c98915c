"""Runs the demonstration: the one place that knows all of its parts. Whatever it starts, it stops, however it ends."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pymysql
from confluent_kafka import KafkaException
from kafka.errors import KafkaError
from pymongo.errors import PyMongoError
from redis.exceptions import RedisError

from contract.settings import Settings
from demo import beginnings, redelivery, replaying, summary, view
from demo.children import Child, Children, DemoError
from demo.federation import results
from demo.federation.third_act import Stage as ThirdStage
from demo.federation.third_act import ThirdAct
from demo.learning import first_trainers, recovery
from demo.learning.recovery import Course
from demo.learning.second_act import SecondAct, Selling, Stage
from demo.reader import Reader
from demo.shops import sender
from demo.shops.material import Material
from demo.shops.shop import Shop
from demo.tally import Entry, Judged, Phase, Tally
from demo.view import Screen
from embedded.stack import Stack
from simulator.sales import Labelled

POLL_S = 0.1
STALLED_AFTER_S = 60.0
"""Nothing new for so long: the demonstration gives up waiting and says what is missing."""
LEARNING_STALLED_AFTER_S = 900.0
"""A training says nothing until it is done, and a large history takes minutes."""
SERVERS_EVERY_S = 5.0
REDELIVERED_EACH = 100
HEAD_START_S = 1.0
"""From planning the live phase to its first row."""


@dataclass(frozen=True, slots=True)
class Results:
    """What a demonstration found."""

    figures: dict[str, Any]
    judged: list[Judged]
    """Of the live phase."""
    course: Course | None = None
    """Of the second act."""
    second: list[Judged] = field(default_factory=list)
    """Of the second act."""


class Demonstration:
    """One run; its parts in the order in which they are made."""

    def __init__(
        self,
        stack: Stack,
        material: Material,
        screen: Screen,
        logs: Path,
        *,
        selling: Selling | None,
        third_seed: int | None,
    ) -> None:
        """`selling`: what is sold in a second act; None: there is none. `third_seed`: of a third act, likewise."""
        self._stack = stack
        self._material = material
        self._screen = screen
        self._logs = logs
        self._address = logs / "backoffice.url"
        self._selling = selling
        self._third_seed = third_seed
        self._lock = threading.Lock()
        self._children = Children(logs)
        self._reader: Reader | None = None
        self._shops: tuple[Shop, ...] = ()
        self._settings: list[Settings] = []
        self._histories: Sequence[Sequence[Labelled]] = ()
        self._tallies: list[Tally] = []
        self._looked_s = 0.0

    def run(self, *, keep: bool) -> Results:
        """Everything, from servers to figures; with `keep` the servers stay up (processes never do).

        Raises DemoError where a server or a process fails.
        """
        try:
            return self._run(keep=keep)
        except (pymysql.Error, PyMongoError, RedisError, KafkaError, KafkaException) as error:
            raise DemoError(
                f"a server did not answer as it should ({type(error).__name__}); see {self._stack.folder}/logs"
            ) from error

    def _run(self, *, keep: bool) -> Results:
        with ExitStack() as ending:
            with self._screen.show_step("start Kafka, Redis, MariaDB and a Mongo wire server"):
                ending.enter_context(_servers(self._stack, keep=keep))
            with self._screen.show_step("make two retailers, load their histories"):
                self._prepare(ending)
            ending.enter_context(self._children)
            self._reader = ending.enter_context(
                Reader(self._settings, {tally.retailer: tally for tally in self._tallies}, self._lock)
            )
            self._open_backoffice()
            self._learn()
            self._live()
            with self._screen.show_step("replay what was served, and compare"):
                replayed = replaying.compare(self._settings, self._tallies, self._lock)
            act = self._second_act()
            if act is not None:
                act.start_trainer()
            self._afterwards()
            course = act.play() if act is not None else None
            figures = summary.summarise(self._tallies)
            figures["replayed"] = replayed
            second = self._tallies[0].list_judged("second")
            if course is not None:
                figures["second_act"] = recovery.summarise(
                    course, second, summary.count_outcomes(self._tallies[:1], "second")
                )
            judged = [entry for tally in self._tallies for entry in tally.list_judged()]
            if self._third_seed is not None:
                figures["third_act"] = self._third_act(self._third_seed)
            with self._screen.show_step("stop everything"):
                ending.close()
        return Results(figures, judged, course, second)

    def _prepare(self, ending: ExitStack) -> None:
        endpoints = self._stack.endpoints
        self._settings = beginnings.begin([beginnings.MYSQL_RETAILER, beginnings.MONGO_RETAILER], endpoints)
        self._shops = beginnings.connect_shops(endpoints)
        for shop in self._shops:
            ending.callback(shop.close)
        histories = self._histories = self._material.make_histories()
        self._tallies = [Tally(shop.retailer) for shop in self._shops]
        for tally, history in zip(self._tallies, histories, strict=True):
            for one in history:
                tally.expect(one.sale.transaction_id, Entry("history", one.truth, one.sale.amount_minor))
        ends = [self._material.get_known_by(history) for history in histories]
        with ThreadPoolExecutor(len(self._shops)) as pool:
            reported = list(pool.map(beginnings.fill, self._shops, histories, self._settings, ends))
        for tally, count in zip(self._tallies, reported, strict=True):
            tally.reported = count
        self._screen.show_detail(f"{sum(map(len, histories)):,} labelled transactions")

    def _open_backoffice(self) -> None:
        """It serves both retailers as long as the demonstration lasts; nothing waits for it."""
        self._address.unlink(missing_ok=True)
        names = [argument for shop in self._shops for argument in ("--retailer", shop.retailer)]
        self._children.start(
            "backoffice", ["backoffice", "run", *names, "--web-port", "0", "--address-file", str(self._address)]
        )

    def _show_backoffice(self) -> None:
        if self._address.exists():
            url = self._address.read_text(encoding="utf-8").strip()
            self._screen.console.print(f"  the backoffice listens at {url}: {url}/ready", highlight=False)

    def _learn(self) -> None:
        """Trains both models while the connectors read the histories; a worker starts when its model is there."""
        with self._screen.show_step("train a model each, read the histories through Kafka"):
            trainers = [self._start_retailer(shop) for shop in self._shops]
            waiting: dict[str, Child] = dict(zip((shop.retailer for shop in self._shops), trainers, strict=True))
            started = time.monotonic()

            def done() -> bool:
                for retailer, child in list(waiting.items()):
                    if self._children.has_ended(child):
                        del waiting[retailer]
                        self._screen.durations_s[f"train the model of {retailer}"] = time.monotonic() - started
                        self._children.start(f"{retailer}-score", ["score", "--retailer", retailer])
                        if self._material.replay:
                            first_trainers.start(self._children, retailer)
                models = f"{len(self._shops) - len(waiting)} of {len(self._shops)} models, "
                self._screen.show_detail(models + view.describe_unanswered(self._tallies, "history"))
                return not waiting and self._answered("history")

            self._wait(done, lambda: (len(waiting), *self._progress()), LEARNING_STALLED_AFTER_S)
        if self._material.replay:
            with (
                self._screen.show_step("the trainers take in what was scored"),
                first_trainers.Stores(self._settings) as stores,
            ):

                def taken_in() -> bool:
                    there, wanted = stores.count_examples(), sum(tally.answered["history"] for tally in self._tallies)
                    self._screen.show_detail(f"{there:,} of {wanted:,} transactions")
                    return there >= wanted

                self._wait(taken_in, lambda: (stores.count_examples(),), LEARNING_STALLED_AFTER_S)

    def _start_retailer(self, shop: Shop) -> Child:
        """Its connector, and its trainer, which is returned."""
        path = beginnings.get_connector_path(shop)
        self._children.start(f"{shop.retailer}-connector", ["connector", "run", str(path), "--retailer", shop.retailer])
        history = str(beginnings.get_history_path(shop.retailer))
        return self._children.start(
            f"{shop.retailer}-train", ["train", "--retailer", shop.retailer, "--history", history]
        )

    def _live(self) -> None:
        rate = view.Rate()

        def panel() -> Any:
            with self._lock:
                entries = [view.compute_figures(tally) for tally in self._tallies]
            return view.render_table(entries, rate.compute(sum(entry.answered for entry in entries), time.monotonic()))

        self._show_backoffice()
        with self._screen.show_step("live: into the databases, and back as verdicts", panel), self._sending() as sent:

            def done() -> bool:
                with self._lock:
                    entries = [view.compute_figures(tally) for tally in self._tallies]
                if not self._screen.console.is_terminal:
                    answered = sum(entry.answered for entry in entries)
                    self._screen.show_detail(view.render_line(entries, rate.compute(answered, time.monotonic())))
                for one in sent:
                    if one.done():
                        one.result()
                return all(one.done() for one in sent) and self._answered("live")

            self._wait(done, self._progress)

    @contextmanager
    def _sending(self) -> Iterator[list["Future[None]"]]:
        """Writers, one per shop; they end early when the block is left early."""
        begin = datetime.now(UTC) + timedelta(seconds=HEAD_START_S)
        sales = self._material.make_live(begin)
        stop = threading.Event()
        reports = [
            None if (end := self._material.get_known_by(history)) is None else sender.Reports([*history, *live], end)
            for history, live in zip(self._histories, sales, strict=True)
        ]
        with ThreadPoolExecutor(len(self._shops)) as pool:
            try:
                futures = []
                for number, (shop, tally, entries) in enumerate(zip(self._shops, self._tallies, sales, strict=True)):
                    planned = sender.plan(shop, entries, self._material.compute_offsets_s(entries, begin), seed=number)
                    with self._lock:
                        sender.announce(tally, planned)
                    futures.append(
                        pool.submit(
                            sender.send,
                            shop,
                            planned,
                            begin.timestamp(),
                            tally=tally,
                            lock=self._lock,
                            stop=stop,
                            reports=reports[number],
                        )
                    )
                yield futures
            finally:
                stop.set()

    def _afterwards(self) -> None:
        """Chargebacks of the live phase become labels; some transactions are delivered again."""
        with self._screen.show_step("write chargebacks, deliver some transactions twice"):
            now = datetime.now(UTC)
            for shop, tally in zip(self._shops, self._tallies, strict=True):
                frauds = {name: truth._replace(known_at=now) for name, truth in tally.list_frauds("live")}
                shop.write_labels(frauds)
                tally.reported += len(frauds)
            again = sum(redelivery.redeliver(settings, REDELIVERED_EACH) for settings in self._settings)
            wanted = sum(tally.reported for tally in self._tallies)

            def done() -> bool:
                answered, labels = self._redelivered(), self._labels()
                self._screen.show_detail(
                    f"{min(answered, again):,} of {again:,} redeliveries, {labels:,} of {wanted:,} labels"
                )
                return answered >= again and labels >= wanted

            self._wait(done, lambda: (self._redelivered(), self._labels()))

    def _second_act(self) -> SecondAct | None:
        """At the first retailer."""
        if self._selling is None:
            return None
        stage = Stage(
            self._shops[0],
            self._tallies[0],
            self._settings[0],
            self._lock,
            self._children,
            self._screen,
            self._wait,
            self._logs,
        )
        return SecondAct(stage, self._selling)

    def _third_act(self, seed: int) -> dict[str, Any]:
        """Among other retailers; the first two rest meanwhile."""
        self._children.stop()
        stage = ThirdStage(self._stack.endpoints, self._children, self._screen, self._check, self._stack.folder, seed)
        return results.summarise(ThirdAct(stage).play())

    def _redelivered(self) -> int:
        return sum(tally.redelivered for tally in self._tallies)

    def _labels(self) -> int:
        return sum(tally.labels for tally in self._tallies)

    def _answered(self, phase: Phase) -> bool:
        return all(tally.answered[phase] >= tally.expected[phase] for tally in self._tallies)

    def _progress(self) -> tuple[int, ...]:
        return tuple(count for tally in self._tallies for count in (tally.answered.total(), tally.sent, tally.labels))

    def _wait(
        self,
        done: Callable[[], bool],
        progress: Callable[[], Sequence[int]],
        stalled_after_s: float = STALLED_AFTER_S,
    ) -> None:
        """Until `done`; a process that fails ends it with an error, and so long a silence ends it without one."""
        last, since = progress(), time.monotonic()
        while not done():
            self._check()
            time.sleep(POLL_S)
            now = progress()
            if now != last:
                last, since = now, time.monotonic()
            elif time.monotonic() - since > stalled_after_s:
                self._screen.console.print(
                    f"[red]nothing new for {stalled_after_s:.0f} s; continuing without the rest[/red]"
                )
                return

    def _check(self) -> None:
        """Raises DemoError where a process, the reader or a server has failed; called as often as one likes."""
        self._children.check()
        if self._reader is None:
            raise DemoError("nobody reads the verdicts")
        self._reader.check()
        if time.monotonic() - self._looked_s > SERVERS_EVERY_S:
            self._looked_s = time.monotonic()
            self._check_servers()

    def _check_servers(self) -> None:
        """A server that has crashed will not answer, however long one waits."""
        for found in self._stack.check_status():
            if found.state in {"crashed", "stopped"}:
                raise DemoError(f"{found.name} is not running any more; its log: {found.log}")


@contextmanager
def _servers(stack: Stack, *, keep: bool) -> Iterator[None]:
    """The embedded stack; it is stopped again unless it ran before or is to be kept."""
    before = {found.name for found in stack.check_status() if found.state == "running"}
    try:
        stack.start()
        yield
    finally:
        if not keep:
            stack.stop([found.name for found in stack.check_status() if found.name not in before])
