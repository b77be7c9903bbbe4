#!/usr/bin/env bash
# Train SaShiMi on spoken digits: ./run.sh [--stage prepare|train|judge|generate|score] [--stop-stage …] [key=value …]
# The baselines: ./run.sh model=wavenet_small exp_dir=exp/wavenet, ./run.sh model=samplernn_small exp_dir=exp/samplernn
set -euo pipefail
cd "$(dirname "$0")/../../.."
exec python -m audiogen.recipes.run recipe=waveform_digits "$@"
