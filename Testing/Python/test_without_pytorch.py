"""Without PyTorch: what needs it says so, and everything else runs. With it: what does without does not import it."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from UltrasoundMotionLib.images.image_sequence import ImageSequence
from UltrasoundMotionLib.images.sequence_files import write_sequence

ROOT = Path(__file__).resolve().parents[2]
REFUSING = """
import importlib.abc, sys
class Refuse(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in REFUSED:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name.partition(".")[0])
sys.meta_path.insert(0, Refuse())
from UltrasoundMotionLib.cli.main import main
codes = [main(arguments) for arguments in COMMANDS]
sys.exit(max(codes) if max(codes) == min(codes) else f"exit codes {codes}")
"""


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """A folder with a clip and a file of points."""
    folder = tmp_path_factory.mktemp("clip")
    texture = np.random.default_rng(0).integers(0, 255, (70, 90)).astype(np.uint8)
    texture = np.asarray((texture[:-1, :-1].astype(int) + texture[1:, :-1] + texture[:-1, 1:] + texture[1:, 1:]) // 4)
    frames = np.stack([texture[2:66, t : t + 80] for t in range(6)]).astype(np.uint8)
    write_sequence(folder / "clip.nrrd", ImageSequence(frames, spacing_mm=(0.5, 0.5)))
    (folder / "points.csv").write_text("label,x,y\nA,40,30\nB,30,40\n")
    return folder


def commands(*lines, refused=("torch",)):
    """A finished process that ran command lines, all with its exit code, while some packages could not be imported."""
    words = [[str(word) for word in line] for line in lines]
    text = REFUSING.replace("REFUSED", repr(tuple(refused))).replace("COMMANDS", repr(words))
    environment = dict(os.environ, PYTHONPATH=str(ROOT))
    return subprocess.run(
        [sys.executable, "-c", text], capture_output=True, text=True, env=environment, cwd=ROOT, check=False
    )


def tracking(clip, model):
    words = ("track", clip / "clip.nrrd", "--points", clip / "points.csv", "--out", clip / f"{model}.csv")
    return (*words, "--model", model)


def test_point_trackers_run_without_pytorch_and_scipy(clip):
    models = ("lucas-kanade", "lucas-kanade-wall", "block-matching")
    finished = commands(*(tracking(clip, model) for model in models), refused=("torch", "scipy", "SimpleITK"))
    assert finished.returncode == 0, finished.stderr
    for model in models:
        rows = (clip / f"{model}.csv").read_text().splitlines()
        last = [row.split(",") for row in rows if row.startswith("5,")]
        assert [abs(float(row[3]) - x + 5) < 0.3 for row, x in zip(last, (40, 30), strict=True)] == [True, True]


def test_a_tracker_that_needs_pytorch_says_so_in_one_line(clip):
    models = ("specknet", "lsdm", "kcf")
    finished = commands(*(tracking(clip, model) for model in models))
    assert finished.returncode == 2
    assert finished.stderr.splitlines() == [
        f"ultrasound-motion: error: {model} needs PyTorch, which is not installed: in 3D Slicer install the PyTorch "
        "extension, elsewhere run `pip install torch`"
        for model in models
    ]


def test_registration_says_so_too(clip):
    still = clip / "still.nrrd"
    write_sequence(still, ImageSequence(np.full((1, 40, 40), 9, dtype=np.uint8)))
    finished = commands(("register", still, still, "--out-displacement", clip / "u.nrrd"))
    assert finished.returncode == 2
    assert "needs PyTorch, which is not installed" in finished.stderr
    assert len(finished.stderr.strip().splitlines()) == 1


def test_the_list_holds_what_can_run_and_what_pytorch_adds():
    finished = commands(("models", "list"))
    assert finished.returncode == 0, finished.stderr
    table, _, sentence = finished.stdout.partition("PyTorch is not installed; it adds the trackers ")
    names = [line.split()[0] for line in table.partition("\nweights ")[0].splitlines() if line]
    assert "lucas-kanade" in names
    assert not {"specknet", "kcf", "instance"} & set(names)
    assert sentence.startswith("specknet, ")
    assert "and registration (" in sentence


def test_the_library_imports_and_the_console_calls_run(clip):
    script = REFUSING.split("from UltrasoundMotionLib", maxsplit=1)[0].replace("REFUSED", "('torch',)") + (
        "import numpy as np\n"
        "from UltrasoundMotionLib.tracking import available_trackers, track_points\n"
        "from UltrasoundMotionLib.strain import contour_from_clicks, longitudinal_strain\n"
        f"tracks = track_points({str(clip / 'clip.nrrd')!r}, [[40, 30]], offline=True)\n"
        "assert tracks.reached.all()\n"
        f"track_points({str(clip / 'clip.nrrd')!r}, [[40, 30]], watch_shadows=True, query_frame='auto')\n"
        "assert [e.name for e in available_trackers()] == ['lucas-kanade', 'block-matching', 'lucas-kanade-wall']\n"
    )
    finished = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        env=dict(os.environ, PYTHONPATH=str(ROOT)),
        cwd=ROOT,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
