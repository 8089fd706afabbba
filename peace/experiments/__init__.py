"""Sweeps and ablations: their spaces, stored results and reports."""
