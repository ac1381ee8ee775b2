"""Small clips with their manifest, and the tables of a cohort."""

import csv

from trajectory_samples import speckle_clip
from UltrasoundMotionLib import ImageSequence, write_sequence

FRAMES, SIDE = 6, 48


def write_clips(root, count):
    """Small clips with two points each, and a manifest of them."""
    root.mkdir(exist_ok=True)
    rows = ["case,input,points"]
    (root / "points.csv").write_text("label,x,y\na,20,24\nb,30,22\n")
    for number in range(count):
        frames = speckle_clip(number, 0.4)[0][:FRAMES, :SIDE, :SIDE]
        write_sequence(root / f"c{number}.seq.nrrd", ImageSequence(frames))
        rows.append(f"case-{number},c{number}.seq.nrrd,points.csv")
    (root / "cases.csv").write_text("\n".join(rows) + "\n")
    return root / "cases.csv"


def rows_of(path):
    """The lines of a table by column."""
    with path.open(newline="") as file:
        return list(csv.DictReader(file))
