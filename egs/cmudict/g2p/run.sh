#!/usr/bin/env bash
# Learn from CMUdict how English words are said: ./run.sh [--stage prepare|train|generate|score] [--stop-stage …] [key=value …]
set -euo pipefail
cd "$(dirname "$0")/../../.."
exec python -m audiogen.recipes.run recipe=g2p_english "$@"
