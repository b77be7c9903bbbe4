"""The page that speaks and listens, and the service under it."""
