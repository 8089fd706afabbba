"""Ray job submission."""
