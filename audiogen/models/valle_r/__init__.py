"""VALL-E R: codec language modelling for speech with a phone pointer that can neither skip, repeat nor run away.

Two transformers speak in turn. `Coarse` goes frame by frame through the first codebook, which the codec has merged to
a lower rate, and holds a pointer into the phones that stays or advances by one each frame. `Fine` fills in the other
codebooks one after the other, a chunk of frames at a time. A voice prompt is simply what was said before.

Source: VALL-E R, arXiv 2406.07855 §3; VALL-E, arXiv 2301.02111 §4. With `pointer=False` it is plain VALL-E. Where we
differ from the papers: `Fine` sees whole chunks and some context before them instead of the whole utterance, so that
a stream is exact; its transformer reads a chunk once, and a small network says the codebooks one after the other, where
the papers run the whole transformer for each; it is told mean and deviation of the prompt's sound; with the pointer it
gets each frame's phone with its neighbours instead of the text before it, so that a prompt is read once for all
sentences; the chance to advance between two equal phones has a head of its own.
"""

from audiogen.models.valle_r.config import VallERConfig as VallERConfig
from audiogen.models.valle_r.model import VallER as VallER
from audiogen.models.valle_r.state import FineState as FineState
from audiogen.models.valle_r.state import Outline as Outline
from audiogen.models.valle_r.state import SpeechState as SpeechState
from audiogen.models.valle_r.utterance import GenerateOptions as GenerateOptions
from audiogen.models.valle_r.utterance import Utterance as Utterance
from audiogen.models.valle_r.utterance import VoicePrompt as VoicePrompt
