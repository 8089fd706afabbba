"""The MLflow model registry: packaging, versions, champions."""
