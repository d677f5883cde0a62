"""Scores and measures of smoothness, as pure functions."""
