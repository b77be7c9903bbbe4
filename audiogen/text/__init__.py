"""Text to phones and labels: normaliser, grapheme-to-phoneme, inventories, tokenizers."""
