"""PEACE on Ray: the science, without Ray and MLflow. `peace.__version__` is the release."""


def __getattr__(name: str) -> str:
    """The release, as pyproject.toml names it; looked up only when asked for."""
    if name != "__version__":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("peace-ray")
    except PackageNotFoundError:  # a checkout that is on the path, not installed
        return "unknown"
