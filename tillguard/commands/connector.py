"""The commands of connectors: check, new, run, positions, fields."""

import logging
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from contract.errors import ConfigurationError
from runtime.signals import catch_stop_signals
from tillguard.operations.guarding import guard

if TYPE_CHECKING:
    from connectors.config.connector_file import ConnectorConfig
    from connectors.ports import OffsetStore
    from connectors.running.runner import Tally
    from contract.settings import Settings

RETAILER = typer.Option(
    None, "--retailer", metavar="NAME", help="The retailer; guessed where FILE stands in its folder."
)
CONFIG = typer.Option(
    None, "--config", metavar="FILE", help="The retailer's settings; else TILLGUARD_CONFIG, else the state folder's."
)
FILE = typer.Argument(metavar="FILE", help="The connector file (YAML).")
connector = typer.Typer(no_args_is_help=True, rich_markup_mode="markdown")
positions = typer.Typer(no_args_is_help=True, rich_markup_mode="markdown")


def register(app: typer.Typer) -> None:
    """Adds the group."""
    help_text = (
        "Read a retailer's database: MySQL, MongoDB or a file.\n\n"
        "A connector is one YAML file: which database, which table, and which column is which field of a transaction. "
        "`new` writes a first one from a live table, `check` shows what it makes of your rows, `run` runs it."
    )
    connector.command("check")(guard(check))
    connector.command("new")(guard(new))
    connector.command("run")(guard(run))
    connector.command("fields")(guard(fields))
    positions.command("show")(guard(show))
    positions.command("set")(guard(set_position))
    positions.command("reset")(guard(reset))
    connector.add_typer(positions, name="positions", help="Show, set or forget how far a connector has read.")
    app.add_typer(connector, name="connector", help=help_text)


def check(
    file: Path = FILE,
    retailer: str | None = RETAILER,
    config: Path | None = CONFIG,
    rows: int = typer.Option(10, "--rows", min=1, max=1000, help="How many rows to show."),
) -> None:
    """Check a connector file, connect, and show rows as the transactions they become.

    Lists every fault with its line, then what must change in the database. Nothing is sent anywhere and no position moves.
    Personal data is shown as the tokens that would leave. Exit code 2: something must be corrected; 1: rows cannot be used.
    """
    from connectors.assembly import build_mapper, build_source, load
    from tillguard.operations.file_draft import LOOKED_AT
    from tillguard.operations.file_notes import describe_file
    from tillguard.views.connector_view import list_findings, look, show_rows

    parsed, settings = load(file), _settings(file, retailer, config)
    is_file = parsed.source.kind == "file"
    mapper = build_mapper(parsed, settings)
    source = build_source(parsed, mapper, file.parent, os.environ, lambda _: False)
    try:
        faults = source.check()
        if faults:
            raise ConfigurationError([f"{file}: {fault}" for fault in faults])
        tables = [table.name for table in parsed.list_tables()] or [""]
        samples = {table: source.sample(table, max(rows, LOOKED_AT) if is_file else rows) for table in tables}
    finally:
        source.close()
    if is_file and not samples[""]:
        raise ConfigurationError([f"{file}: the file holds no row"])
    looked = look(mapper, samples)
    refused = show_rows(mapper, looked, rows)
    for note in describe_file(parsed, samples[""], looked[""], settings.trainer.label_delay_days) if is_file else ():
        typer.echo(f"Note: {note}")
    doubts = list_findings(looked)
    if doubts:
        raise ConfigurationError([f"{file}: {doubt}" for doubt in doubts])
    if refused:
        raise typer.Exit(1)
    typer.echo(f"{file} is in order. Start it: tillguard connector run {file} --retailer {settings.retailer}")


