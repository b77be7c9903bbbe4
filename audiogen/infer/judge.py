"""What phones a recogniser of ours hears in speech, and how well those fit that should have been said."""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from audiogen import audio
from audiogen.checkpoint import Bundle
from audiogen.errors import AudiogenError
from audiogen.infer.ctc import GreedyDecoder
from audiogen.text.phones import SILENCE, PhoneInventory, unstressed


class PhoneJudge:
    """Hears phones in speech.

    Args:
        bundle: A recogniser of phones, with or without stress.

    Raises:
        AudiogenError: If it is a recogniser of anything else.
    """

    def __init__(self, bundle: Bundle) -> None:
        if "inventory" not in bundle.assets:
            raise AudiogenError(f"{bundle.folder or bundle.name} hears no phones; choose a recogniser that does")
        self._model, self._inventory = bundle.model, PhoneInventory.from_dict(bundle.assets["inventory"])

    @torch.inference_mode()
    def misfit(self, phones: Sequence[str], wave: Tensor, sample_rate: int) -> float:
        """Negative log-likelihood a phone, in nats, that `wave` [1, N] says `phones` (CTC, Graves 2006, eq. 14).

        What is skipped, repeated or slurred makes it larger; sound too short for its phones makes it infinite.
        """
        if not wave.shape[-1]:
            return math.inf
        log_probs, frames = self._log_probs(wave, sample_rate)
        labels = torch.tensor([self._inventory.encode(self.known(phones))])
        lengths = torch.tensor([labels.shape[1]])
        loss = F.ctc_loss(log_probs.transpose(0, 1), labels, frames, lengths, self._model.blank, reduction="sum")
        return float(loss) / max(1, labels.shape[1])

    @torch.inference_mode()
    def heard(self, wave: Tensor, sample_rate: int) -> list[str]:
        """The phones in `wave` [1, N], as `known` writes them."""
        if not wave.shape[-1]:
            return []
        log_probs, frames = self._log_probs(wave, sample_rate)
        decoder = GreedyDecoder(self._model.blank)
        decoder.feed(log_probs[0, : int(frames)])
        return self._inventory.decode(label.id for label in decoder.labels())

    def known(self, phones: Sequence[str]) -> list[str]:
        """Phones as the recogniser writes them: without silence, and without stress where it knows none."""
        return [phone if phone in self._inventory else unstressed(phone) for phone in phones if phone != SILENCE]

    def _log_probs(self, wave: Tensor, sample_rate: int) -> tuple[Tensor, Tensor]:
        heard = audio.resample(wave, sample_rate, self._model.config.sample_rate)
        return self._model.log_probs(heard, lookahead=max(self._model.config.lookaheads))
