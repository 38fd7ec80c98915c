"""Learning together: the coordinator's commands, the retailer's, and the simulation."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from contract.errors import ConfigurationError
from runtime.signals import catch_stop_signals
from tillguard.commands import federation_participants, federation_peers
from tillguard.commands.federation_side import (
    COORDINATOR,
    FINGERPRINT,
    find_coordinator_side,
    find_retailer_side,
    find_side,
    read_side_history,
    say_audit,
)

if TYPE_CHECKING:
    from threading import Event

    from contract.metrics import Metrics
    from federation.messages.identity import Identity


RETAILER = typer.Option(
    None, "--retailer", metavar="NAME", help="The retailer; without it and a file of one: the coordinator."
)
CONFIG = typer.Option(
    None, "--config", metavar="FILE", help="Settings of a retailer, or of the coordinator; else the state folder's."
)
OWN_RETAILER = typer.Option(None, "--retailer", metavar="NAME", help="The retailer.")
OWN_CONFIG = typer.Option(
    None, "--config", metavar="FILE", help="The retailer's settings; else the state folder's of --retailer."
)
federation = typer.Typer(
    no_args_is_help=True,
    help="Learn fraud together with other retailers, showing no record.",
    rich_markup_mode="markdown",
)


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    federation.command("cross-site")(cross_site)
    for command in (init, run, status, rounds, audit, budget, enrol, leave, examples, simulate):
        federation.command(command.__name__)(command)
    federation_participants.register(federation)
    federation_peers.register(federation)
    app.add_typer(federation, name="federation")


def init(
    config: Path | None = COORDINATOR,
    model: Path | None = typer.Option(
        None, "--model", metavar="FILE", help="Named float32 arrays (.npz) that the first round starts from."
    ),
    bootstrap_servers: str | None = typer.Option(
        None,
        "--bootstrap-servers",
        metavar="HOST:PORT",
        help="Of the federation's Kafka, for the settings file that this writes; else localhost:9092.",
    ),
) -> None:
    """Begin a federation: the coordinator's settings file, keys and topics, and the model of the first round.

    Safe to run again: what is there stays.
    """
    from tillguard.config import begin_coordinator
    from tillguard.federation import root
    from tillguard.federation.models import begin_model

    side = find_coordinator_side(config or begin_coordinator(bootstrap_servers))
    public = root.initialise(side.settings)
    begin_model(side.settings, given=model)
    typer.echo(f"federation {side.settings.name} at {side.settings.bootstrap_servers}")
    typer.echo(f"coordinator fingerprint {public.fingerprint}")
    typer.echo(
        "Give it to every participant by another way than Kafka: federation.participant.coordinator_fingerprint."
    )


def run(
    retailer: str | None = RETAILER,
    config: Path | None = CONFIG,
    count: int | None = typer.Option(
        None, "--rounds", min=1, help="Coordinator: end after this many more. Without: round after round."
    ),
    on_orders: bool = typer.Option(
        False, "--on-orders", help="Coordinator: order no round; carry out what was ordered, approvals among it."
    ),
) -> None:
    """Run the coordinator, or a retailer's participant, until stopped. After a crash it continues where it stood.

    Exit code 2 also where this machine's clock is away from the Kafka broker's. Exit code 3: another coordinator of this federation was
    started, or the retailer's participant runs already, and this one leaves the rounds to it.
    """
    from tillguard.federation import keys, root
    from tillguard.federation.evaluation import build_evaluator

    side, stop = find_side(retailer, config), catch_stop_signals()
    if side.retailer is None:
        evaluate = build_evaluator(side.settings)
        identity = keys.load_identity(side.settings.coordinator, "init")
        metrics = root.serve_metrics(side.settings.coordinator.metrics_port)
        rounds = 0 if on_orders else count
        root.run_coordinator(side.settings, identity, stop, rounds=rounds, metrics=metrics, evaluate=evaluate)
        return
    identity = keys.load_identity(side.settings.participant, "enrol", side.retailer)
    metrics = root.serve_metrics(side.settings.participant.metrics_port)
    _take_part(retailer, config, identity, stop, metrics)


def status(
    retailer: str | None = RETAILER, config: Path | None = CONFIG, fingerprint: str | None = FINGERPRINT
) -> None:
    """Show who takes part, the newest round, the privacy spent, and whether the ledger holds."""
    from federation.audit.history import collect_standings, find_halt, list_rounds, read_newest_privacy
    from federation.coordinator.planning import describe_shortage
    from tillguard.federation import root
    from tillguard.federation.tables import describe_lowest_reputation

    side = find_side(retailer, config)
    told = read_side_history(side, fingerprint)
    members = told.roster.members if told.roster else ()
    approved = [member.name for member in members if member.status == "approved"]
    typer.echo(f"federation    {side.settings.name}, coordinator's epoch {told.epoch}")
    typer.echo(f"participants  {len(approved)} approved: {', '.join(approved) or 'none'}")
    if side.retailer is not None:
        own = next((member.status for member in members if member.name == side.retailer), "not on the roster")
        typer.echo(f"this retailer {side.retailer}: {own}")
        for warning in root.find_roster_warnings(side.settings, side.retailer):
            typer.echo(f"WARNING       {warning}")
    lines = list_rounds(told.entries)
    typer.echo(f"newest round  {lines[-1].round}: {lines[-1].outcome}" if lines else "newest round  none yet")
    short = describe_shortage(members, side.settings.rounds) if side.retailer is None else ""
    if short and not (lines and lines[-1].outcome == "under way"):
        typer.echo(f"waits for     participants, {short} (federation.rounds.cohort_min)")
    halted = find_halt(told.entries)
    if halted:
        typer.echo(f"halted        {halted}")
    spent = read_newest_privacy(told.entries)
    if spent.get("level", "none") != "none":
        typer.echo(
            f"privacy       epsilon {spent['epsilon_after']:.3f} at delta {spent['delta']:g} ({spent['level']} level)"
        )
    standings = describe_lowest_reputation(collect_standings(told.entries), approved)
    if standings:
        typer.echo(f"reputations   lowest: {standings}")
    say_audit(told)


def rounds(
    retailer: str | None = RETAILER, config: Path | None = CONFIG, fingerprint: str | None = FINGERPRINT
) -> None:
    """List every round: purpose, attempts, outcome, cohort, how long it took, the figures of its model, and their change.

    Below, for everyone: how the model changed in the trainings with it, and in those without.
    """
    from rich.console import Console

    from federation.audit.history import list_rounds
    from tillguard.federation.tables import tabulate_rounds

    lines = list_rounds(read_side_history(find_side(retailer, config), fingerprint).entries)
    console = Console(width=None if sys.stdout.isatty() else 200, markup=False, emoji=False)
    for table in tabulate_rounds(lines):
        console.print(table)


def cross_site(config: Path | None = COORDINATOR) -> None:
    """Show how the models of participants that are willing do on each other's newest labelled examples.

    Of the newest such evaluation (federation.rounds.cross_site_every), from the coordinator's own database: no figure of it is in
    the ledger.
    """
    from rich.console import Console

    from federation.messages.cross_site import describe_matrix
    from tillguard.federation import root
    from tillguard.federation.tables import tabulate_sites

    sites = root.read_cross_site(find_coordinator_side(config).settings)
    if sites is None:
        typer.echo(
            "there was no evaluation yet: it takes mode robust, federation.rounds.cross_site_every, and two participants with "
            "federation.participant.cross_site"
        )
        return
    table = tabulate_sites(sites)
    console = Console(markup=False, emoji=False)
    console.width = max(console.width, console.measure(table).maximum)  # a cell that is cut tells nothing
    console.print(table)
    waiting = [name for name in sites.shown if name not in sites.figures]
    if waiting:
        typer.echo(f"not told yet by {', '.join(waiting)}")
    said = describe_matrix(
        sites.to_matrix(), f"Of the training that made model {sites.model_version}, the models before they became one"
    )
    if said:
        typer.echo(said)


def audit(
    retailer: str | None = RETAILER,
    config: Path | None = CONFIG,
    fingerprint: str | None = FINGERPRINT,
    head: str | None = typer.Option(
        None, "--head", metavar="INDEX:DIGEST", help="A head noted earlier; it must be part of the chain still."
    ),
    show: bool = typer.Option(False, "--show", help="Print every entry as a line of JSON."),
) -> None:
    """Verify the audit ledger from the log: every signature, every link. Note the head it prints, and give it next time."""
    import msgspec

    from federation.audit.history import decode_content
    from federation.audit.ledger import hash_entry

    index, _, digest = (head or "").partition(":")
    if head and not (index.isdigit() and digest):
        raise ConfigurationError([f"--head {head} is no INDEX:DIGEST; give it as this command printed it last time"])
    told = read_side_history(find_side(retailer, config), fingerprint)
    if show:
        for entry in told.entries:
            line = {"index": entry.index, "at_ms": entry.at_ms, "kind": entry.kind, "round": entry.round}
            typer.echo(
                msgspec.json.encode(line | {"attempt": entry.attempt, "content": decode_content(entry)}).decode()
            )
    say_audit(told)
    if head and not any(str(entry.index) == index and hash_entry(entry).hex() == digest for entry in told.entries):
        typer.echo("the head noted earlier is no part of this chain: it was cut off or rewritten", err=True)
        raise typer.Exit(1)
    if not told.audit.holds:
        raise typer.Exit(1)


def budget(config: Path | None = COORDINATOR, fingerprint: str | None = FINGERPRINT) -> None:
    """Show the privacy budget: spent, left, and how many more rounds of the present settings it allows."""
    from federation.audit.history import rebuild_privacy_ledger
    from federation.coordinator.planning import build_terms
    from federation.privacy.budget import release_of

    side = find_coordinator_side(config)
    told = read_side_history(side, fingerprint)
    privacy = side.settings.rounds.privacy
    if privacy.level == "none":
        typer.echo("rounds run without differential privacy: nothing is counted, and nothing is promised")
        return
    ledger = rebuild_privacy_ledger(told.entries, privacy)
    terms, training = build_terms(side.settings.rounds)
    left = ledger.count_rounds_left(release_of(terms, training), at_most=100_000)
    typer.echo(f"level {privacy.level}, delta {privacy.delta:g}, noise multiplier {privacy.noise_multiplier:g}")
    typer.echo(
        f"epsilon {ledger.compute_epsilon():.3f} of {privacy.epsilon_max:g} spent in {len(ledger.spends)} attempts"
    )
    typer.echo(f"{left} more attempts of the present settings are allowed")


def enrol(retailer: str | None = OWN_RETAILER, config: Path | None = OWN_CONFIG) -> None:
    """Ask to take part: makes this retailer's keys, and shows the fingerprint that the coordinator's operator needs."""
    from tillguard.federation import keys, root

    side = find_retailer_side(retailer, config)
    public = keys.make_identity(side.retailer or "", side.settings.participant)
    root.enrol(side.settings, keys.load_identity(side.settings.participant, "enrol", side.retailer))
    typer.echo(f"{public.name} has asked to take part in {side.settings.name}")
    typer.echo(f"fingerprint {public.fingerprint}")


def leave(
    retailer: str | None = OWN_RETAILER,
    config: Path | None = OWN_CONFIG,
    reason: str = typer.Option("", "--reason", help="For the ledger."),
) -> None:
    """Leave the federation for good; a round under way continues without this retailer."""
    from tillguard.federation import keys, root

    side = find_retailer_side(retailer, config)
    identity = keys.load_identity(side.settings.participant, "enrol", side.retailer)
    root.leave(side.settings, identity, reason[:500])
    typer.echo(f"{side.retailer} has left {side.settings.name}; its keys are of no more use there.")


def examples(
    retailer: str | None = OWN_RETAILER,
    config: Path | None = OWN_CONFIG,
    out: Path = typer.Option(..., "--out", metavar="FILE", help="Where they go (.npz)."),
) -> None:
    """Write this retailer's newest labelled examples to a file, for a coordinator to measure models on.

    It holds their features and labels: give it away only where this retailer may show them.
    """
    from tillguard.config import load
    from tillguard.federation.evaluation import write_labelled
    from tillguard.federation.learner import RetailerLearner

    side = find_retailer_side(retailer, config)
    count = write_labelled(RetailerLearner(load(retailer, config)), out)
    typer.echo(f"{count:,} examples of {side.retailer} in {out}: features and labels, readable by whoever has the file")


def simulate(
    config: Path = typer.Option(..., "--config", metavar="FILE", help="What to simulate (docs/federation.md)."),
    out: Path = typer.Option(Path("simulation"), "--out", metavar="FOLDER", help="Where results go."),
) -> None:
    """Run a whole federation in this process, with faults from a seed: results as JSON and CSV, and a risk report in words."""
    from tillguard.federation.simulation import simulate_file

    report = simulate_file(config, out)
    typer.echo(report)


def _take_part(
    retailer: str | None, config: Path | None, identity: "Identity", stop: "Event", metrics: "Metrics | None"
) -> None:
    """With the retailer's own examples and models; refused at once where there are too few examples."""
    from contract.clock import SystemClock
    from tillguard.config import load
    from tillguard.federation import root
    from tillguard.federation.learner import RetailerLearner, get_shapes
    from tillguard.federation.standing import Standing
    from tillguard.wiring.heartbeats import build_heartbeat

    settings = load(retailer, config)
    learner = RetailerLearner(settings)
    learner.check()
    standing = Standing()
    with build_heartbeat(settings, "federation", standing.look, SystemClock()):
        root.run_participant(
            settings.federation, identity, learner, stop, shapes=get_shapes(), metrics=metrics, standing=standing
        )
