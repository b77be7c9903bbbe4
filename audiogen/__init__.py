"""Speech and sound out of a model, text out of speech, on the machine you have.

import audiogen

speaker = audiogen.load("voice-en")
speech = speaker.synthesize("Good morning.")
transcript = audiogen.load("recognizer-en").transcribe("speech.wav")
"""

from typing import Any

__version__ = "0.1.0"
__all__ = ["AudiogenError", "list_models", "load"]


def __getattr__(name: str) -> Any:
    """Import the public functions when they are first used, so that `import audiogen` stays instant."""
    if name == "AudiogenError":
        from audiogen.errors import AudiogenError

        return AudiogenError
    if name in __all__:
        from audiogen import api

        return getattr(api, name)
    raise AttributeError(f"module 'audiogen' has no attribute {name!r}")
