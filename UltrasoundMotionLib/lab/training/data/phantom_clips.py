"""Training clips of the phantoms of `simulation`: exact trajectories of hundreds of points, in few frames with much
motion.
"""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import overload

import numpy as np

from UltrasoundMotionLib.errors import InputError, OutputError
from UltrasoundMotionLib.lab.phantom_cases import EVALUATION_SEED
from UltrasoundMotionLib.lab.training.data.training_clip import TrainingClip, read_clip, write_clip
from UltrasoundMotionLib.progress import Progress, no_progress
from UltrasoundMotionLib.simulation import PhantomCase, SimulatedSequence, phantom_set

TUNING_SEED = 100  # phantoms for validation and choices, never for training
DIFFICULTY_WEIGHTS = {"easy": 0.15, "moderate": 0.2, "hard": 0.3, "extreme": 0.35}
LONGEST_WAIT_S = 600.0  # for a clip that another process simulates
_BRIGHT = 40  # grey level above which tissue beside the wall is worth a point


def check_training_seed(seed: int) -> None:
    """Keeps phantoms for tuning and evaluation out of training.

    Raises:
        InputError: the seed is one of the tuning or evaluation phantoms.
    """
    if not 0 <= seed < EVALUATION_SEED or seed == TUNING_SEED:
        raise InputError(
            f"training phantoms take seeds 0 to {EVALUATION_SEED - 1} without {TUNING_SEED}, which tunes; got {seed}"
        )


def spread_in_time(case: PhantomCase, frame_count: int, whole_count: int = 64) -> PhantomCase:
    """Returns the same phantom in fewer frames over the same time, from which a tracker that compares pairs learns most
    per second of simulation.
    """
    phantom = case.phantom
    rate = phantom.imaging.frame_rate_hz * frame_count / whole_count
    return replace(
        case, phantom=replace(phantom, frame_count=frame_count, imaging=replace(phantom.imaging, frame_rate_hz=rate))
    )


def phantom_clip(case: PhantomCase, rng: np.random.Generator, *, point_count: int = 384) -> TrainingClip:
    """Simulates a case and follows its truth points, random points of its tissue and of bright tissue around it.

    Args:
        case: of `phantom_set`.
        rng: draws the points.
        point_count: random points beside the truth's own.
    """
    simulated = case.simulate()
    frame = int(rng.integers(len(simulated.sequence)))
    points = _random_points(simulated, frame, point_count, rng)
    trajectories = simulated.trajectories_px(points, frame)
    truth = simulated.truth
    return TrainingClip(
        np.stack([simulated.sequence.frame(index) for index in range(len(simulated.sequence))]),
        np.concatenate([truth.positions_px, trajectories], axis=1).astype(np.float32),
        np.concatenate([truth.visible, simulated.visible_at(trajectories)], axis=1),
        case.name,
    )


def _random_points(simulated: SimulatedSequence, frame: int, count: int, rng: np.random.Generator) -> np.ndarray:
    """Draws (N, 2) places on `frame`: two thirds in tissue of frame 0, moved with it; one third in bright places."""
    tissue = np.argwhere(simulated.tissue_mask)[:, ::-1]
    bright = np.argwhere(simulated.sequence.frame(frame) > _BRIGHT)[:, ::-1]
    inside = tissue[rng.integers(len(tissue), size=2 * count // 3)] + rng.uniform(-0.5, 0.5, (2 * count // 3, 2))
    moved = inside + simulated.displacement_px(frame, inside)
    if len(bright) == 0:
        return moved
    beside = bright[rng.integers(len(bright), size=count - len(moved))] + rng.uniform(
        -0.5, 0.5, (count - len(moved), 2)
    )
    return np.concatenate([moved, beside])


def write_phantom_clips(
    folder: Path | str,
    count: int,
    seed: int,
    *,
    frame_count: int = 20,
    first: int = 0,
    progress: Progress = no_progress,
) -> tuple[Path, ...]:
    """Simulates `count` clips into a folder, three hearts to two livers, but those that it has already.

    Args:
        seed: seed of all clips; clip i does not depend on `count`.
        frame_count: frames of a clip, over the time of 64.
        first: number of the first clip, to divide the work.

    Raises:
        InputError: a seed that belongs to tuning or evaluation.
        OutputError: a file cannot be written.
    """
    check_training_seed(seed)
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for number in range(first, first + count):
        path = _clip_path(folder, seed, number)
        paths.append(path)
        if not path.exists():
            rng = np.random.default_rng([seed, number])
            kind = "heart" if number % 5 < 3 else "liver"
            difficulty = str(rng.choice(list(DIFFICULTY_WEIGHTS), p=list(DIFFICULTY_WEIGHTS.values())))
            phantom_seed = int(rng.integers(200, EVALUATION_SEED))
            case = phantom_set(kind, difficulty, 1, phantom_seed)[0]
            write_clip(path, phantom_clip(spread_in_time(case, frame_count), rng))
        progress(number - first + 1, count, "simulating clips")
    return tuple(paths)


class ClipFolder(Sequence[TrainingClip]):
    """Clips that are read from their files when they are first used, and kept; a missing file is waited for."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self._paths = tuple(paths)
        self._kept: dict[int, TrainingClip] = {}

    def __len__(self) -> int:
        return len(self._paths)

    @overload
    def __getitem__(self, index: int) -> TrainingClip: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[TrainingClip]: ...

    def __getitem__(self, index: int | slice) -> TrainingClip | Sequence[TrainingClip]:
        """Raises OutputError when a file does not appear."""
        if isinstance(index, slice):
            return [self[one] for one in range(*index.indices(len(self)))]
        if index not in self._kept:
            path, end = self._paths[index], time.monotonic() + LONGEST_WAIT_S
            while not path.exists():
                if time.monotonic() > end:
                    raise OutputError(f"{path}: was not written within {LONGEST_WAIT_S:g} s")
                time.sleep(0.1)
            self._kept[index] = read_clip(path)
        return self._kept[index]


@contextmanager
def clips_in_background(
    folder: Path | str, count: int, seed: int, first: int, *, simulate: bool = True
) -> Iterator[ClipFolder]:
    """Opens clips 0 to `count` - 1 of a folder; another process of low priority simulates those from `first` on that
    the folder lacks, while the block runs.

    Args:
        simulate: False where another process of this run simulates them.
    """
    check_training_seed(seed)
    paths = [_clip_path(Path(folder), seed, number) for number in range(count)]
    process = None
    if simulate and not all(path.exists() for path in paths[first:]):
        process = multiprocessing.get_context("spawn").Process(
            target=_write_at_low_priority, args=(str(folder), count - first, seed, first), daemon=True
        )
        process.start()
    try:
        yield ClipFolder(paths)
    finally:
        if process is not None:
            process.terminate()
            process.join()


def _write_at_low_priority(folder: str, count: int, seed: int, first: int) -> None:
    if hasattr(os, "nice"):
        os.nice(5)
    write_phantom_clips(folder, count, seed, first=first)


def _clip_path(folder: Path, seed: int, number: int) -> Path:
    return folder / f"phantom-{seed}-{number:05d}.npz"
