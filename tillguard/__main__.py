"""`python -m tillguard`: the command line without its console script."""

from tillguard.cli import main

main()
