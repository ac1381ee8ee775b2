"""What a short run of the command line executes before its work begins: nothing that it does not use."""

import inspect
import json
import subprocess
import sys
import threading

import numpy as np
import pytest
import SimpleITK as sitk

from command_line import speckle
from UltrasoundMotionLib import deferred_modules

PROGRAM = """
import atexit, gc, json, sys

collections_while_importing = 0

def count(phase, details):
    global collections_while_importing
    torch = sys.modules.get("torch")
    collections_while_importing += torch is not None and torch.__spec__._initializing

gc.callbacks.append(count)

def list_modules():
    from UltrasoundMotionLib.deferred_modules import is_deferred

    assert gc.isenabled() and collections_while_importing == 0
    names = [name for name in sys.modules if not is_deferred(name)]
    if "torch" in names:  # what was deferred is whole where it is asked for
        import torch

        weight = torch.ones(3, requires_grad=True)
        weight.sum().backward()
        torch.optim.Adam([weight], 0.5).step()
        assert abs(float(weight.detach()[0]) - 0.5) < 1e-6
        assert torch.distributions.Normal(0.0, 1.0).log_prob(torch.zeros(())) < 0
        assert len(torch.utils.data.TensorDataset(torch.zeros(4))) == 4
        assert torch.masked.masked_tensor(torch.ones(2), torch.tensor([True, False])).sum().get_data() == 1
        assert torch.nn.quantized.ReLU6 is torch.ao.nn.quantized.ReLU6
        assert torch.nn.intrinsic.ConvReLU2d is torch.ao.nn.intrinsic.ConvReLU2d
        assert torch.nn.qat.Linear is torch.ao.nn.qat.Linear
        assert torch.nn.quantizable.LSTM is torch.ao.nn.quantizable.LSTM
        with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
            torch.zeros(2).add(1)
        assert any(event.key == "aten::add" for event in profile.key_averages())
        value, linear = torch.func.linearize(torch.sin, torch.zeros(()))
        assert value == 0 and linear(torch.ones(())) == 1
        import torchgen.model, unittest.mock

        assert torchgen.model.FunctionSchema.parse("sin(Tensor self) -> Tensor").name.name.base == "sin"
        with unittest.mock.patch.object(sys, "argv", ["patched"]):
            assert sys.argv == ["patched"]
    print(json.dumps(names), file=sys.stderr)

atexit.register(list_modules)
from UltrasoundMotionLib.__main__ import main
main()
"""

SELDOM_USED = {
    *("PIL", "asyncio", "av", "cv2", "matplotlib", "pandas", "pydicom", "sympy", "vtkmodules"),
    *("numpy.f2py", "numpy.testing", "scipy.stats"),
    *(f"UltrasoundMotionLib.{part}" for part in ("cohort", "live", "mrml", "pictures", "simulation", "strain")),
    *(f"UltrasoundMotionLib.lab.{part}" for part in ("benchmarks", "cli", "training")),
}
"""Modules that no short run has a use for; those within them are meant too."""


def modules_of(*arguments):
    """Names of the modules that a whole process executes."""
    command = [sys.executable, "-c", PROGRAM, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stderr.splitlines()[-1]))


def within(modules, names):
    return sorted(name for name in modules if any(name == one or name.startswith(f"{one}.") for one in names))


def test_what_the_application_asks_in_its_own_process_is_light():
    """Listings, help, strain and the kind of images; each part may import less than those after it."""
    program = """
import argparse, sys

def check(*names):
    assert not set(names) & set(sys.modules), set(names) & set(sys.modules)

from UltrasoundMotionLib.tracking import available_trackers
from UltrasoundMotionLib.registration import available_methods
assert len(available_trackers()) >= 12 and len(available_methods()) >= 8
from UltrasoundMotionLib.lab.cli import benchmark
benchmark.fill_parser(argparse.ArgumentParser())
check("SimpleITK", "cv2", "matplotlib", "scipy", "slicer", "torch")
import UltrasoundMotionLib.registration.image_kind
import UltrasoundMotionLib.strain
check("matplotlib", "scipy.signal", "scipy.stats", "slicer", "torch")
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_tracking_executes_only_what_it_uses(clip, points, tmp_path):
    modules = modules_of("track", clip, "--points", points, "--out", tmp_path / "t.csv", "--quiet")
    assert (tmp_path / "t.csv").exists()
    assert within(modules, {*SELDOM_USED, "SimpleITK", "scipy", "torch", "UltrasoundMotionLib.registration"}) == []


@pytest.mark.slow
def test_registering_executes_only_what_it_uses(tmp_path):
    for name, image in zip(("f.nrrd", "m.nrrd"), speckle(2, size=32).astype(np.float32), strict=True):
        sitk.WriteImage(sitk.GetImageFromArray(image), str(tmp_path / name))
    out = tmp_path / "u.nrrd"
    modules = modules_of("register", tmp_path / "f.nrrd", tmp_path / "m.nrrd", "--out-displacement", out, "--quiet")
    assert out.exists() and "torch" in modules
    assert within(modules, {*SELDOM_USED, "torch._dynamo", "torch._inductor", "UltrasoundMotionLib.tracking"}) == []
    assert sorted(modules & deferred_modules.DEFERRED) == []


@pytest.fixture
def sample(tmp_path, monkeypatch):
    """A deferred package that counts how often it is executed."""
    folder = tmp_path / "deferred_sample"
    folder.mkdir()
    (folder / "__init__.py").write_text(
        "import time, builtins\n"
        "builtins.executed_samples.append(__name__)\n"
        "time.sleep(0.05)\n"
        "__all__ = ['value']\n"
        "value = 7\n"
    )
    (folder / "part.py").write_text("from deferred_sample import value\n")
    monkeypatch.setattr("builtins.executed_samples", [], raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(deferred_modules, "DEFERRED", {"deferred_sample", "no_such_module"})
    others = [one for one in sys.meta_path if not isinstance(one, deferred_modules._DeferringFinder)]
    monkeypatch.setattr(sys, "meta_path", others)
    deferred_modules.defer_modules()
    deferred_modules.defer_modules()
    yield
    for name in [name for name in sys.modules if name.startswith("deferred_sample")]:
        del sys.modules[name]


def executed():
    import builtins

    return builtins.executed_samples


def test_a_deferred_module_is_executed_when_a_name_is_taken_from_it(sample, tmp_path):
    import deferred_sample

    assert deferred_sample.__file__ == str(tmp_path / "deferred_sample" / "__init__.py")
    assert deferred_sample.__spec__.name == "deferred_sample" and hasattr(deferred_sample, "__path__")
    assert inspect.getsource(deferred_sample).startswith("import time")  # PySide asks for it at each import
    assert executed() == []
    assert deferred_sample.value == 7 and executed() == ["deferred_sample"]
    with pytest.raises(AttributeError, match="none"):
        _ = deferred_sample.none
    from deferred_sample import value

    assert value == 7 and executed() == ["deferred_sample"]
    with pytest.raises(ModuleNotFoundError):
        import no_such_module  # noqa: F401


def test_a_part_of_a_deferred_package_finds_the_whole(sample):
    from deferred_sample import part

    assert part.value == 7 and executed() == ["deferred_sample"]


def test_two_threads_that_ask_at_once_both_get_the_whole(sample):
    import deferred_sample

    found = []
    threads = [threading.Thread(target=lambda: found.append(deferred_sample.value)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [7] * 4 and executed() == ["deferred_sample"]
