"""What tests share: their seeds, and where the real recordings are."""

import random
import sys
from pathlib import Path

import numpy as np
import pytest

SEED = 20260501


@pytest.fixture(autouse=True)
def seeds() -> None:
    """Seed every global generator before each test, so that no test depends on those that ran before it.

    Import no torch: most tests do without it. A test that imports it first gets its default seed.
    """
    random.seed(SEED)
    np.random.seed(SEED)
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.manual_seed(SEED)


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
