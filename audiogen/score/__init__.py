"""How good the shipped models are: `audiogen score` and the score stages of recipes."""
