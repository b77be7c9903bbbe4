"""What a codec that is trained on waves hands to its training objective."""

from dataclasses import dataclass, field

from torch import Tensor

from audiogen.nn.quantize import Quantized


@dataclass
class Reconstruction:
    """A batch after a codec's both directions.

    Attributes:
        wave: The rebuilt samples [B, N].
        losses: The codec's own losses by name, scalars.
        latents: [B, T, D] before quantisation, from a codec whose codebooks are learned.
        quantized: What these codebooks made of them, once they are in use.
    """

    wave: Tensor
    losses: dict[str, Tensor] = field(default_factory=dict)
    latents: Tensor | None = None
    quantized: Quantized | None = None
