"""The small network that says codebook after codebook of a frame the transformer has understood."""

import torch.nn.functional as F
from torch import Tensor, nn

from audiogen.models.valle_r.config import VallERConfig
from audiogen.nn.transformer import StageNorm


class Refiner(nn.Module):
    """The small network that says one codebook after the other; each stage has norms of its own."""

    def __init__(self, config: VallERConfig, reach: int = 2):
        super().__init__()
        stages = config.codec.num_codebooks - 1
        self.around = nn.Conv1d(config.code_dim, config.dim, 2 * reach + 1, padding=reach)
        self.inner_norm, self.outer_norm = StageNorm(config.dim, stages), StageNorm(config.dim, stages)
        self.expand = nn.Linear(config.dim, config.feedforward)
        self.reduce = nn.Linear(config.feedforward, config.dim)
        self.output = nn.Linear(config.dim, config.code_dim)

    def forward(self, hidden: Tensor, so_far: Tensor, stage: int) -> Tensor:
        """A vector [N, T, C] for the next codebook.

        Args:
            hidden: The transformer's output [N, T, D].
            so_far: Sums of the vectors of the codes so far [N, T, C]; zero where there is no frame.
            stage: 0 for the second codebook.
        """
        x = hidden + self.around(so_far.transpose(1, 2)).transpose(1, 2)
        x = x + self.reduce(F.gelu(self.expand(self.inner_norm(x, stage)), approximate="tanh"))
        return self.output(self.outer_norm(x, stage))
