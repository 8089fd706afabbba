"""Cells and summary of `peace ablate`."""
