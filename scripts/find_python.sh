#!/usr/bin/env bash
# Prints the path of a Python 3.11 or 3.12 that can make virtual environments; PYTHON=... names one to use.
set -euo pipefail

usable() { # a shim of pyenv may be there without a Python behind it, and Debian's may lack venv
  "$1" -c 'import ensurepip, sys, venv; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))' >/dev/null 2>&1
}

if [[ -n "${PYTHON:-}" ]]; then
  usable "$PYTHON" || {
    echo "PYTHON=$PYTHON is not a Python 3.11 or 3.12 with the modules venv and ensurepip." >&2
    exit 1
  }
  command -v "$PYTHON"
  exit
fi

shopt -s nullglob
for candidate in python3.12 python3.11 python3 /usr/bin/python3.12 /usr/bin/python3.11 \
  "${PYENV_ROOT:-$HOME/.pyenv}"/versions/3.1[12].*/bin/python3; do
  if usable "$candidate"; then
    # The interpreter itself, not a shim that may later point elsewhere.
    "$candidate" -c 'import sys; print(sys.executable)'
    exit
  fi
done
echo "Tillguard needs Python 3.11 or 3.12 with venv (Debian, Ubuntu: apt-get install python3-venv); PYTHON=/path/to/python names one." >&2
exit 1
