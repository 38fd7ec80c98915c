#!/usr/bin/env bash
# Builds the documentation site into build/docs-site/html. Only the first run, or a change of requirements/docs.txt, needs the network.
set -euo pipefail
cd "$(dirname "$0")/.."
site=build/docs-site

if ! cmp -s requirements/docs.txt "$site/installed.txt"; then
  scripts/uv.sh venv --quiet --clear --python .venv/bin/python "$site/venv"
  VIRTUAL_ENV="$site/venv" scripts/uv.sh pip sync --quiet --require-hashes requirements/docs.txt
  cp requirements/docs.txt "$site/installed.txt"
fi
.venv/bin/python scripts/docs_pages.py "$site/pages"
"$site/venv/bin/zensical" build --strict
echo "docs-site: $site/html/index.html"
