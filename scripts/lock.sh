#!/usr/bin/env bash
# Writes requirements/*.txt: exact versions with hashes, one file for Python 3.11 and 3.12, no registry's address.
# Versions stay as they are as far as pyproject.toml allows; `scripts/lock.sh --upgrade` takes the newest,
# `--upgrade-package NAME` only one. Run by `make lock`.
set -euo pipefail
cd "$(dirname "$0")/.."
uv=.venv/bin/uv

compile() { # output, then arguments of uv
  local output=$1
  shift
  echo "$output"
  "$uv" pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
    --no-emit-find-links --no-annotate --custom-compile-command "make lock" "${options[@]}" "$@" --output-file "$output"
  # The markers that say what [tool.uv] says anyway: without them a foreign machine fails instead of installing nothing.
  sed -i -E -e "/^[a-z0-9]/ { s/ and (implementation_name == 'cpython'|platform_machine == 'x86_64'|sys_platform == 'linux')//g
    s/ and platform_python_implementation != 'PyPy'//; s/ ; python_full_version < '3\.13'// }" "$output"
}

options=("$@")
compile requirements/dev.txt pyproject.toml --extra dev
# The parts' images take the versions that were tested together.
options+=(--constraint requirements/dev.txt)
for part in connectors scoring trainer federation backoffice; do
  compile "requirements/$part.txt" pyproject.toml --extra "$part"
done
options=("$@")
compile requirements/build.txt requirements/build.in
compile requirements/uv.txt requirements/uv.in
compile requirements/docs.txt requirements/docs.in
compile requirements/mutants.txt requirements/mutants.in
compile bench/federation/flower.txt bench/federation/flower.in
