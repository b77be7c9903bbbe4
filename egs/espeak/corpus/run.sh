#!/usr/bin/env bash
# Make the built-in corpus of synthetic voices: ./run.sh [key=value …]
set -euo pipefail
cd "$(dirname "$0")/../../.."
exec python -m audiogen.recipes.run recipe=espeak_corpus "$@"