def run(
    file: Path = FILE,
    *,
    retailer: str | None = RETAILER,
    config: Path | None = CONFIG,
    until_caught_up: bool = typer.Option(
        False, "--until-caught-up", help="Stop when everything that is there now has been delivered."
    ),
    web_host: str = typer.Option(
        "127.0.0.1", "--web-host", help="Address of /health and /metrics; 0.0.0.0 in a container."
    ),
    web_port: int | None = typer.Option(
        None, "--web-port", min=0, max=65535, help="Port of /health and /metrics; 0 takes a free one. Absent: no page."
    ),
) -> None:
    """Run a connector: the whole table first, then every change as it is committed, until Ctrl-C or SIGTERM.

    Start it again at any time: it continues where Kafka last confirmed. Rows that cannot be used become dead letters that name
    table, position and reason. Rows may be delivered twice, never not at all; twice changes no verdict.
    """
    from connectors.assembly import load, store_of
    from runtime.logs import configure

    parsed, settings = load(file), _settings(file, retailer, config)
    configure(settings.log)
    # its event loop complains of every pause on a busy machine; what matters is told by the sink itself
    logging.getLogger("kafka").setLevel(logging.CRITICAL)
    store = store_of(settings)
    try:
        tally = _run(file, parsed, settings, store, web=(web_host, web_port), until_caught_up=until_caught_up)
    finally:
        store.close()
    typer.echo(
        f"{parsed.name}: {tally.rows} rows read, {tally.messages} messages delivered, {tally.dead_letters} dead letters"
    )


def new(
    *,
    kind: str = typer.Option("", "--kind", help="mysql, mongodb or file; asked where absent."),
    table: str = typer.Option("", "--table", "--collection", help="Table or collection of the transactions."),
    database: str = typer.Option("", "--database", help="Database of that table."),
    host: str = typer.Option("", "--host", help="Host name of the server."),
    port: int = typer.Option(0, "--port", min=0, max=65535, help="Port; 0 takes the usual one."),
    user: str = typer.Option("", "--user", help="Database user; may be empty for MongoDB."),
    password_env: str = typer.Option(
        "", "--password-env", help="Environment variable that holds the password (not the password itself)."
    ),
    path: Path | None = typer.Option(None, "--path", help="The file to replay, for kind file."),
    name: str = typer.Option("", "--name", help="The connector's name; else made from the table."),
    label_after_days: float | None = typer.Option(
        None,
        "--label-after-days",
        min=0,
        max=3650,
        help="For a file whose rows carry their labels: this many days after its transaction a label becomes known; asked where absent.",
    ),
    output: Path | None = typer.Option(None, "--output", "-o", help="Where to write; standard output where absent."),
    force: bool = typer.Option(False, "--force", help="Overwrite an existing file."),
) -> None:
    """Write a first connector file from a live table, guessing which column is which field.

    Asks for what is not given. Read the result line by line: it is a guess by the columns' names. Then `check` it.
    """
    from tillguard.operations.connector_draft import Wanted, draft

    if output is not None and output.exists() and not force:
        raise ConfigurationError([f"{output} exists; --force overwrites it"])
    kind = kind or typer.prompt("Where are the transactions? (mysql, mongodb, file)")
    wanted = Wanted(kind, table, database, host, port, user, password_env, path, name)
    text = draft(wanted.ask_missing(typer.prompt), os.environ, lambda: _label_after_days(label_after_days, output))
    if output is None:
        typer.echo(text, nl=False)
        return
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(text, encoding="utf-8")
    typer.echo(f"{output} written; read it, then: tillguard connector check {output}")


def _label_after_days(given: float | None, output: Path | None) -> float:
    """When a label becomes known: as given, else as answered; where nobody can answer, as the retailer's settings say."""
    from contract.settings import TrainerSettings

    if given is not None:
        return given
    usual = TrainerSettings().label_delay_days
    if output is not None and (output.absolute().parent.parent / "settings.yaml").is_file():
        usual = _settings(output, None, None).trainer.label_delay_days
    if not sys.stdin.isatty():
        return usual
    question = "How many days after a purchase does it become known that it was fraud?"
    return float(typer.prompt(question, default=usual, type=float))


def fields() -> None:
    """List every canonical field that a connector file can map, and what it means."""
    from rich.console import Console
    from rich.table import Table

    from connectors.config.connector_file import list_fields

    table = Table("section", "field", "what it is", box=None)
    for row in list_fields():
        table.add_row(*row)
    Console().print(table)


