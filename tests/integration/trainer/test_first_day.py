"""A retailer's first day: trained on a file, read from a database, served, with and without a trainer. What serves is what was trained."""

import csv
import random
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from contract.clock import SystemClock
from contract.features import get_feature_names
from contract.package import read_package
from contract.risk import KnownOutcome
from contract.statistics.ranking import average_precision
from contract.topics import OUTCOMES
from demo.shops import mysql_shop
from demo.shops.mysql_shop import MysqlShop
from simulator.sales import Labelled, Sale, Truth
from support.live_trainer import LiveTrainer
from support.live_worker import LiveWorker, Shop, until
from tillguard.history import skew
from tillguard.operations.training import Wishes, train
from trainer.model.run_onnx import run_onnx
from trainer.registry.registry import Registry

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]
NOW = SystemClock().now().replace(microsecond=0)
DAYS, A_DAY, LIVE = 37, 200, 120
"""As many days as known frauds reach back, so that the outcomes topic holds every fraud of the history."""
SEED = 3
"""Of a town whose past is enough to learn from: the gate lets no first model serve that shows no skill, and not every town's does."""
DELAY = timedelta(days=7)
TILLS, CUSTOMERS = 24, 90
COMPROMISED_DAYS = 14
"""So long two thirds of the payments at a till are fraud, and nothing but its earlier frauds tells them."""
MAPPING = """\
name: past
source: {kind: file, path: past.csv}
transactions:
  fields:
    transaction_id: number
    event_time: sold_at
    amount: {column: euros, unit: major}
    currency: {constant: EUR}
    customer: buyer
    card: {column: pan, tokenise: true}
    terminal: till
labels:
  - fields: {fraud: bad, source: {constant: chargeback}, label_time: known_at}
"""


class Town:
    """Tills, some of which are compromised for two weeks; every fraud looks like any other payment."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._number = 0
        self._begins = {till: chance.uniform(-5, DAYS - 20) for till in range(TILLS // 2)}
        self._begins |= {till: DAYS - 12.5 + till for till in range(5)}

    def sale(self, moment: datetime, day: float) -> Labelled:
        chance, till = self._chance, self._chance.randrange(TILLS)
        begin = self._begins.get(till, 1e9)
        fraud = begin <= day < begin + COMPROMISED_DAYS and chance.random() < 0.67
        self._number += 1
        buyer = chance.randrange(CUSTOMERS)
        sale = Sale(
            transaction_id=f"A-{self._number:06d}", event_time=moment, amount_minor=chance.randrange(500, 9_000),
            currency="EUR", customer=f"b{buyer}", card=f"40000000{buyer:08d}", terminal=f"till-{till}",
        )  # fmt: skip
        return Labelled(sale, Truth(fraud, "compromised_till" if fraud else None, moment + DELAY))

    def past(self) -> list[Labelled]:
        """DAYS days that end now."""
        begin, step = NOW - timedelta(days=DAYS), timedelta(days=1) / A_DAY
        return [self.sale(begin + number * step, number / A_DAY) for number in range(DAYS * A_DAY)]

    def live(self, begin: datetime) -> list[Labelled]:
        """One sale each half second, of which the connector's clock allows five minutes ahead."""
        return [self.sale(begin + number * timedelta(seconds=0.5), DAYS) for number in range(LIVE)]


