"""The systems, one file each. Importing this package registers them."""
