"""Published checkpoints of other projects, read into our bundles."""
