"""Without Slicer's libraries the package `mrml` and its tests say what to install; this file needs none of them."""

import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from UltrasoundMotionLib.errors import MissingPackageError


@pytest.mark.parametrize("installed", [None, ModuleType("slicer")], ids=["none", "the unrelated package of that name"])
def test_a_missing_slicer_core_is_named(monkeypatch, installed):
    for name in [name for name in sys.modules if name.startswith("UltrasoundMotionLib.mrml")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "slicer", installed)
    with pytest.raises(MissingPackageError, match=r'pip install "slicer-core>=5.12.4,<5.13"'):
        import UltrasoundMotionLib.mrml  # noqa: F401


@pytest.mark.slow
def test_a_test_file_without_its_extra_is_skipped_and_names_it():
    """Test files import plainly; conftest.py turns the missing package of an extra into a skip."""
    file = Path(__file__).parent / "test_mrml_scene.py"
    program = "import sys, pytest; sys.modules['slicer'] = None; sys.exit(pytest.main(sys.argv[1:]))"
    command = [sys.executable, "-c", program, "--collect-only", "-q", "-p", "no:cacheprovider", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "needs slicer: pip install --editable '.[slicer]'" in done.stdout
    assert done.returncode == pytest.ExitCode.NO_TESTS_COLLECTED
