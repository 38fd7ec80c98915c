"""The demonstration, and new sales by hand for its retailers."""

import signal
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, NoReturn

import typer

from contract.errors import ConfigurationError

if TYPE_CHECKING:
    from demo.entrypoint import Wishes

HISTORY_ROWS = 15_000


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    app.command()(demo)
    app.command()(simulate)


def demo(
    *,
    seed: int = typer.Option(7, "--seed", min=0, help="Of the simulator: the same seed, the same sales."),
    rate: float = typer.Option(
        200.0, "--rate", min=1, max=5_000, help="Live transactions a second, over both retailers."
    ),
    seconds: float | None = typer.Option(
        None, "--seconds", min=1, max=3_600, help="Length of the live phase; 40 where absent."
    ),
    transactions: int | None = typer.Option(
        None, "--transactions", min=20, max=1_000_000, help="Live transactions in all, instead of --seconds."
    ),
    history: int = typer.Option(
        HISTORY_ROWS,
        "--history",
        min=3_000,
        max=1_000_000,
        help="Labelled transactions per retailer before the live phase; fewer hold too few frauds to learn from.",
    ),
    data: Path | None = typer.Option(
        None,
        "--data",
        help="A Parquet or CSV file instead of the simulator: the Handbook's payments or e-commerce orders.",
    ),
    rows: int | None = typer.Option(None, "--rows", min=1_000, help="With --data: only the newest ROWS."),
    weeks: float | None = typer.Option(None, "--weeks", min=0.1, help="With --data: only the newest WEEKS."),
    json_file: Path | None = typer.Option(None, "--json", metavar="FILE", help="Write the summary as JSON."),
    report_file: Path | None = typer.Option(
        None,
        "--report",
        metavar="FILE",
        help="Where the HTML report goes; tillguard-demo.html in the state folder where absent.",
    ),
    acts: int = typer.Option(
        1,
        "--acts",
        min=1,
        max=3,
        help="2: a new fraud begins, and is learned; 3: then retailers learn together as well. --data has one act.",
    ),
    keep: bool = typer.Option(False, "--keep", help="Leave the servers up; otherwise everything started is stopped."),
) -> None:
    """See the whole system work: two retailers, their databases, live sales, verdicts, and an account of every one.

    Makes the retailers alder (MySQL) and birch (MongoDB) again in the state folder, trains each a model on a labelled
    history, writes live sales into the two databases, and compares the verdicts with the truth. `--acts 2` adds a second act, at
    alder: a fraud begins that no history contains, its labels come in, and the trainer learns it. `--acts 3` adds the third: cedar,
    dogwood and the newcomer elm, made like the first two, learn together in a federation next to a member that breaks
    its rules. The exit code is 0 when every transaction is accounted for, no two answers differ, and the federation's ledger
    holds.
    """
    from demo.entrypoint import Wishes
    from runtime.state_folder import find_state_folder

    if seconds is not None and transactions is not None:
        raise ConfigurationError(["--seconds and --transactions: give one of the two"])
    if data is None and (rows is not None or weeks is not None):
        raise ConfigurationError(["--rows and --weeks choose from a file: give --data FILE too"])
    wishes = Wishes(
        seed=seed,
        rate=rate,
        transactions=transactions or round(rate * (seconds or 40.0)),
        history_rows=history,
        data=data,
        rows=rows,
        weeks=weeks,
        json_file=json_file,
        report_file=report_file or find_state_folder() / "tillguard-demo.html",
        keep=keep,
        acts=acts,
    )
    _run(wishes)


def _run(wishes: "Wishes") -> None:
    """Raises typer.Exit(1) where a promise was not kept, and 130 after an interruption."""
    from rich.console import Console

    from demo.entrypoint import run
    from runtime.state_folder import find_state_folder

    signal.signal(signal.SIGTERM, _interrupt)
    console = Console()
    try:
        kept_its_promises = run(wishes, find_state_folder(), console)
    except KeyboardInterrupt:
        console.print("interrupted; everything that was started has been stopped")
        raise typer.Exit(130) from None
    if not kept_its_promises:
        raise typer.Exit(1)


def _interrupt(_: int, __: FrameType | None) -> NoReturn:
    """SIGTERM ends the demonstration as Ctrl-C does: in order."""
    raise KeyboardInterrupt


def simulate(
    *,
    retailer: str = typer.Option(
        "alder", "--retailer", metavar="NAME", help="A retailer of the demonstration: alder or birch."
    ),
    transactions: int = typer.Option(100, "--transactions", min=1, max=100_000, help="How many sales."),
    rate: float = typer.Option(10.0, "--rate", min=0.1, max=1_000, help="Sales a second."),
    seed: int = typer.Option(7, "--seed", min=0, help="Use the demonstration's: then its customers come back."),
) -> None:
    """Write new sales into the database of a demonstration retailer, as its shop would. Some are frauds.

    Needs the servers (`tillguard up`) and a database that `tillguard demo` made. A running connector and worker answer them.
    """
    from demo.selling import sell
    from runtime.state_folder import find_state_folder

    sold, frauds = sell(retailer, find_state_folder(), transactions=transactions, rate=rate, seed=seed)
    typer.echo(f"{sold} sales written into the database of {retailer}, {frauds} of them frauds")
