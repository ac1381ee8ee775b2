"""What the modules install, and when: nothing where nothing is missing, torch through its extension, the rest after
asking.
"""

import importlib.metadata
import sys
import types

import pytest
import slicer

from slicer_stand_ins import slicer_application
from UltrasoundMotionLib.errors import MissingPackageError
from UltrasoundMotionLib.mrml.headless_scene import HeadlessScene


@pytest.fixture
def packages(tmp_path, monkeypatch):
    """The function, with a requirements file, and what is installed as a dictionary to change."""
    with HeadlessScene() as scene, slicer_application(scene) as application:
        application.load_module("LandmarkTracking")
        from UltrasoundMotionModuleLib.shared.required_packages import ensureTorch

        path = tmp_path / "requirements.txt"
        path.write_text("# for tests\nsafetensors>=0.4  # weights\npydicom>=3.0\n")
        installed = {"torch": "2.13.0+cpu", "safetensors": "0.5", "pydicom": "3.0.1"}

        def version(name):
            if name not in installed:
                raise importlib.metadata.PackageNotFoundError(name)
            return installed[name]

        monkeypatch.setattr(importlib.metadata, "version", version)
        yield installed, lambda: ensureTorch(path, "Landmark Tracking")


def test_nothing_happens_where_nothing_is_missing(packages):
    _, ensure = packages
    assert ensure() is None


def test_torch_comes_from_its_extension(packages, monkeypatch):
    installed, ensure = packages
    installed["torch"] = "1.13"
    with pytest.raises(MissingPackageError, match="install the PyTorch extension in the Extensions Manager"):
        ensure()
    asked, answers = [], [None, "torch"]

    class PyTorchUtilsLogic:
        def installTorch(self, **options):  # noqa: N802  as the extension calls it
            asked.append(options)
            return answers.pop(0)

    monkeypatch.setitem(sys.modules, "PyTorchUtils", types.SimpleNamespace(PyTorchUtilsLogic=PyTorchUtilsLogic))
    with pytest.raises(MissingPackageError, match="was not installed"):
        ensure()
    ensure()
    assert asked == [{"askConfirmation": True, "torchVersionRequirement": ">=2.2"}] * 2


def test_the_rest_through_slicers_packaging(packages, monkeypatch):
    installed, ensure = packages
    del installed["safetensors"]
    calls = []

    def pip_ensure(requirements, requester=None):
        calls.append((requirements, requester))
        if len(calls) == 1:
            raise RuntimeError("User declined package installation")

    monkeypatch.setitem(sys.modules, "slicer.packaging", types.SimpleNamespace(pip_ensure=pip_ensure))
    with pytest.raises(MissingPackageError, match="were not installed"):
        ensure()
    ensure()
    assert calls == [(["safetensors>=0.4"], "Landmark Tracking")] * 2


def test_the_rest_on_slicer_5_10(packages, monkeypatch):
    installed, ensure = packages
    installed["pydicom"] = "2.4"
    answers, questions, installs = [False, True], [], []

    def confirm(text, **_):
        questions.append(text)
        return answers.pop(0)

    monkeypatch.setattr(slicer.util, "confirmOkCancelDisplay", confirm)
    monkeypatch.setattr(slicer.util, "pip_install", installs.append)
    with pytest.raises(MissingPackageError, match="were not installed"):
        ensure()
    assert installs == []
    ensure()
    assert installs == ["pydicom>=3.0"]
    assert "Landmark Tracking" in questions[0]
    assert "pydicom>=3.0" in questions[0]
