#!/usr/bin/env bash
# What the machine itself must have before `make setup`: Linux on x86-64, Python 3.11 or 3.12 with venv, three system
# libraries for MariaDB; for the tests also docker-compose, which checks docker-compose.yml (`--for-tests`; without it that
# one test is skipped). As root on Debian or Ubuntu what is missing is installed; else one sentence says what to install.
set -euo pipefail
cd "$(dirname "$0")/.."

fail() {
  echo "prerequisites: $*" >&2
  exit 1
}

[[ "$(uname -s)" == Linux && "$(uname -m)" == x86_64 ]] ||
  fail "Tillguard's embedded servers need Linux on x86-64, this is $(uname -s) on $(uname -m)."

has_library() {
  { ldconfig -p 2>/dev/null || /sbin/ldconfig -p; } | grep -qF "$1 "
}

missing=()
scripts/find_python.sh >/dev/null 2>&1 || missing+=(python3 python3-venv)
has_library libcrypt.so.1 || missing+=(libcrypt1)
has_library libsystemd.so.0 || missing+=(libsystemd0)
has_library libstdc++.so.6 || missing+=(libstdc++6)
if [[ "${1:-}" == --for-tests ]]; then
  command -v docker-compose >/dev/null || missing+=(docker-compose)
  command -v curl >/dev/null || missing+=(curl)
fi

((${#missing[@]})) || exit 0
if ! command -v apt-get >/dev/null; then
  fail "install what Debian calls ${missing[*]}, then run this again."
fi
if ((EUID != 0)); then
  [[ "${missing[*]}" == docker-compose ]] && exit 0
  fail "run: sudo apt-get install ${missing[*]}"
fi
echo "prerequisites: installing ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
log="$(mktemp)"
trap 'rm -f "$log"' EXIT
if ! { apt-get -qq update && apt-get -qq install --yes --no-install-recommends "${missing[@]}"; } >"$log" 2>&1; then
  [[ "${missing[*]}" == docker-compose ]] && { echo "prerequisites: docker-compose could not be installed; its test is skipped"; exit 0; }
  tail -n 20 "$log" >&2
  fail "apt-get could not install ${missing[*]}."
fi
scripts/find_python.sh >/dev/null
