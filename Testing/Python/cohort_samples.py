"""Small clips with their manifest, and the tables of a cohort."""

import csv
import functools

import numpy as np

from trajectory_samples import speckle_clip
from UltrasoundMotionLib import ImageSequence, write_sequence
from UltrasoundMotionLib.cli.main import main
from UltrasoundMotionLib.cohort.case_run import run_case
from UltrasoundMotionLib.cohort.manifest import read_manifest

FRAMES, SIDE = 6, 48


@functools.cache
def _frames(number):
    return speckle_clip(number, 0.4)[0][:FRAMES, :SIDE, :SIDE]


def write_clips(root, count):
    """Small clips with two points each, and a manifest of them."""
    root.mkdir(exist_ok=True)
    rows = ["case,input,points"]
    (root / "points.csv").write_text("label,x,y\na,20,24\nb,30,22\n")
    for number in range(count):
        frames = _frames(number)
        write_sequence(root / f"c{number}.seq.nrrd", ImageSequence(frames))
        rows.append(f"case-{number},c{number}.seq.nrrd,points.csv")
    (root / "cases.csv").write_text("\n".join(rows) + "\n")
    return root / "cases.csv"


def rows_of(path):
    """The lines of a table by column."""
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def run_cases(manifest, out):
    """Runs the cases of a manifest in this process, and returns the folder of their results."""
    (out / "cases").mkdir(parents=True)
    for case in read_manifest(manifest):
        assert not run_case(case, out, main).reason
    return out


def wall_tracks(path):
    """A ventricle's wall of 13 points that shortens and lengthens over 20 frames."""
    angle = np.linspace(np.pi, 2 * np.pi, 13)
    depth = 1 - 0.1 * (1 - np.cos(2 * np.pi * np.arange(20) / 19))
    lines = ["frame,time_s,label,x,y,confidence,visible"]
    for frame, scale in enumerate(depth):
        for number, one in enumerate(angle):
            x, y = 64 + 30 * np.cos(one), 90 + 60 * scale * np.sin(one)
            lines.append(f"{frame},{frame * 0.04:.3f},w{number:02d},{x:.4f},{y:.4f},{1 if frame == 0 else 0.98},1")
    path.write_text("\n".join(lines) + "\n")
