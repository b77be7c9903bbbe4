#!/usr/bin/env bash
# Make piano pieces out of single notes and train SaShiMi on them: ./run.sh [--stage …] [--stop-stage …] [key=value …]
# Where there are no recorded notes: NOTES= ./run.sh makes the pieces out of tones.
set -euo pipefail
cd "$(dirname "$0")/../../.."
python -m audiogen.recipes.run recipe=piano_corpus notes="${NOTES-piano_notes}"
exec python -m audiogen.recipes.run recipe=waveform_piano "$@"
