"""Captions to what a model takes in: words for a model that reads them itself, or a T5's vectors."""

from collections.abc import Sequence
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from audiogen.errors import AudiogenError, unknown_name
from audiogen.extras import require
from audiogen.text.captions import caption_words, word_ids


class CaptionEncoder(Protocol):
    """Anything that turns captions into numbers."""

    def __call__(self, captions: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Numbers [B, L, F], and where there are any, bool [B, L]."""


class WordCaptions:
    """Words by the ids of their letter sequences.

    Args:
        rows: Of the model's table.
    """

    def __init__(self, rows: int) -> None:
        self._rows = rows

    def __call__(self, captions: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Ids [B, L, G], 0 being none."""
        clips = [[torch.tensor(word_ids(w, self._rows)) for w in caption_words(caption)] for caption in captions]
        widest = max(len(ids) for clip in clips for ids in clip)
        rows = [torch.stack([torch.nn.functional.pad(ids, (0, widest - len(ids))) for ids in clip]) for clip in clips]
        return pad_sequence(rows, batch_first=True), _mask([len(row) for row in rows])


class T5Captions:
    """A frozen T5's vectors, through `transformers`.

    Args:
        source: A name on the Hugging Face hub, e.g. `t5-base`, or a folder.
    """

    def __init__(self, source: str) -> None:
        transformers = require("transformers", "hub")
        try:
            self._tokenizer = transformers.AutoTokenizer.from_pretrained(source)
            self._encoder = transformers.T5EncoderModel.from_pretrained(source).eval()
        except (OSError, ValueError) as error:
            reason = str(error).strip().splitlines()[0]
            raise AudiogenError(f"the text encoder {source!r} cannot be loaded: {reason}") from None

    @torch.no_grad()
    def __call__(self, captions: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Vectors [B, L, F], zeros after the end of a caption."""
        for caption in captions:
            caption_words(caption)
        tokens = self._tokenizer(list(captions), return_tensors="pt", padding=True)
        mask = tokens["attention_mask"].bool()
        vectors = self._encoder(input_ids=tokens["input_ids"], attention_mask=tokens["attention_mask"])
        return vectors.last_hidden_state * mask[..., None], mask


def caption_encoder(described: dict[str, Any]) -> CaptionEncoder:
    """The encoder that a bundle describes: `{"name": "words", "rows": …}` or `{"name": "t5", "source": …}`."""
    kinds = {"words": WordCaptions, "t5": T5Captions}
    settings = dict(described)
    name = settings.pop("name")
    if name not in kinds:
        raise unknown_name("caption encoder", name, kinds)
    return kinds[name](**settings)


def _mask(lengths: Sequence[int]) -> Tensor:
    """True for the first `lengths` places of each row."""
    return torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]
