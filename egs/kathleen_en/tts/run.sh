#!/usr/bin/env bash
# Train the shipped voice: ./run.sh [--stage prepare|tokenize|train|generate|score] [--stop-stage …] [key=value …]
# Of kathleen alone: ./run.sh recipe=tts_kathleen
set -euo pipefail
cd "$(dirname "$0")/../../.."
exec python -m audiogen.recipes.run recipe=tts_english "$@"
