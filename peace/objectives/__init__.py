"""Losses and the curriculum gate."""
