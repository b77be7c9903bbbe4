"""Captions as numbers: a word is the set of its letter sequences, so that none is unknown and related ones are alike.

Source: Bojanowski et al. 2017, "Enriching Word Vectors with Subword Information" (arXiv 1607.04606), §3.2.
"""

import re
import zlib

from audiogen.errors import AudiogenError

MAX_WORDS = 128
MAX_PIECES = 24
_LENGTHS = (3, 4, 5)
_WORD = re.compile(r"\d+|[^\W\d_]+")


def caption_words(caption: str) -> list[str]:
    """The words and numbers of a caption, in lower case.

    Raises:
        AudiogenError: If there is none, or more than `MAX_WORDS`.
    """
    words = _WORD.findall(caption.lower())
    if not words:
        raise AudiogenError(f"the caption {caption!r} has no words; say what is to be heard")
    if len(words) > MAX_WORDS:
        raise AudiogenError(f"the caption has {len(words):,} words; at most {MAX_WORDS} are taken")
    return words


def word_ids(word: str, rows: int) -> list[int]:
    """Ids from 1 to `rows - 1` of a word and its letter sequences, at most `MAX_PIECES`."""
    bounded = f"<{word}>"
    pieces = [bounded]
    if not word.isdigit():  # 80 and 180 have nothing in common
        pieces += [bounded[i : i + size] for size in _LENGTHS for i in range(len(bounded) - size + 1)]
    unique = dict.fromkeys(pieces)
    return [1 + zlib.crc32(piece.encode()) % (rows - 1) for piece in list(unique)[:MAX_PIECES]]
