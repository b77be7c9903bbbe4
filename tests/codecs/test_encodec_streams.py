"""EnCodec in all three forms, tiny: random streams give what the whole gives. Parity is tested in `test_encodec.py`."""

import pytest
import torch
from streams import check_stream

from audiogen import codecs, registry  # noqa: F401

NETWORK = {"ratios": [3, 2], "filters": 2, "latent_dim": 4}
SEGMENTS = {"segment": 120, "segment_stride": 114}
FORMS = {
    "causal": ("encodec", {"network": NETWORK}),
    "seeing ahead": ("encodec", {"network": {**NETWORK, "causal": False, "pad_mode": "constant"}}),
    "in segments": ("encodec_segmented", {"network": {**NETWORK, "causal": False, "time_norm": True}, **SEGMENTS}),
}


@pytest.fixture(scope="module", params=FORMS)
def codec(request):
    torch.manual_seed(0)
    name, config = FORMS[request.param]
    built = registry.build("codec", name, {**config, "num_codebooks": 2, "codebook_size": 16})
    return built.eval().requires_grad_(False)


@pytest.mark.parametrize("seed", range(50))
def test_streamed_equals_whole_on_ragged_chunks(codec, seed):
    """50 seeds of twenty rows: 1,000 streams of each form."""
    check_stream(codec, seed, rows=20, longest=500, chunk=120)
