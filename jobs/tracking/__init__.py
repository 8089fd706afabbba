"""MLflow tracking: the run, its journal and the sender."""
