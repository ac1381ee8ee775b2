"""Real clips for `benchmark second-source`: with truth, or without one, where points go to the last frame and back."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from UltrasoundMotionLib.images.image_sequence import ImageSequence
from UltrasoundMotionLib.lab.benchmarks.second_source.hand_labels import read_hand_labels
from UltrasoundMotionLib.lab.benchmarks.trackers import same_points
from UltrasoundMotionLib.lab.benchmarks.wires import WIRES_FOLDER, read_wires
from UltrasoundMotionLib.lab.phantom_cases import BenchmarkCase, choose_points

ECHO_CLIP, ECHO_NAME = "echo-video/input.mp4", "echo video"
_VIDEO_EXTENSIONS = (".mp4", ".avi", ".mov", ".mkv")


@dataclass(frozen=True)
class RoundTripClip:
    """A clip without truth.

    Attributes:
        group: the column that it is reported in.
        sequence: the clip; without spacing, so that distances are in pixels.
    """

    group: str
    sequence: ImageSequence


def echo_clip(data: Path) -> RoundTripClip:
    """Reads the real echo clip of the developers' data.

    Raises:
        InputError: it is missing or cannot be read.
    """
    from UltrasoundMotionLib.images import read_sequence

    sequence = read_sequence(data / ECHO_CLIP)
    return RoundTripClip(f"{ECHO_NAME} back", replace(sequence, spacing_mm=None, name=ECHO_NAME))


def wire_case(data: Path) -> BenchmarkCase:
    """Reads the six nylon wires of the developers' data.

    Raises:
        InputError: see `read_wires`.
    """
    sequence, truth = read_wires(data / WIRES_FOLDER)
    return BenchmarkCase("wires", "", "wires", sequence, truth)


def labelled_cases(folder: Path) -> Iterator[BenchmarkCase]:
    """Reads clips whose points were labelled by hand: each CSV of the folder (`read_hand_labels`) with the clip that
    has its name. Points are followed from the first frame that has labels.

    Raises:
        InputError: there is no CSV; one without its clip; see `read_hand_labels` and `read_sequence`.
    """
    from UltrasoundMotionLib.errors import InputError
    from UltrasoundMotionLib.images import read_sequence

    tables = sorted(folder.glob("*.csv"))
    if not tables:
        raise InputError(f"{folder}: holds no CSV of hand labels")
    for table in tables:
        clips = [path for extension in _VIDEO_EXTENSIONS if (path := table.with_suffix(extension)).exists()]
        if not clips and table.with_suffix("").is_dir():
            clips = [table.with_suffix("")]
        if not clips:
            raise InputError(
                f"{table}: there is no clip of that name beside it ({', '.join(_VIDEO_EXTENSIONS)} or folder)"
            )
        sequence = read_sequence(clips[0])
        labels, positions = read_hand_labels(table, len(sequence))
        query_frame = int(np.flatnonzero(np.isfinite(positions).all(axis=2).any(axis=1))[0])
        truth = same_points(positions, labels, query_frame)
        given = np.flatnonzero(np.isfinite(positions[query_frame]).all(axis=1))
        yield BenchmarkCase("hand labels", "", table.stem, sequence, choose_points(truth, given))
