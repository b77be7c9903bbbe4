"""Pieces of words as labels, as SentencePiece makes them: `▁` begins a word, `<0xE2>` is a byte, `<…>` stands for none.

Text is cut by merging neighbours, the best-scored piece first (`bpe`, Sennrich et al. 2016), or into the pieces whose
scores sum highest (`unigram`, Kudo 2018). Reading pieces back needs no scores.
"""

import re
import struct
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any

from audiogen.errors import AudiogenError, unknown_name

WORD = "▁"
MARKS = (WORD, " ")
"""What begins a word: of pieces, and the character that is a label of its own."""
METHODS = ("bpe", "unigram")
_BYTE = re.compile(r"<0x([0-9A-Fa-f]{2})>")
_UNKNOWN = -1e4


class PieceTokenizer:
    """Text to labels and back, a label a piece.

    Args:
        symbols: The pieces in the order of their labels.
        scores: Their scores, the higher the sooner; without them text cannot be cut.
        method: How text is cut, `bpe` or `unigram`.
    """

    def __init__(self, symbols: Sequence[str], scores: Sequence[float] | None = None, method: str = "bpe") -> None:
        if method not in METHODS:
            raise unknown_name("method", method, METHODS)
        if scores is not None and len(scores) != len(symbols):
            raise AudiogenError(f"{len(scores)} scores do not fit {len(symbols)} pieces")
        self.symbols, self.method = tuple(symbols), method
        self.scores = None if scores is None else tuple(scores)
        self._ids = {symbol: index for index, symbol in enumerate(self.symbols)}
        self._longest = max((len(symbol) for symbol in self.symbols), default=0)

    def __len__(self) -> int:
        return len(self.symbols)

    def encode(self, text: str) -> list[int]:
        """The labels of `text`.

        Raises:
            AudiogenError: For a character that no piece writes, or if there are no scores.
        """
        if self.scores is None:
            raise AudiogenError("these pieces have no scores to cut text by; they can only be read")
        marked = "".join(WORD + word for word in text.split())
        pieces = self._merged(marked) if self.method == "bpe" else self._likeliest(marked)
        return [label for piece in pieces for label in self._labels(piece)]

    def decode(self, ids: Iterable[int]) -> str:
        """The text of the labels `ids`."""
        return spell([self.symbols[index] for index in ids]).strip()

    def to_dict(self) -> dict[str, Any]:
        """The tokenizer as plain values, for a bundle."""
        return {"symbols": list(self.symbols), "scores": self.scores and list(self.scores), "method": self.method}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "PieceTokenizer":
        """The tokenizer that `to_dict` described."""
        return cls(**values)

    def _merged(self, text: str) -> list[str]:
        """Characters of `text` merged, the pair with the best-scored piece first, the leftmost among equals."""
        parts = list(text)
        while True:
            known = [(self._score(a + b), -i) for i, (a, b) in enumerate(pairwise(parts))]
            best, place = max(known, default=(_UNKNOWN, 0))
            if best <= _UNKNOWN:
                return parts
            parts[-place : -place + 2] = [parts[-place] + parts[-place + 1]]

    def _likeliest(self, text: str) -> list[str]:
        """`text` cut so that the sum of scores is highest (Viterbi); a character no piece has costs much."""
        best: list[tuple[float, int]] = [(0.0, 0)]
        for end in range(1, len(text) + 1):
            options = (
                (best[start][0] + score, start)
                for start in range(max(0, end - self._longest), end)
                if (score := self._score(text[start:end])) > _UNKNOWN or start == end - 1
            )
            best.append(max(options))
        cuts = [len(text)]
        while cuts[-1]:
            cuts.append(best[cuts[-1]][1])
        return [text[start:end] for end, start in pairwise(cuts)][::-1]

    def _score(self, piece: str) -> float:
        index = self._ids.get(piece)
        return _UNKNOWN if index is None or _is_special(piece) else self.scores[index]

    def _labels(self, piece: str) -> list[int]:
        """A piece's label, or those of its bytes."""
        if piece in self._ids:
            return [self._ids[piece]]
        codes = [f"<0x{byte:02X}>" for byte in piece.encode()]
        if any(code not in self._ids for code in codes):
            raise AudiogenError(f"{piece!r} has no label among the {len(self)} pieces")
        return [self._ids[code] for code in codes]


def spell(pieces: Iterable[str]) -> str:
    """The text that pieces write, with a space where a word begins."""
    data = b"".join(bytes.fromhex(m[1]) if (m := _BYTE.fullmatch(p)) else _visible(p).encode() for p in pieces)
    return data.decode(errors="replace")


def begins_word(piece: str) -> bool:
    """Whether a piece, or the character that is a space, starts a new word."""
    return piece.startswith(MARKS)


def read_sentencepiece(data: bytes) -> PieceTokenizer:
    """The pieces of a SentencePiece model file.

    Its protocol buffer is read as far as it is needed: field 1 is a piece (1 text, 2 score), field 2 how it was trained
    (3 is the kind of model: 1 unigram, 2 BPE).

    Raises:
        AudiogenError: If it is no such file, or of another kind.
    """
    symbols, scores, kind = [], [], 1
    try:
        for field, value in _fields(data):
            if field == 1:
                piece = dict(_fields(value))
                symbols.append(piece[1].decode())
                scores.append(_float(piece.get(2, b"\0\0\0\0")))
            elif field == 2:
                kind = dict(_fields(value)).get(3, 1)
    except (KeyError, IndexError, ValueError, AttributeError, TypeError) as error:
        raise AudiogenError(f"the tokenizer is no SentencePiece model: {error}") from None
    if kind not in (1, 2) or not symbols:
        raise AudiogenError(f"the tokenizer is a SentencePiece model of kind {kind}; 1 (unigram) or 2 (BPE) is needed")
    return PieceTokenizer(symbols, scores, METHODS[2 - kind])


def _visible(piece: str) -> str:
    return "" if _is_special(piece) else piece.replace(WORD, " ")


def _is_special(piece: str) -> bool:
    return len(piece) > 2 and piece.startswith("<") and piece.endswith(">")


def _fields(data: bytes) -> Iterable[tuple[int, Any]]:
    """(number, value) of the fields of a protocol buffer's message: integers, or bytes."""
    position = 0
    while position < len(data):
        key, position = _varint(data, position)
        if key & 7 == 0:
            value, position = _varint(data, position)
        elif key & 7 == 2:
            size, position = _varint(data, position)
            value, position = data[position : position + size], position + size
        elif key & 7 in (1, 5):
            size = 8 if key & 7 == 1 else 4
            value, position = data[position : position + size], position + size
        else:
            raise ValueError(f"a field of wire type {key & 7}")
        if position > len(data):
            raise ValueError("it ends within a field")
        yield key >> 3, value


def _varint(data: bytes, position: int) -> tuple[int, int]:
    """A number of variable length, seven bits a byte, and where it ends."""
    value = shift = 0
    while True:
        byte = data[position]
        position += 1
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return value, position


def _float(data: bytes) -> float:
    return struct.unpack("<f", data)[0]
