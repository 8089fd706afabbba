"""The Ray cluster and MLflow server of one machine."""
