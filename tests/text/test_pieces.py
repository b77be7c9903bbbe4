"""Pieces of words: cut as the tokenizers package cuts, read back, bytes, SentencePiece files."""

import pytest

from audiogen.errors import AudiogenError
from audiogen.text.pieces import PieceTokenizer, read_sentencepiece

tokenizers = pytest.importorskip("tokenizers")
TEXTS = ["abab ba", "a b  ab", "bbaa", "baabab abba"]
MERGES = [("▁", "a"), ("a", "b"), ("▁a", "b"), ("b", "ab"), ("ab", "ab")]
SYMBOLS = ["▁", "a", "b", *(first + second for first, second in MERGES)]


def test_merges_as_the_package_does():
    theirs = tokenizers.Tokenizer(tokenizers.models.BPE(dict(zip(SYMBOLS, range(len(SYMBOLS)), strict=True)), MERGES))
    ours = PieceTokenizer(SYMBOLS, [-9.0] * 3 + [-float(i) for i in range(len(MERGES))])
    for text in TEXTS:
        marked = "".join("▁" + word for word in text.split())
        assert ours.encode(text) == theirs.encode(marked).ids
        assert ours.decode(ours.encode(text)) == " ".join(text.split())


def test_likeliest_as_the_package_does():
    scores = [-3.0, -2.0, -2.1, -3.3, -2.9, -4.1, -3.0, -5.2]
    theirs = tokenizers.Tokenizer(tokenizers.models.Unigram(list(zip(SYMBOLS, scores, strict=True)), unk_id=0))
    ours = PieceTokenizer(SYMBOLS, scores, "unigram")
    for text in TEXTS:
        assert ours.encode(text) == theirs.encode("".join("▁" + word for word in text.split())).ids


def test_bytes_write_what_no_piece_does():
    pieces = PieceTokenizer(["<unk>", "▁", "a", *(f"<0x{byte:02X}>" for byte in range(256))], [0.0] * 259)
    assert len(pieces.encode("a é")) == 5
    assert pieces.decode([0, *pieces.encode("a é")]) == "a é"


def test_errors_say_what_is_wrong():
    with pytest.raises(AudiogenError, match="'c' has no label"):
        PieceTokenizer(SYMBOLS, [0.0] * 8).encode("abc")
    with pytest.raises(AudiogenError, match="no scores"):
        PieceTokenizer(SYMBOLS).encode("ab")
    with pytest.raises(AudiogenError, match="3 scores do not fit 8 pieces"):
        PieceTokenizer(SYMBOLS, [0.0] * 3)
    for data in (b"", b"\xff\xff", b"\x0a\x7fabc"):
        with pytest.raises(AudiogenError, match="SentencePiece"):
            read_sentencepiece(data)
