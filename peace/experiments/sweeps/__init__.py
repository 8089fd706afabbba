"""Sweeps without Ray: search spaces as files, the ledger of trials, and what a page says about them."""
