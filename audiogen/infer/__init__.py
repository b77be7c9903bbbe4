"""Sampling, decoding, sessions: trained models at work."""
