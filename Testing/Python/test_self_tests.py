"""The scenarios that the application runs, run here on the stand-ins: a self test that cannot pass here would not pass
there.
"""

import importlib.util
import unittest
from pathlib import Path

import pytest
import slicer

import slicer_stand_ins
from slicer_stand_ins import module_names, slicer_application
from UltrasoundMotionLib.mrml.headless_scene import HeadlessScene

SELF_TEST = Path(__file__).resolve().parents[1] / "Slicer" / "PanelSelfTest.py"

pytestmark = pytest.mark.skipif(
    slicer_stand_ins.qt_stand_ins is None, reason="needs Qt for Python: pip install --editable '.[test]'"
)


@pytest.mark.slow
def test_every_panel_runs_and_cancels_on_its_sample(monkeypatch):
    spec = importlib.util.spec_from_file_location("PanelSelfTest", SELF_TEST)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    with HeadlessScene() as scene, slicer_application(scene) as application:
        opened, application.testing = {}, True  # as with --testing: consent to licences is not asked for
        monkeypatch.setattr(
            slicer.util,
            "selectModule",
            lambda name: opened.setdefault(name, application.open_module(name)),
            raising=False,
        )
        monkeypatch.setattr(slicer.util, "getModuleWidget", opened.__getitem__, raising=False)
        result = unittest.TestResult()
        unittest.TestLoader().loadTestsFromModule(module).run(result)
        assert result.testsRun == 8
        assert not result.failures + result.errors, "\n".join(text for _, text in result.failures + result.errors)
        assert application.errors == []


@pytest.mark.slow
@pytest.mark.parametrize("name", module_names())
def test_a_modules_own_test_passes(name, sample_cache):
    with HeadlessScene() as scene, slicer_application(scene) as application:
        application.cachePath = str(sample_cache)
        module = application.load_module(name)
        result = getattr(module, f"{name}Test")("runTest").run()
        assert not result.failures + result.errors + result.skipped
        assert application.errors == []
