#!/usr/bin/env bash
# Train the English recogniser: ./run.sh [--stage …] [--stop-stage …] [key=value …], for its last part.
# It starts from the shipped aligner: timings teach frame by frame, then CTC the order of the phones; synthetic voices
# beside the recorded ones keep it from learning sentences by heart.
set -euo pipefail
cd "$(dirname "$0")/../../.."
run() { python -m audiogen.recipes.run "$@"; }
run recipe=espeak_corpus exp_dir=exp/espeak_asr speech.hours=6
run recipe=asr_english exp_dir=exp/asr_frames stop_stage=train train.steps=2800 train.warmup_steps=100 \
  train.ema_decay=0.998 model.config.frame_loss_weight=1.0 model.config.timed_ctc_weight=0.1
run recipe=asr_english init_from=exp/asr_frames/train/bundle \
  "data.train=[kathleen_en*4,librispeech_mini*2,nonnative_en*2,ljspeech_mini*2,fsdd_digits,$PWD/exp/espeak_asr/prepare/espeak]" "$@"
