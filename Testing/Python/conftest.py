"""Fixtures that several test files use, and what becomes of tests whose optional packages are not installed."""

import gc
import os
import sys
from contextlib import ExitStack
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
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # each child process would compile the library anew,
sys.dont_write_bytecode = False  # and each run of the tests the tests
os.environ.setdefault("OMP_NUM_THREADS", "1")  # before numpy and torch are: small arrays are not worth sharing
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
            pytest.skip(f"needs {package}: pip install --editable '.[{EXTRA_OF_PACKAGE[package]}]'")


def pytest_pycollect_makemodule(module_path, parent):
    return FileOfTests.from_parent(parent, path=module_path)


def pytest_collection():
    gc.disable()  # next to nothing of what is imported becomes garbage


def pytest_collection_finish():
    gc.enable()
    gc.freeze()  # 600,000 objects that no later search for garbage looks at


def pytest_collection_modifyitems(items):
    for item in items:
        if item.get_closest_marker("training"):
            item.add_marker(pytest.mark.slow)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """Keeps the tests of a file in one process, which makes the file's fixtures once."""
    if config.getoption("dist") == "load":
        from xdist.scheduler import LoadFileScheduling

        return LoadFileScheduling(config, log)
    return None


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
    slicer = pytest.importorskip("slicer", reason="needs slicer-core: pip install --editable '.[slicer]'")
    if not hasattr(slicer, "vtkMRMLScene"):
        pytest.skip("the package named slicer is not slicer-core")
    from application_scene import application_items_everywhere

    with application_items_everywhere():
        yield slicer


@pytest.fixture(scope="session", autouse=True)
def scenes_as_in_the_application(request):
    """Requests `slicer_core` before all others where a test file imports Slicer's libraries."""
    if hasattr(sys.modules.get("slicer"), "vtkMRMLScene"):
        request.getfixturevalue("slicer_core")


@pytest.fixture
def scene(request):
    """A new scene; in files that name a module in `MODULE` that of `application`, emptied after each test."""
    if hasattr(request.module, "MODULE"):
        import slicer

        request.getfixturevalue("application")
        yield slicer.mrmlScene
        slicer.mrmlScene.Clear(False)
    else:
        from UltrasoundMotionLib.mrml.headless_scene import HeadlessScene

        with HeadlessScene() as scene:
            yield scene


@pytest.fixture(scope="session")
def kept_process():
    """The child process of all panels' tests."""
    from module_bench import KeptProcess

    process = KeptProcess()
    yield process
    super(KeptProcess, process).close()


@pytest.fixture(scope="session")
def sample_cache(tmp_path_factory):
    """The folder of samples, so that each is simulated once."""
    return tmp_path_factory.mktemp("samples")


@pytest.fixture
def open_bench(capfd, kept_process, request, monkeypatch):
    """Gives `open_bench(kind, cache_path=None)`, which makes the bench of a module in an application of its own."""
    from slicer_stand_ins import slicer_application
    from UltrasoundMotionLib.mrml.headless_scene import HeadlessScene

    with ExitStack() as opened:

        def open_one(kind, cache_path=None):
            scene = opened.enter_context(HeadlessScene())
            application = opened.enter_context(slicer_application(scene))
            application.cachePath = str(cache_path or application.cachePath)
            bench = kind(scene, application)
            if "own_process" not in request.keywords:
                use_process(kept_process, monkeypatch)
            return bench

        yield open_one
    assert "Traceback" not in capfd.readouterr().err  # errors in observers and slots are printed, never raised


@pytest.fixture(scope="module")
def application(kept_process, request):
    """The application's stand-in with the module that the test file names in `MODULE`, on a scene that its tests
    share.
    """
    from slicer_stand_ins import slicer_application
    from UltrasoundMotionLib.mrml.headless_scene import HeadlessScene

    with HeadlessScene() as scene, slicer_application(scene) as application, pytest.MonkeyPatch.context() as patches:
        application.load_module(request.module.MODULE)
        use_process(kept_process, patches)
        yield application


def use_process(process, patches):
    """Gives the panels a child process in place of one of their own."""
    from UltrasoundMotionModuleLib.shared import background_job

    patches.setattr(background_job, "JobProcess", lambda: process)


@pytest.fixture
def logic(scene, request):
    """The logic of the module that the test file names in `MODULE`."""
    name = request.module.MODULE
    return getattr(sys.modules[name], f"{name}Logic")()


@pytest.fixture
def run(capsys):
    """Gives `run(*arguments)`, a command in this process: its exit code, stdout, and stderr without progress."""
    from command_line import without_progress
    from UltrasoundMotionLib.cli.main import main

    def call(*arguments):
        code = main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return code, captured.out, without_progress(captured.err)

    return call


@pytest.fixture(scope="session")
def clip(tmp_path_factory):
    """A file of 9 frames of speckle that moves right."""
    from command_line import speckle, write_clip

    return write_clip(tmp_path_factory.mktemp("clip") / "speckle.mha", speckle(9))


@pytest.fixture
def points(tmp_path):
    """A table of two points on `clip`."""
    path = tmp_path / "points.csv"
    path.write_text("label,x,y\nA,40,40\nB,50.5,60\n")
    return path


@pytest.fixture
def without_searches(monkeypatch):
    """Images of noise lie as they are: they are not searched for a rotation in which they are alike or recognised,
    which takes many seconds, finds none and is tested with images that have one.
    """
    monkeypatch.setattr("UltrasoundMotionLib.registration.pair_start._refined_start", lambda *_, **__: None)
    monkeypatch.setattr(
        "UltrasoundMotionLib.registration.learned.orientation._surest", lambda *given: (given[2], given[3])
    )


@pytest.fixture
def without_pool(monkeypatch):
    """Runs the cases of cohorts in this process: a pool, as test_cohort.py has it, takes most of a second to start."""
    from UltrasoundMotionLib.cohort.case_run import run_case

    def run_here(cases, out, run_line, *, workers, on_record):
        for case in cases:
            on_record(run_case(case, out, run_line))

    monkeypatch.setattr("UltrasoundMotionLib.cohort.run.run_pool", run_here)
