#!/usr/bin/env bash
# Learn from CMUdict how English words are said: ./run.sh [stage=… stop_stage=… key=value …]
set -euo pipefail
exec python -m audiogen.recipes.run recipe=g2p_english "$@"
