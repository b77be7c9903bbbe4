"""The web page and the services."""
