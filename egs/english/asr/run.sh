#!/usr/bin/env bash
# Train the English recogniser: ./run.sh [--stage prepare|tokenize|train|generate|score] [--stop-stage …] [key=value …]
set -euo pipefail
cd "$(dirname "$0")/../../.."
exec python -m audiogen.recipes.run recipe=asr_english "$@"
