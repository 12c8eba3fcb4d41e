"""Choosing thresholds and writing them down with where they come from."""
