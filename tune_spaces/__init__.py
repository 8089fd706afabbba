"""Search spaces of `peace sweep`, one YAML file each (docs/sweeps.md)."""
