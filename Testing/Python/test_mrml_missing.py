"""Without Slicer's libraries the room says what to install; this test needs none of them."""

import sys
from types import ModuleType

import pytest

from UltrasoundMotionLib.errors import MissingPackageError


@pytest.mark.parametrize("installed", [None, ModuleType("slicer")], ids=["none", "the unrelated package of that name"])
def test_a_missing_slicer_core_is_named(monkeypatch, installed):
    for name in [name for name in sys.modules if name.startswith("UltrasoundMotionLib.mrml")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "slicer", installed)
    with pytest.raises(MissingPackageError, match=r'pip install "ultrasound-motion\[slicer\]"'):
        import UltrasoundMotionLib.mrml  # noqa: F401
