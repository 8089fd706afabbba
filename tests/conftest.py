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
