"""What a `VallER` is made of: its sizes, and which of VALL-E R's ideas it uses."""

from dataclasses import dataclass

from audiogen.errors import AudiogenError
from audiogen.nn.transformer import TransformerConfig
from audiogen.protocols import CodecSpec

TIME_OFFSETS = 1024  # training starts a clip's time anywhere below this, so that no position is new in a long one


@dataclass
class VallERConfig:
    """What a `VallER` is made of.

    Attributes:
        codec: The codec whose codes it speaks.
        num_phones: Symbols in the phone inventory.
        pointer: Whether a phone pointer leads the first codebook; False is plain VALL-E, which learns when to stop.
        phone_lag: With 1 a frame is spoken knowing its phone; with 0 the phone and the code of a frame are drawn from
            the same prediction, as eq. 1 is printed.
        merge: Frames of the codec that share a code of the first codebook.
        dim, heads, feedforward, dropout: Size of both transformers.
        coarse_layers: Blocks of the one for the first codebook.
        fine_layers: Blocks of the one for the others.
        chunk: Frames that `Fine` speaks at a time; a multiple of `merge`.
        context: Chunks before it that a chunk sees, besides the prompt.
        window: Longest stretch of frames that `Fine` trains on.
        code_dim: Dimensions of the codec's vectors, by which `Fine` knows the codes.
    """

    codec: CodecSpec
    num_phones: int
    pointer: bool = True
    phone_lag: int = 1
    merge: int = 2
    dim: int = 256
    heads: int = 4
    feedforward: int = 768
    dropout: float = 0.1
    coarse_layers: int = 6
    fine_layers: int = 4
    chunk: int = 24
    context: int = 4
    window: int = 320
    code_dim: int = 64

    def __post_init__(self) -> None:
        if self.phone_lag not in (0, 1):
            raise AudiogenError(f"phone_lag is {self.phone_lag}; it must be 0 or 1")
        if self.codec.num_codebooks < 2:
            raise AudiogenError(
                f"the codec {self.codec.name!r} has {self.codec.num_codebooks} codebooks; at least 2 needed"
            )
        if self.chunk % self.merge or self.window % self.merge:
            raise AudiogenError(f"chunk {self.chunk} and window {self.window} must be multiples of merge {self.merge}")

    def transformer(self, layers: int, dropout: float) -> TransformerConfig:
        """The size of one of the two transformers."""
        return TransformerConfig(self.dim, self.heads, layers, self.feedforward, dropout)
