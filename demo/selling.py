"""New sales by hand, into a database that the demonstration made."""

import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pymongo.errors
import pymysql

from contract.errors import ConfigurationError, TransientError
from demo import beginnings
from demo.shops import sender
from demo.shops.material import HISTORY_WEEKS, LIVE_FRAUD_SHARE, PROFILES
from demo.tally import Tally
from embedded.stack import Stack
from simulator.retail import Retail

RATE_MAX = 1_000  # of `tillguard simulate`
RESTING = timedelta(hours=1)
"""Genuine customers of the last hour leave the shop to others, as they do in the histories."""
NAMES = (beginnings.MYSQL_RETAILER, beginnings.MONGO_RETAILER)


def choose_first_number(now_s: float) -> int:
    """Of a call's sales, from the clock: at up to RATE_MAX sales a second no other call, nor the demonstration, has them."""
    return int(now_s * RATE_MAX)


def sell(retailer: str, state: Path, *, transactions: int, rate: float, seed: int) -> tuple[int, int]:
    """Writes `transactions` sales at `rate`; returns how many, and how many of them are frauds.

    Raises ConfigurationError for an unknown retailer or servers that do not run, TransientError where the database refuses.
    """
    if retailer not in NAMES:
        raise ConfigurationError(
            [f"--retailer {retailer}: sales can be made for {' and '.join(NAMES)}, which `tillguard demo` makes"]
        )
    stack = Stack(state)
    running = {found.name for found in stack.check_status() if found.state == "running"}
    server = beginnings.SERVERS[retailer]
    if server not in running:
        raise ConfigurationError(
            [f"not running: {server}, where {retailer} has its database; `tillguard up --only {server}` starts it"]
        )
    place = NAMES.index(retailer)
    begin = datetime.now(UTC)
    retail = Retail(
        PROFILES[place], 2 * seed + place, begin - timedelta(weeks=HISTORY_WEEKS), beginnings.PREFIXES[place]
    )
    try:
        shop = beginnings.connect_shop(retailer, stack.endpoints)
    except (pymysql.Error, pymongo.errors.PyMongoError) as error:
        raise _refused(retailer, error) from None
    try:
        sales = retail.simulate_more(
            begin,
            transactions / rate,
            transactions,
            LIVE_FRAUD_SHARE,
            first_number=choose_first_number(time.time()),
            resting=shop.list_customers_since(begin - RESTING),
        )
        planned = sender.plan(shop, sales, [(one.sale.event_time - begin).total_seconds() for one in sales], seed=None)
        tally = Tally(retailer)
        sender.announce(tally, planned)
        sender.send(shop, planned, begin.timestamp(), tally=tally, lock=threading.Lock(), stop=threading.Event())
    except (pymysql.Error, pymongo.errors.PyMongoError) as error:
        raise _refused(retailer, error) from None
    finally:
        shop.close()
    return len(planned), sum(one.entry.truth.fraud for one in planned)


def _refused(retailer: str, error: Exception) -> TransientError:
    return TransientError(
        f"the database of {retailer} refused the sales ({type(error).__name__}); has `tillguard demo` made it here?"
    )
