#!/usr/bin/env bash
# Make music with captions, then train MAGNeT on it: ./run.sh [--stage prepare|tokenize|train|generate|score] [key=value …]
# The same on MusicGen: ./run.sh model=musicgen exp_dir=exp/text_to_music_ar
set -euo pipefail
cd "$(dirname "$0")/../../.."
python -m audiogen.recipes.run recipe=music_corpus
exec python -m audiogen.recipes.run recipe=text_to_music "$@"