def show(
    name: str | None = typer.Argument(None, metavar="CONNECTOR", help="Only this connector."),
    retailer: str | None = RETAILER,
    config: Path | None = CONFIG,
) -> None:
    """Show how far each connector of a retailer has read."""
    from connectors.assembly import store_of
    from tillguard.config import load

    store = store_of(load(retailer, config))
    try:
        found = [store.load(each) for each in ([name] if name else store.list_names())]
    finally:
        store.close()
    for saved in found:
        if saved is not None:
            typer.echo(
                f"{saved.connector}\t{saved.position.stage}\t{saved.saved_at:%Y-%m-%dT%H:%M:%SZ}\t{saved.position.text}"
            )
    if not any(found):
        typer.echo("no position is saved; the connector starts with a snapshot")


def set_position(
    name: str = typer.Argument(metavar="CONNECTOR", help="The connector's name."),
    position: str = typer.Argument(
        metavar="POSITION",
        help='The position as `show` prints it, as {"file": "binlog.000003", "offset": 4} for MySQL.',
    ),
    retailer: str | None = RETAILER,
    config: Path | None = CONFIG,
) -> None:
    """Set where a connector continues, for example to read the last days again. Stop the connector first.

    Rows first seen within retention.first_sight_days change nothing; older ones count again and are judged again. Setting a position forward skips rows: they get no verdict.
    """
    from datetime import UTC, datetime

    from connectors.assembly import store_of
    from connectors.ports import Position, Saved
    from tillguard.config import load
    from tillguard.operations.connector_draft import check_position

    check_position(position)
    store = store_of(load(retailer, config))
    try:
        known = store.load(name) or Saved(name, Position("stream", ""), {}, "", 0, 0, datetime.now(UTC))
        store.save(known._replace(position=Position("stream", position), resnapshots=0))
    finally:
        store.close()
    typer.echo(f"{name} continues at {position}")


def reset(
    name: str = typer.Argument(metavar="CONNECTOR", help="The connector's name."),
    retailer: str | None = RETAILER,
    config: Path | None = CONFIG,
) -> None:
    """Forget how far a connector has read: it starts again with a snapshot.

    Rows first seen within retention.first_sight_days change nothing; older ones count again and are judged again.
    """
    from connectors.assembly import store_of
    from tillguard.config import load

    store = store_of(load(retailer, config))
    try:
        gone = store.reset(name)
    finally:
        store.close()
    typer.echo(f"{name} starts with a snapshot" if gone else f"{name} had no position")


def _settings(file: Path, retailer: str | None, config: Path | None) -> "Settings":
    """The retailer's settings: as asked, else those of the folder that the connector file stands in."""
    from tillguard.config import load

    nearby = file.absolute().parent.parent / "settings.yaml"
    if retailer is None and config is None and "TILLGUARD_CONFIG" not in os.environ and nearby.is_file():
        config = nearby
    return load(retailer, config)


def _run(
    file: Path,
    parsed: "ConnectorConfig",
    settings: "Settings",
    store: "OffsetStore",
    *,
    web: tuple[str, int | None],
    until_caught_up: bool,
) -> "Tally":
    """Builds the connector, lets signals stop it, shows its page, and runs it to its end."""
    from contextlib import ExitStack

    import structlog

    from connectors.assembly import build_connector
    from connectors.running.health import find_ailments
    from connectors.running.status import ConnectorStatus
    from contract.clock import SystemClock
    from contract.metrics import Metrics
    from runtime.health_server import WebPage
    from tillguard.wiring.heartbeats import build_heartbeat

    stop, clock, metrics = catch_stop_signals(), SystemClock(), Metrics()
    parts = build_connector(
        parsed, settings, file.parent, os.environ, store=store, clock=clock, metrics=metrics, stop=stop
    )

    def complaints() -> list[str]:
        now_s = clock.monotonic_s()
        metrics.set("tillguard_connector_idle_seconds", parts.vitals.compute_idle_s(now_s), connector=parsed.name)
        return find_ailments(parts.vitals, now_s, parts.sink.compute_blocked_s(), parts.silent_after_s)

    with ExitStack() as opened:
        look = ConnectorStatus(parts.vitals, complaints, clock).look
        opened.enter_context(build_heartbeat(settings, f"connector:{parsed.name}", look, clock))
        host, port = web
        if port is not None:
            page = opened.enter_context(WebPage(host, port, metrics=metrics, ailments=complaints))
            structlog.get_logger().info("web_page", url=f"http://{host}:{page.port}/health")
        return parts.runner.run(until_caught_up=until_caught_up)
