"""Recipes: stages from data to scores, wired by Hydra."""
