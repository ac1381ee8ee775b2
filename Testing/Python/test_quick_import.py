"""Imports during which the garbage collector rests."""

import gc
import sys

import pytest

from UltrasoundMotionLib import quick_import
from UltrasoundMotionLib.lazy_imports import lazy_attributes


@pytest.fixture
def sample(tmp_path, monkeypatch):
    """A package of two modules that note whether the collector works; one of them cannot be imported."""
    folder = tmp_path / "collected_sample"
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    (folder / "whole.py").write_text("import gc\nfrom collected_sample import part\ncollects = gc.isenabled()\n")
    (folder / "part.py").write_text("import gc\ncollects = gc.isenabled()\n")
    (folder / "broken.py").write_text("import gc\nraise ValueError(f'collects: {gc.isenabled()}')\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(quick_import, "_rests", False)
    yield
    gc.unfreeze()
    for name in [name for name in sys.modules if name.startswith("collected_sample")]:
        del sys.modules[name]


def test_the_collector_rests_during_an_import_and_works_again(sample):
    quick_import.rest_collector_during_imports()
    before = gc.get_freeze_count()
    find = lazy_attributes("collected_sample", {"collects": "whole"})
    assert find("collects") is False
    assert not sys.modules["collected_sample.part"].collects  # imported by the other
    assert gc.isenabled() and gc.get_freeze_count() > before

    frozen = gc.get_freeze_count()
    kept = [[] for _ in range(100)]
    assert find("collects") is False and len(kept) == 100
    assert gc.get_freeze_count() <= frozen  # nothing was imported: what was made since is collected as ever


def test_the_collector_works_again_after_an_import_that_fails(sample):
    quick_import.rest_collector_during_imports()
    with pytest.raises(ValueError, match="collects: False"):
        quick_import.import_quickly("collected_sample.broken")
    assert gc.isenabled()


def test_the_collector_stays_off_where_a_program_has_it_off(sample):
    quick_import.rest_collector_during_imports()
    gc.disable()
    try:
        assert quick_import.import_quickly("collected_sample.whole").collects is False
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_the_collector_works_in_other_programs_such_as_slicer(sample):
    before = gc.get_freeze_count()
    assert quick_import.import_quickly("collected_sample.whole").collects is True
    assert gc.isenabled() and gc.get_freeze_count() <= before
