"""The command line as a process of its own: what it imports, does without, and leaves behind when it is interrupted."""

import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from command_line import COMMAND, assert_nothing_written, speckle, without_progress, write_clip

WITHOUT_EXTRAS = """
import sys
class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("matplotlib", "PIL", "slicer", "vtk", "vtkmodules", "av", "cv2"):
            raise ModuleNotFoundError(f"No module named {name!r}")
sys.meta_path.insert(0, Blocker())
import importlib.util
find = importlib.util.find_spec
def find_spec(name, package=None):
    try:
        return find(name, package)
    except ModuleNotFoundError:
        return None
importlib.util.find_spec = find_spec
from UltrasoundMotionLib.cli.main import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.slow
def test_a_table_needs_no_extra_and_the_demo_says_which_it_lacks(clip, points, tmp_path):
    def without_extras(*arguments):
        return subprocess.run(
            [sys.executable, "-c", WITHOUT_EXTRAS, *map(str, arguments)], capture_output=True, text=True, check=False
        )

    track = ["track", clip, "--points", points, "--out", tmp_path / "t.csv"]
    for option, name, packages in (
        ("--scene", "s.mrb", '"slicer-core>=5.12.4,<5.13"'),
        ("--plot", "p.png", "matplotlib pillow"),
    ):
        refused = without_extras(*track, option, tmp_path / name)
        assert refused.returncode == 2
        assert refused.stderr.count("\n") == 1
        assert f"pip install {packages}" in refused.stderr
    assert_nothing_written(tmp_path)
    done = without_extras("demo", "--out", tmp_path / "demo")
    assert (done.returncode, without_progress(done.stderr)) == (0, "")
    assert done.stdout.count("Left out: ") == 2
    assert {path.name for path in (tmp_path / "demo").iterdir()} == {
        "wall-tracks.csv",
        "wall-points.csv",
        "wall-strain.csv",
        "wall-strain.json",
    }


def test_help_and_version_load_no_package_but_numpy():
    """That is why they come at once: importing torch alone takes seconds."""
    program = "import sys; before = set(sys.modules); from UltrasoundMotionLib.cli.main import main;"
    program += "main(['--version']); main(['--help']);"
    program += "print(*{name.partition('.')[0] for name in set(sys.modules) - before}, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    version, usage = done.stdout.splitlines()[:2]
    assert version.startswith("ultrasound-motion ") and usage.startswith("usage: ultrasound-")
    assert set(done.stderr.split()) - set(sys.stdlib_module_names) <= {"numpy", "UltrasoundMotionLib"}


def test_a_reader_that_goes_away_is_no_error():
    with subprocess.Popen(
        [*COMMAND, "models", "list"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode == 141


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.slow
def test_an_interrupted_run_leaves_no_file_and_no_traceback(points, tmp_path, number):
    clip = write_clip(tmp_path / "long.mha", np.tile(speckle(10, size=192), (300, 1, 1)))
    # a test run in the background would pass on that it ignores SIGINT, so the handler is set as in a shell's
    # foreground
    program = "import signal, sys, time, types; signal.signal(signal.SIGINT, signal.default_int_handler);"
    program += (
        "from UltrasoundMotionLib.cli import terminal_progress;"  # its clock runs faster, so that it speaks early
    )
    program += "terminal_progress.time = types.SimpleNamespace(monotonic=lambda: 100 * time.monotonic());"
    program += "from UltrasoundMotionLib.cli.main import main; sys.exit(main(sys.argv[1:]))"
    command = [sys.executable, "-c", program, "track", clip, "--points", points, "--out", tmp_path / "t.csv"]
    process = subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        progress = process.stderr.readline()
        assert progress.startswith("tracking "), progress
        process.send_signal(number)
        _, error = process.communicate(timeout=120)
    finally:
        process.kill()
    assert process.returncode == 128 + number
    assert error == "ultrasound-motion: cancelled\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["long.mha", "points.csv"]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_a_signal_at_any_moment_gives_its_exit_code(points, tmp_path):
    """While libraries are imported, frames are tracked, pictures drawn and a scene is written."""
    pytest.importorskip("slicer", reason="needs slicer-core")
    clip = write_clip(tmp_path / "clip.mha", speckle(10))
    out = tmp_path / "out"
    command = [*COMMAND, "track", clip, "--points", points, "--out", out / "t.csv"]
    command += ["--scene", out / "s.mrb", "--plot", out / "p.png"]

    def start():
        shutil.rmtree(out, ignore_errors=True)
        out.mkdir()
        return subprocess.Popen(
            list(map(str, command)),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # noqa: PLW1509
        )

    begun = time.monotonic()
    with start() as whole:
        whole.communicate()
    seconds = time.monotonic() - begun
    for moment in np.linspace(0.15, 0.95, 9):
        number = signal.SIGINT if round(moment * 100) % 2 else signal.SIGTERM
        with start() as process:
            time.sleep(moment * seconds)
            process.send_signal(number)
            _, error = process.communicate(timeout=120)
        if process.returncode == 0:
            continue  # it had ended
        assert process.returncode in (128 + number, -signal.SIGTERM), error
        assert "Traceback" not in error
        assert not [path.name for path in out.iterdir() if path.name.startswith(".partial")]


def test_nothing_slow_is_imported_before_signals_are_handled():
    """Until then Ctrl-C ends in a traceback; -S leaves out what the environment imports at its start."""
    program = (
        "import sys; sys.path.insert(0, sys.argv[1]); import UltrasoundMotionLib.interrupts;"
        "sys.exit('typing' in sys.modules)"
    )
    root = Path(__file__).resolve().parents[2]
    assert subprocess.run([sys.executable, "-S", "-c", program, root], check=False).returncode == 0
