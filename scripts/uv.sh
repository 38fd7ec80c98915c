#!/usr/bin/env bash
# The uv of .venv. Companies that inspect TLS put their authority into the system's store, so it is used where there is one.
set -euo pipefail
[[ -r /etc/ssl/certs/ca-certificates.crt || -r /etc/pki/tls/certs/ca-bundle.crt ]] && export UV_SYSTEM_CERTS="${UV_SYSTEM_CERTS:-1}"
exec "$(dirname "$0")/../.venv/bin/uv" "$@"
