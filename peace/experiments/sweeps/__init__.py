"""Sweeps without Ray: search spaces as files, the store of trials, and what a page says about them."""
