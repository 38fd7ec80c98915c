#!/usr/bin/env bash
# Tries the tests on changed copies of the pure files; see scripts/mutants.py. mutmut has a folder of its own, which only the first run, or
# a change of requirements/mutants.txt, fills from the network.
set -euo pipefail
cd "$(dirname "$0")/.."
place=build/mutants

if ! cmp -s requirements/mutants.txt "$place/installed.txt"; then
  # Companies that inspect TLS put their authority into the system's store.
  [[ -r /etc/ssl/certs/ca-certificates.crt || -r /etc/pki/tls/certs/ca-bundle.crt ]] && export UV_SYSTEM_CERTS="${UV_SYSTEM_CERTS:-1}"
  rm -rf "$place/packages"
  VIRTUAL_ENV="$PWD/.venv" .venv/bin/uv pip install --quiet --target "$place/packages" --require-hashes -r requirements/mutants.txt
  cp requirements/mutants.txt "$place/installed.txt"
fi
PYTHONPATH="$PWD/$place/packages" exec .venv/bin/python scripts/mutants.py "$@"
