"""Corpora to manifests to bucketed batches."""
