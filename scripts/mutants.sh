#!/usr/bin/env bash
# Tries the tests on changed copies of the pure files; see scripts/mutants.py. mutmut has a folder of its own, which only the first run, or
# a change of requirements/mutants.txt, fills from the network.
set -euo pipefail
cd "$(dirname "$0")/.."
place=build/mutants

if ! cmp -s requirements/mutants.txt "$place/installed.txt"; then
  rm -rf "$place/packages"
  VIRTUAL_ENV="$PWD/.venv" scripts/uv.sh pip install --quiet --target "$place/packages" --require-hashes -r requirements/mutants.txt
  cp requirements/mutants.txt "$place/installed.txt"
fi
PYTHONPATH="$PWD/$place/packages" exec .venv/bin/python scripts/mutants.py "$@"
