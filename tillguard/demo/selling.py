"""New sales by hand, into a database that the demonstration made."""

import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pymongo.errors
import pymysql

from connectors.simulator.retail import Retail
from contract.errors import ConfigurationError, TransientError
from tillguard.demo import beginnings, sender
from tillguard.demo.material import HISTORY_WEEKS, LIVE_FRAUD_SHARE, PROFILES
from tillguard.demo.tally import Tally
from tillguard.embedded.stack import Stack

NAMES = (beginnings.MYSQL_RETAILER, beginnings.MONGO_RETAILER)


def sell(retailer: str, state: Path, *, transactions: int, rate: float, seed: int) -> tuple[int, int]:
    """Writes `transactions` sales at `rate`; returns how many, and how many of them are frauds.

    Raises ConfigurationError for an unknown retailer or servers that do not run, TransientError where the database refuses.
    """
    if retailer not in NAMES:
        raise ConfigurationError(
            [f"--retailer {retailer}: sales can be made for {' and '.join(NAMES)}, which `tillguard demo` makes"]
        )
    stack = Stack(state)
    running = {found.name for found in stack.status() if found.state == "running"}
    missing = {"mariadb", "mongodb"} - running
    if missing:
        raise ConfigurationError(
            [f"not running: {', '.join(sorted(missing))}; `tillguard up` starts the embedded stack"]
        )
    place = NAMES.index(retailer)
    begin = datetime.now(UTC)
    retail = Retail(
        PROFILES[place], 2 * seed + place, begin - timedelta(weeks=HISTORY_WEEKS), beginnings.PREFIXES[place]
    )
    # Numbers from the clock: no sale of an earlier call or of the demonstration has them.
    sales = retail.live(begin, transactions / rate, transactions, LIVE_FRAUD_SHARE, int(time.time()))
    shops = beginnings.shops(stack.endpoints)
    try:
        shop = shops[place]
        planned = sender.plan(shop, sales, [(one.sale.event_time - begin).total_seconds() for one in sales], seed=None)
        tally = Tally(retailer)
        sender.announce(tally, planned)
        sender.send(shop, planned, begin.timestamp(), tally=tally, lock=threading.Lock(), stop=threading.Event())
    except (pymysql.Error, pymongo.errors.PyMongoError) as error:
        raise TransientError(
            f"the database of {retailer} refused the sales ({type(error).__name__}); has `tillguard demo` made it here?"
        ) from None
    finally:
        for one in shops:
            one.close()
    return len(planned), sum(one.entry.truth.fraud for one in planned)
