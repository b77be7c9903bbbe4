"""Everything that maps waves to tokens and back. Importing this package registers the codecs."""

from audiogen.codecs import stft_rvq as stft_rvq
