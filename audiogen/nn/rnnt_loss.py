"""The loss of a transducer: minus the log-probability of all ways to say the labels along the frames (Graves 2012).

torchaudio computes it in C++, in single precision, where it is installed. The plain way needs PyTorch alone and goes
frame by frame over all labels at once. With b(t, u) the log-probability of the blank after u labels at frame t, y(t, u)
that of label u + 1, and S(t, u) = Σ y(t, k < u), the forward variables are
α(t) = S(t) + logcumsumexp(α(t − 1) + b(t − 1) − S(t)).
"""

from importlib.util import find_spec

import torch
from torch import Tensor

from audiogen.errors import AudiogenError


def rnnt_loss(logits: Tensor, labels: Tensor, lengths: Tensor, label_lengths: Tensor, fast_emit: float = 0.0) -> Tensor:
    """The loss [B] of each row.

    Args:
        logits: [B, T, U + 1, V + 1], the blank last.
        labels: int64 [B, U].
        lengths: Frames [B] of each row, at least 1.
        label_lengths: Labels [B] of each row.
        fast_emit: λ of FastEmit (arXiv 2010.11148): gradients of labels count 1 + λ times, which makes them come
            earlier. The value of the loss stays as it is.

    Raises:
        AudiogenError: If the shapes do not fit together.
    """
    if labels.shape[1] + 1 != logits.shape[2] or int(lengths.min()) < 1 or int(lengths.max()) > logits.shape[1]:
        raise AudiogenError(
            f"logits {list(logits.shape)} do not fit labels {list(labels.shape)} and lengths {lengths.tolist()}: "
            "[B, T, U + 1, V + 1] with U labels and 1 to T frames is needed"
        )
    if fast_emit or logits.dtype != torch.float32 or find_spec("torchaudio") is None:
        return scanned_loss(logits, labels, lengths, label_lengths, fast_emit)
    return _torchaudio_loss(logits, labels, lengths, label_lengths)


def scanned_loss(
    logits: Tensor, labels: Tensor, lengths: Tensor, label_lengths: Tensor, fast_emit: float = 0.0
) -> Tensor:
    """As `rnnt_loss`, in plain PyTorch."""
    total = logits.logsumexp(-1)
    blank = logits[..., -1] - total
    index = labels[:, None, :, None].expand(-1, logits.shape[1], -1, -1)
    label = logits[:, :, :-1].gather(-1, index)[..., 0] - total[:, :, :-1]
    if fast_emit:
        label = label + fast_emit * (label - label.detach())
    said = torch.nn.functional.pad(label.cumsum(-1), (1, 0))
    alphas = [said[:, 0]]
    for t in range(1, logits.shape[1]):
        before = alphas[-1] + blank[:, t - 1]
        alphas.append(said[:, t] + (before - said[:, t]).logcumsumexp(-1))
    ends = torch.stack(alphas, 1) + blank
    rows = torch.arange(len(logits), device=logits.device)
    return -ends[rows, lengths - 1, label_lengths]


def _torchaudio_loss(logits: Tensor, labels: Tensor, lengths: Tensor, label_lengths: Tensor) -> Tensor:
    """As `rnnt_loss` without FastEmit. It wants the longest row to fill the logits."""
    from torchaudio.functional import rnnt_loss as loss

    frames, said = int(lengths.max()), int(label_lengths.max())
    counts = (lengths.int(), label_lengths.int())
    logits = logits[:, :frames, : said + 1].contiguous()
    return loss(logits, labels[:, :said].int().contiguous(), *counts, blank=-1, reduction="none")
