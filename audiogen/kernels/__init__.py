"""Loops that PyTorch is too slow for, compiled by numba where it is installed; import them only where needed."""
