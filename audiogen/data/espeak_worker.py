"""The process that holds espeak-ng, run as a script: the GPL library and its crashes stay out of the main process.

It needs the standard library only and talks through its standard streams. A request is one JSON line. The answer is
one JSON line, `{"error": …}` or the result; for speech the 16-bit samples follow it.

Each request is answered by a fork of the process as it was when it started, so a crash costs one answer, and the noise
in the voices, which espeak-ng draws from a state that nothing resets, is the same for the same request.
"""

import ctypes
import json
import os
import signal
import sys
from pathlib import Path
from typing import BinaryIO

LONGEST_SECONDS = 300
SECONDS_TO_ANSWER = 60
_SYNCHRONOUS, _PHONEME_EVENTS, _PHONEMES_AS_IPA, _DO_NOT_EXIT = 2, 1, 2, 0x8000
_UTF8, _PHONEMES_IN_BRACKETS = 1, 0x100
_RATE, _PITCH, _RANGE = 1, 3, 4
_PHONEME_EVENT = 7
_SEPARATED_IPA = ord("_") << 8 | 2


class _Id(ctypes.Union):
    _fields_ = [("number", ctypes.c_int), ("name", ctypes.c_void_p), ("string", ctypes.c_char * 8)]


class _Event(ctypes.Structure):
    _fields_ = [
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", _Id),
    ]


_Callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event))


class Worker:
    """espeak-ng with its voice data, answering requests."""

    def __init__(self, library: str, data: str) -> None:
        self._library = ctypes.CDLL(library)
        self._library.espeak_TextToPhonemes.restype = ctypes.c_char_p
        options = _PHONEME_EVENTS | _PHONEMES_AS_IPA | _DO_NOT_EXIT
        self._sample_rate = self._library.espeak_Initialize(_SYNCHRONOUS, 0, data.encode(), options)
        self._variants = {path.name for path in Path(data, "voices", "!v").iterdir()}
        self._samples, self._events = bytearray(), []
        self._callback = _Callback(self._receive)
        self._library.espeak_SetSynthCallback(self._callback)

    def say(
        self, text: str, in_brackets: bool, voice: str, rate: int, pitch: int, pitch_range: int
    ) -> tuple[dict, bytes]:
        """Speak; the events are (first sample, IPA) of each phone, with an empty name for a pause."""
        self._choose(voice)
        for parameter, value in ((_RATE, rate), (_PITCH, pitch), (_RANGE, pitch_range)):
            self._library.espeak_SetParameter(parameter, value, 0)
        self._samples, self._events = bytearray(), []
        encoded = text.encode() + b"\0"
        flags = _UTF8 | (_PHONEMES_IN_BRACKETS if in_brackets else 0)
        if self._library.espeak_Synth(encoded, len(encoded), 0, 1, 0, flags, None, None) != 0:
            raise ValueError("espeak-ng failed")
        samples = bytes(self._samples)
        return {"sample_rate": self._sample_rate, "events": self._events, "num_bytes": len(samples)}, samples

    def ipa(self, text: str, voice: str) -> tuple[dict, bytes]:
        """The clauses of a text in IPA, phones separated by `_`."""
        self._choose(voice)
        buffer = ctypes.create_string_buffer(text.encode())
        rest = ctypes.c_void_p(ctypes.addressof(buffer))
        clauses = []
        while rest.value:
            clause = self._library.espeak_TextToPhonemes(ctypes.byref(rest), _UTF8, _SEPARATED_IPA)
            clauses.append((clause or b"").decode())
        return {"clauses": clauses}, b""

    def _choose(self, voice: str) -> None:
        language, plus, variant = voice.partition("+")
        names = [name + plus + variant for name in (language.lower(), language.lower().split("-")[0])]
        known = not variant or variant in self._variants
        if not known or all(self._library.espeak_SetVoiceByName(name.encode()) != 0 for name in names):
            raise ValueError(f"espeak-ng has no voice {voice!r}; examples: 'en-us', 'de', 'en-us+f3'")

    def _receive(self, wave, count: int, events) -> int:
        """espeak-ng's callback; a result other than 0 makes it stop."""
        if wave and count > 0:
            self._samples += ctypes.string_at(wave, 2 * count)
        index = 0
        while events[index].type:
            event = events[index]
            if event.type == _PHONEME_EVENT:
                name = ctypes.string_at(ctypes.addressof(event.id), 8).partition(b"\0")[0]
                self._events.append((event.sample, name.decode(errors="ignore")))
            index += 1
        return int(len(self._samples) > 2 * LONGEST_SECONDS * self._sample_rate)


def answer(worker: Worker, request: dict) -> bytes:
    """The answer to one request."""
    try:
        result, samples = getattr(worker, request.pop("do"))(**request)
    except ValueError as error:
        result, samples = {"error": str(error)}, b""
    return json.dumps(result).encode() + b"\n" + samples


def serve(worker: Worker, requests: BinaryIO, answers: BinaryIO) -> None:
    """Answer requests until their stream ends."""
    for line in requests:
        child = os.fork()
        if child == 0:
            try:
                signal.alarm(SECONDS_TO_ANSWER)
                answers.write(answer(worker, json.loads(line)))
                answers.flush()
                os._exit(0)
            finally:
                os._exit(1)
        if os.waitpid(child, 0)[1] != 0:
            answers.write(b'{"error": "espeak-ng broke down over this text; leave it out"}\n')
            answers.flush()


if __name__ == "__main__":
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever the library prints must not get among the answers
    serve(Worker(*sys.argv[1:]), sys.stdin.buffer, answers)
