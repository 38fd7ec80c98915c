#!/usr/bin/env bash
# Writes the replica set's key where only the server can read it, then starts the server as the image would.
set -euo pipefail
umask 077
printf '%s\n' "${REPLICA_SET_KEY:?}" > /data/db/replica-set.key
chmod 400 /data/db/replica-set.key
chown mongodb:mongodb /data/db/replica-set.key
unset REPLICA_SET_KEY
exec docker-entrypoint.sh "$@"
