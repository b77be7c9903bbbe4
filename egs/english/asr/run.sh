#!/usr/bin/env bash
# Train the English recogniser: ./run.sh [--stage …] [--stop-stage …] [key=value …], for its last part.
# It starts from the shipped aligner: timings teach frame by frame, then CTC the order of the phones.
set -euo pipefail
cd "$(dirname "$0")/../../.."
recipe() { python -m audiogen.recipes.run recipe=asr_english "$@"; }
recipe exp_dir=exp/asr_frames stop_stage=train model.config.frame_loss_weight=1.0 model.config.timed_ctc_weight=0.1 \
  train.steps=2800 train.learning_rate=1.5e-3 train.warmup_steps=100
recipe init_from=exp/asr_frames/train/bundle "$@"
