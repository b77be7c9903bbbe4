#!/usr/bin/env bash
# Train the default codec: ./run.sh [--stage prepare|train|generate|score] [--stop-stage …] [key=value …]
set -euo pipefail
cd "$(dirname "$0")/../../.."
exec python -m audiogen.recipes.run recipe=codec_default "$@"
