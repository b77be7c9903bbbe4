#!/usr/bin/env bash
# VALL-E R's ablation, four models by three seeds and the table: ./run.sh [--dry-run] [key=value …]
# Goes on where it was stopped. One row alone: python -m audiogen.recipes.run recipe=tts_ablation model=valle train.seed=1
set -euo pipefail
cd "$(dirname "$0")/../../.."
exec python egs/kathleen_en/ablation/local/ablation.py recipe=tts_ablation "$@"
