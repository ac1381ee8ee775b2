"""Fixtures that several test files use."""

from pathlib import Path

import pytest

SHARED_DATA = Path(__file__).resolve().parents[2].parent / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data():
    """Gives `shared_data("folder/file")`, a path in the developers' data folder; the test skips, saying so, where it is
    missing.
    """

    def find(relative: str) -> Path:
        path = SHARED_DATA / relative
        if not path.exists():
            pytest.skip(f"needs {relative} of the developers' data, which is not on this machine")
        return path

    return find
