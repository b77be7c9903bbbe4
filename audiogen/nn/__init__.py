"""Layers shared by models and codecs: `forward(x, state=None) -> (y, state)`, where None is the whole sequence."""
