"""Everything that maps waves to tokens and back. Importing this package registers the codecs."""
