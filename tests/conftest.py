"""What tests share: where the real recordings are, if they are anywhere."""

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder of real recordings beside the project; skips where it is absent."""
    place = Path(__file__).parents[2] / "shared" / "data"
    if not place.is_dir():
        pytest.skip("the real recordings are not on this machine")
    return place


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with its tables, to copy: making them takes MLflow seconds."""
    from jobs.tracking.store import connect

    file = tmp_path_factory.mktemp("store") / "empty.db"
    connect(f"sqlite:///{file}")
    return file
