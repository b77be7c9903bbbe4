#!/usr/bin/env bash
# Train the English recogniser: ./run.sh [--stage …] [--stop-stage …] [key=value …], for its last part.
# It starts from the shipped aligner's encoder: first a new head alone, then everything.
set -euo pipefail
cd "$(dirname "$0")/../../.."
recipe() { python -m audiogen.recipes.run recipe=asr_english "$@"; }
recipe exp_dir=exp/asr_head stop_stage=train init_from=aligner-en frozen=[features,subsampling,encoder] \
  train.steps=120 train.learning_rate=3e-3 train.warmup_steps=1 train.ema_decay=0.9
recipe init_from=exp/asr_head/train/bundle "$@"
