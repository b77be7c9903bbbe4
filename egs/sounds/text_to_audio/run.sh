#!/usr/bin/env bash
# Train MAGNeT on everyday sounds: ./run.sh [--stage prepare|tokenize|train|generate|score] [--stop-stage …] [key=value …]
set -euo pipefail
cd "$(dirname "$0")/../../.."
exec python -m audiogen.recipes.run recipe=text_to_audio "$@"
