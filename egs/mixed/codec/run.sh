#!/usr/bin/env bash
# Train the default codec: ./run.sh [--stage prepare|train|generate|score] [--stop-stage …] [key=value …]
# Its decoder alone, its codebooks alone:  ./run.sh recipe=codec_decoder   ./run.sh recipe=codec_codebooks
# Vocoder, semantic, latent, scalar codec: ./run.sh recipe=vocoder_default   and codec_semantic, codec_latents, codec_scalar
# EnCodec:                                ./run.sh recipe=codec_encodec
set -euo pipefail
cd "$(dirname "$0")/../../.."
exec python -m audiogen.recipes.run recipe=codec_default "$@"
