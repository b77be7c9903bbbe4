"""Speech and sound out of a model, text out of speech, on the machine you have."""

__version__ = "0.1.0"
