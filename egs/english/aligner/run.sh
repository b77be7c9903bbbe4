#!/usr/bin/env bash
# Train the English aligner in two passes: ./run.sh [--stage …] [--stop-stage …] [key=value …], for the second pass.
# The first learns from the clips that come with timings; it times the others for the second, which learns from all.
set -euo pipefail
cd "$(dirname "$0")/../../.."
recipe() { python -m audiogen.recipes.run recipe=aligner_english "$@"; }
recipe exp_dir=exp/aligner_first stop_stage=train data.train=[librispeech_mini] data.valid=[librispeech_mini] \
  data.test=[librispeech_mini] train.steps=500 train.learning_rate=1.5e-3
recipe init_from=exp/aligner_first/train/bundle timings_from=exp/aligner_first/train/bundle "$@"
