#!/usr/bin/env bash
# SaShiMi of 2, 4 and 8 blocks, with Mamba's blocks, WaveNet and SampleRNN beside each other: ./race.sh [key=value …]
# RECIPE=waveform_piano FOLDER=exp/race_piano STEPS=100 SECONDS_OF_CPU=95 ./race.sh data.segment_seconds=2
# train.valid_every=50 has them at the piano. Where a processor is faster, compare after fewer seconds.
# Before all have ended, the last command below shows those that have.
set -euo pipefail
cd "$(dirname "$0")/../../.."
recipe=${RECIPE:-waveform_digits} folder=${FOLDER:-exp/race_digits}
steps=${STEPS:-300} seconds=${SECONDS_OF_CPU:-230}

train() { # name, steps that take at least as long, and the model
  local name=$1 count=$2
  shift 2
  # One folder of clips serves all.
  if [ -d "$folder/sashimi-4/prepare" ] && [ ! -d "$folder/$name" ]; then
    mkdir -p "$folder/$name"
    cp -r "$folder/sashimi-4/prepare" "$folder/$name"
  fi
  python -m audiogen.recipes.run "recipe=$recipe" "exp_dir=$folder/$name" stop_stage=train data.batch_seconds=2 \
    train.final_rate=1 train.warmup_steps=50 train.ema_decay=0.98 train.valid_every=100 train.threads=1 \
    "train.steps=$count" "${@}"
}

train sashimi-4 $((steps * 4 / 3)) model=sashimi_small "$@"
train wavenet "$steps" model=wavenet_small "$@"
train samplernn "$steps" model=samplernn_small "$@"
train sashimi-2 $((steps * 2)) model=sashimi_small model.config.layers=2 "$@"
train sashimi-8 "$steps" model=sashimi_small model.config.layers=8 "$@"
train mamba-4 "$steps" model=sashimi_small model.config.ssm=mamba model.config.state_size=16 "$@"
python -m audiogen.recipes.waveform_race "$folder"/{sashimi-{2,4,8},mamba-4,wavenet,samplernn} \
  --steps "$steps" --seconds "$seconds" --json "$folder/race.json"
