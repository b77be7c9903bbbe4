"""Captions as numbers."""

import pytest
import torch

from audiogen.errors import AudiogenError
from audiogen.infer.captions import T5Captions, WordCaptions, caption_encoder
from audiogen.text.captions import caption_words, word_ids


def test_words_and_numbers_are_told_apart() -> None:
    assert caption_words("A fast Waltz, 120 BPM (piano)!") == ["a", "fast", "waltz", "120", "bpm", "piano"]


def test_related_words_share_pieces_and_numbers_none() -> None:
    piano, pianos, drums = (set(word_ids(word, 1 << 20)) for word in ("piano", "pianos", "drums"))
    assert len(piano & pianos) > 4 and not piano & drums
    assert len(word_ids("120", 4096)) == 1
    assert all(1 <= number < 50 for number in word_ids("extraordinarily", 50))


def test_a_batch_is_padded_and_masked() -> None:
    ids, mask = WordCaptions(4096)(["piano", "a slow piano tune"])
    assert mask.tolist() == [[True, False, False, False], [True] * 4]
    alone, _ = WordCaptions(4096)(["piano"])
    assert torch.equal(ids[0, 0, : alone.shape[2]], alone[0, 0]) and int(ids[0, 1:].sum()) == 0


@pytest.mark.parametrize("caption", ["", " …! ", "word " * 10_000])
def test_captions_of_no_or_too_many_words_are_refused(caption: str) -> None:
    with pytest.raises(AudiogenError, match="words"):
        WordCaptions(4096)([caption])


def test_unknown_encoders_are_told(tmp_path) -> None:
    with pytest.raises(AudiogenError, match="did you mean 'words'"):
        caption_encoder({"name": "word"})
    pytest.importorskip("transformers")
    with pytest.raises(AudiogenError, match="cannot be loaded"):
        caption_encoder({"name": "t5", "source": str(tmp_path)})


def test_t5_gives_its_vectors_and_zeros_after_the_end(tmp_path) -> None:
    transformers = pytest.importorskip("transformers")
    tokenizers = pytest.importorskip("tokenizers")
    vocabulary = {word: number for number, word in enumerate(["<pad>", "</s>", "<unk>", "a", "piano", "tune"])}
    words = tokenizers.Tokenizer(tokenizers.models.WordLevel(vocabulary, unk_token="<unk>"))
    words.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    names = {"pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"}
    transformers.PreTrainedTokenizerFast(tokenizer_object=words, **names).save_pretrained(tmp_path)
    config = transformers.T5Config(d_model=16, d_kv=4, d_ff=16, num_layers=1, num_heads=2, vocab_size=6)
    transformers.T5EncoderModel(config).save_pretrained(tmp_path)
    vectors, mask = T5Captions(str(tmp_path))(["a piano tune", "piano"])
    assert vectors.shape == (2, 3, 16) and mask.sum(1).tolist() == [3, 1]
    alone, _ = T5Captions(str(tmp_path))(["piano"])
    torch.testing.assert_close(vectors[1, :1], alone[0])
    assert int(vectors[1, 1:].count_nonzero()) == 0
