"""The systems, one file or package each. Importing this package registers them."""

from audiogen.models import clip_classifier as clip_classifier
from audiogen.models import diffwave as diffwave
from audiogen.models import fastconformer as fastconformer
from audiogen.models import fastconformer_hybrid as fastconformer_hybrid
from audiogen.models import g2p as g2p
from audiogen.models import magnet as magnet
from audiogen.models import musicgen as musicgen
from audiogen.models import samplernn as samplernn
from audiogen.models import sashimi as sashimi
from audiogen.models import valle_r as valle_r
from audiogen.models import wavenet as wavenet