class Day:
    """The retailer, its database, and what came out."""

    def __init__(self, retailer: Any, stack: Any, folder: Path) -> None:
        server = stack.endpoints["mariadb"]
        self.shop = Shop(retailer, folder)
        self.settings = retailer.settings
        self.database = MysqlShop(retailer.name, server.host, server.port, server.user or "", server.password or "")
        self.connector = folder / "orders.yaml"
        self.connector.write_text(self.database.make_connector_file())
        self.folder = folder
        self.truth: dict[str, Truth] = {}

    def write_file(self, past: list[Labelled]) -> tuple[Path, Path]:
        """The past as a file, with what had become known by now."""
        file, mapping = self.folder / "past.csv", self.folder / "past.yaml"
        mapping.write_text(MAPPING)
        with file.open("w", newline="") as stream:
            out = csv.writer(stream)
            out.writerow(["number", "sold_at", "euros", "buyer", "pan", "till", "bad", "known_at"])
            for sale, truth in past:
                known = [int(truth.fraud), truth.known_at.isoformat()] if truth.known_at <= NOW else ["", ""]
                euros = f"{sale.amount_minor / 100:.2f}"
                row = [sale.transaction_id, sale.event_time.isoformat(), euros, sale.customer, sale.card, sale.terminal]
                out.writerow(row + known)
        return file, mapping

    def fill(self, past: list[Labelled]) -> None:
        """The same in the database: every sale, and a chargeback for each fraud that is known."""
        self.database.create()
        self.database.load([one._replace(truth=one.truth._replace(fraud=False)) for one in past])
        self.charge_back([one for one in past if one.truth.fraud and one.truth.known_at <= NOW])

    def charge_back(self, frauds: list[Labelled], known_at: datetime | None = None) -> None:
        told = {
            sale.transaction_id: truth if known_at is None else truth._replace(known_at=known_at)
            for sale, truth in frauds
        }
        self.truth |= told
        self.database.write_labels(told)

    def connect(self) -> None:
        ran = self.shop.command("connector", "run", str(self.connector), "--until-caught-up")
        assert ran.returncode == 0, ran.stdout + ran.stderr

    def await_verdicts(self, sold: list[Labelled]) -> dict[str, float]:
        """Scores by transaction."""
        wanted = {one.sale.transaction_id for one in sold}

        def answered() -> dict[str, float] | None:
            found = self.shop.topics.verdicts()
            scores = {name: v[-1]["score"] for name, v in found.items() if name in wanted and not v[-1]["degraded"]}
            return scores if len(scores) == len(wanted) else None

        return until(answered, "all verdicts")

    def assert_nothing_differs(self, compared: int) -> None:
        found = skew.check(self.settings, compared, now=SystemClock().now()).skew
        assert found.compared == compared
        assert found.different == 0, found

    def by_replay(self, version: str, sold: list[Labelled]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Features of `sold` by a replay, and the model's scores for them."""
        found = skew.check(self.settings, len(sold), now=SystemClock().now())
        places = {name: at for at, name in enumerate(found.transaction_ids)}
        features = found.replayed[[places[one.sale.transaction_id] for one in sold]]
        trainer = self.settings.trainer
        registry = Registry(trainer.registry_url.get_secret_value(), trainer.registry_directory)
        entry = registry.find(self.settings.retailer, version)
        assert entry is not None
        package = read_package(registry.read_package(entry))
        registry.close()
        return features, run_onnx(package.onnx, features)


def await_outcomes(day: Day, worker: LiveWorker, frauds: list[Labelled]) -> None:
    """Until the workers have been told of these frauds."""
    wanted = {one.sale.transaction_id for one in frauds}

    def told() -> int:
        decoder = msgspec.json.Decoder(KnownOutcome)
        found = [decoder.decode(value or b"") for _, value in day.shop.topics.read(OUTCOMES)]
        return len({one.transaction_id for one in found} & wanted)

    until(lambda: told() == len(wanted), "the outcomes")
    applied = f'tillguard_scoring_outcomes_total{{retailer="{day.settings.retailer}"}}'

    def known() -> float:
        lines = worker.page("/metrics")[1].splitlines()
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(applied))

    until(lambda: known() >= len(wanted), "outcomes that the worker has applied")


def test_what_serves_on_the_first_day_is_what_was_trained(
    retailer: Any, stack: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mysql_shop, "ZONE", "UTC")  # the night in which clocks go back has an hour twice
    day, town = Day(retailer, stack, tmp_path), Town(random.Random(SEED))
    past = town.past()
    file, mapping = day.write_file(past)
    day.fill(past)
    trained = train(day.settings, file, Wishes(mapping=mapping, epochs_max=12, seed=3))
    assert trained.outcome == "published", trained.reason
    assert trained.live is not None
    assert f"{len(past):,} transactions new" in trained.live
    assert trained.model_version is not None
    with day.shop.worker() as worker:
        worker.await_ready()
        day.connect()
        day.await_verdicts(past)
        day.assert_nothing_differs(len(past))
        first = town.live(SystemClock().now())
        day.database.write([day.database.make_row(one.sale) for one in first])
        day.connect()
        scores = day.await_verdicts(first)
        day.assert_nothing_differs(len(past) + LIVE)
        with LiveTrainer(day.shop.file, tmp_path / "trainer.log"):
            news = [one for one in past if one.truth.fraud and one.truth.known_at > NOW]
            assert news
            last = max(one.sale.event_time for one in first)
            day.charge_back(news, last + timedelta(seconds=1))
            day.connect()
            await_outcomes(day, worker, news)
            second = town.live(last + timedelta(seconds=2))
            day.database.write([day.database.make_row(one.sale) for one in second])
            day.connect()
            scores |= day.await_verdicts(second)
            day.assert_nothing_differs(len(past) + 2 * LIVE)
    day.database.close()
    sold = first + second
    features, expected = day.by_replay(trained.model_version, sold)
    fraud = np.array([one.truth.fraud for one in sold])
    known = features[:, get_feature_names().index("terminal_plain_frauds_30d")]
    assert np.count_nonzero(known) > LIVE / 4
    served = average_precision(np.array([scores[one.sale.transaction_id] for one in sold]), fraud)
    reached = average_precision(expected, fraud)
    assert served == pytest.approx(reached, abs=0.03)
    assert served > 2 * fraud.mean(), "nothing but the risk of tills tells these frauds"
