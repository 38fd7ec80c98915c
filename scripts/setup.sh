#!/usr/bin/env bash
# Makes .venv and installs exactly what requirements/*.txt say, every file's hash checked. Run by `make setup`.
set -euo pipefail
cd "$(dirname "$0")/.."
start=$SECONDS

scripts/prerequisites.sh
if [[ -x .venv/bin/python ]] && ! .venv/bin/python -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))'; then
  rm -rf .venv # its Python is gone or another one
fi
if [[ ! -x .venv/bin/python ]]; then
  python="$(scripts/find_python.sh)"
  echo "setup: virtual environment with $("$python" --version)"
  rm -rf .venv
  "$python" -m venv .venv
fi

# uv installs the rest in a tenth of pip's time; pip's own version is of no matter for a file whose hash is checked.
if [[ ! -x .venv/bin/uv ]]; then
  .venv/bin/python -m ensurepip --upgrade >/dev/null
  .venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes --only-binary=:all: \
    -r requirements/uv.txt
fi
echo "setup: installing $(grep -c == requirements/dev.txt) packages"
# Compiled once, here: where PYTHONDONTWRITEBYTECODE is set every process would compile them again, TensorFlow's for ten seconds.
VIRTUAL_ENV="$PWD/.venv" scripts/uv.sh pip sync --quiet --require-hashes --compile-bytecode \
  requirements/uv.txt requirements/build.txt requirements/dev.txt
VIRTUAL_ENV="$PWD/.venv" scripts/uv.sh pip install --quiet --no-deps --no-build-isolation \
  --config-settings editable_mode=compat --editable . # all of the checkout, also what no wheel carries (demo, embedded, simulator)
echo "setup: done in $((SECONDS - start)) s"
