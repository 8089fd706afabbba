"""The stages of `peace demo`."""
