"""Small trained bundles that ship with the package."""
