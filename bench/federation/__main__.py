"""What a federation costs and gives: `python -m bench.federation SECTION [--quick] [--json FILE]`.

Sections that learn run the product's own coordinator and participants. Each prints its figures next to their targets, and ends with 1 where
a target is missed. `--quick` shows that a section works; what it measures is judged by nobody.
"""

import argparse
import importlib
import sys
from collections.abc import Sequence
from pathlib import Path

from bench.table import Row, print_table, write_json
from contract.errors import ConfigurationError, TillguardError

SECTIONS = {
    "tutorial": "ten unequal banks next to central training, banks alone and plain FedAvg",
    "card": "real card payments at five institutions",
    "compression": "rounds x local epochs x bits against what the model is worth",
    "faults": "participants that vanish, a coordinator that is killed, messages that go wrong",
    "byzantine": "two liars among ten, rule by rule",
    "membership": "whether the released model tells whose transactions it learned from",
    "handbook": "the Fraud Detection Handbook at five retailers",
    "fraud-kinds": "three retailers that know one kind of fraud each",
    "privacy": "the privacy ledger's golden values",
    "secagg": "bytes and time of secure aggregation",
    "versus-flower": "the same banks, model and rounds in Flower 1.41.0; installs it alongside, once",
}
"""Each is the module bench.federation.<section> with a function `measure`."""
OWN = {"compression": "plot", "tutorial": "kafka", "handbook": "features", "fraud-kinds": "features"}
"""Options that only some sections have."""


def measure(section: str, *, quick: bool, **more: object) -> list[Row]:
    """The rows of one section; `more` are options of its own."""
    module = importlib.import_module(f"bench.federation.{section.replace('-', '_')}")
    rows: list[Row] = module.measure(quick=quick, **more)
    return rows


def parse_options(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.federation",
        description=__doc__,
        epilog="sections:\n" + "\n".join(f"  {name:<14} {text}" for name, text in SECTIONS.items()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("section", choices=list(SECTIONS), metavar="SECTION")
    parser.add_argument("--quick", action="store_true", help="small: shows that it works, judges what needs no size")
    parser.add_argument("--json", type=Path, help="also write the rows to this file")
    parser.add_argument("--plot", type=Path, help="compression: also draw to this PNG file")
    parser.add_argument("--kafka", metavar="HOST:PORT", help="tutorial: compare this broker with the logs in memory")
    parser.add_argument(
        "--features",
        type=Path,
        metavar="FOLDER",
        help="handbook, fraud-kinds: keep the features that the replay gives there, and take them from there the next time",
    )
    options = parser.parse_args(arguments)
    for name in sorted(set(OWN.values())):
        if getattr(options, name) is not None and OWN.get(options.section) != name:
            parser.error(f"--{name} is not an option of {options.section}")
    return options


def main(arguments: Sequence[str] | None = None) -> int:
    """Measures, prints, writes; 1 where a target is missed or a run failed, 2 where something it needs is not there."""
    options = parse_options(arguments)
    try:
        own = OWN.get(options.section)
        rows = measure(options.section, quick=options.quick, **({own: getattr(options, own)} if own else {}))
    except TillguardError as error:
        print(error, file=sys.stderr)
        return 2 if isinstance(error, ConfigurationError) else 1
    print_table(rows)
    if options.json:
        write_json(rows, options.json)
    return int(any(row.holds is False for row in rows))


if __name__ == "__main__":
    sys.exit(main())
