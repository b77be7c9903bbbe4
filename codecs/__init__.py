"""Everything that maps waves to tokens and back. Importing this package registers the codecs."""

from audiogen.codecs import encodec as encodec
from audiogen.codecs import encodec_segmented as encodec_segmented
from audiogen.codecs import magnitude_rvq as magnitude_rvq
from audiogen.codecs import mel_latents as mel_latents
from audiogen.codecs import mel_vocoder as mel_vocoder
from audiogen.codecs import pcm as pcm
from audiogen.codecs import semantic_rvq as semantic_rvq
from audiogen.codecs import sq_codec as sq_codec
