"""Everything that maps waves to tokens and back. Importing this package registers the codecs."""

from audiogen.codecs import encodec as encodec
from audiogen.codecs import encodec_segmented as encodec_segmented
from audiogen.codecs import magnitude_rvq as magnitude_rvq
from audiogen.codecs import pcm as pcm
from audiogen.codecs import sq_codec as sq_codec
