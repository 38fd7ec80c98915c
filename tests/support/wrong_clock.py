"""Runs `tillguard` as on a machine whose clock is wrong: `python wrong_clock.py SECONDS ARGUMENTS...`; negative: behind."""

import sys
from datetime import datetime, timedelta

from contract.clock import SystemClock
from tillguard.cli import main

if __name__ == "__main__":
    off, right = timedelta(seconds=float(sys.argv[1])), SystemClock.now

    def now(clock: SystemClock) -> datetime:
        return right(clock) + off

    setattr(SystemClock, "now", now)  # noqa: B010 - a method of a class that the command makes by itself
    sys.argv = ["tillguard", *sys.argv[2:]]
    main()
