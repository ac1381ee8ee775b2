"""Fixtures that several test files use, and what becomes of tests whose optional packages are not installed."""

import os
import sys
from pathlib import Path

import hypothesis
import pytest

from UltrasoundMotionLib.errors import MissingPackageError

SHARED_DATA = Path(__file__).resolve().parents[2].parent / "shared" / "data"
EXTRA_OF_PACKAGE = {
    "av": "video",
    "matplotlib": "plot",
    "PIL": "plot",
    "PySide6": "test",
    "slicer": "slicer",
    "vtk": "slicer",
    "vtkmodules": "slicer",
}

hypothesis.settings.register_profile("tests", max_examples=25, deadline=None, derandomize=True, database=None)
hypothesis.settings.load_profile("tests")
os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")  # before Qt for Python is first imported


class FileOfTests(pytest.Module):
    """A test file; it is skipped, saying so, where a package that it imports is an extra that is not installed."""

    def collect(self):
        try:
            return super().collect()
        except MissingPackageError as error:
            pytest.skip(str(error))
        except self.CollectError as error:
            package = (getattr(error.__cause__, "name", None) or "").partition(".")[0]
            if package not in EXTRA_OF_PACKAGE:
                raise
            pytest.skip(f"needs {package}: pip install 'ultrasound-motion[{EXTRA_OF_PACKAGE[package]}]'")


def pytest_pycollect_makemodule(module_path, parent):
    return FileOfTests.from_parent(parent, path=module_path)


def pytest_collection_modifyitems(items):
    for item in items:
        if item.get_closest_marker("training"):
            item.add_marker(pytest.mark.slow)


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


@pytest.fixture(scope="session")
def slicer_core():
    """Gives the `slicer` package; from then on every headless scene has the subject hierarchy items that the
    application would make.
    """
    slicer = pytest.importorskip("slicer", reason="needs slicer-core: pip install 'ultrasound-motion[slicer]'")
    if not hasattr(slicer, "vtkMRMLScene"):
        pytest.skip("the package named slicer is not slicer-core")
    from application_scene import application_items_everywhere

    with application_items_everywhere():
        yield slicer


@pytest.fixture(scope="session", autouse=True)
def scenes_as_in_the_application(request):
    """Requests `slicer_core` before all others where a test file imports Slicer's libraries."""
    if sys.modules.get("slicer") is not None:
        request.getfixturevalue("slicer_core")
