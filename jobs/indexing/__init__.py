"""The check of a cohort that `peace index --check` prints."""
