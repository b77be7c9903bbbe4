"""Layers shared by models and codecs. Every one is `forward(x, state=None) -> (y, state)`; None is the whole sequence."""
