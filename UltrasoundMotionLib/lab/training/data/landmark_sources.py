"""Sources of landmarks, three frames at a time: clips of phantoms, folders in CLUST's layout, real frames warped by
analytic motion.

A source belongs to groups (a kind of phantom and its difficulty, CLUST's scanner), so that a group can be held out of
training and validated on.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.lab.training.data.phantom_clips import TUNING_SEED, phantom_clip, spread_in_time
from UltrasoundMotionLib.lab.training.data.training_clip import read_clip, write_clip
from UltrasoundMotionLib.lab.training.data.warped_clips import RealFrame, warped_clip
from UltrasoundMotionLib.progress import Progress, no_progress
from UltrasoundMotionLib.simulation import phantom_set
from UltrasoundMotionLib.tracking.files.clust_annotation import clust_files, read_clust_tracks

_TUNING_DIFFICULTIES, _TUNING_FRAMES = ("easy", "hard", "extreme"), 12


@dataclass(frozen=True)
class FrameTriple:
    """Three frames of one sequence: the first, in which landmarks are given, the present one and one shortly before it.

    Attributes:
        frames: (3, H, W), x_0, x_{t - dt}, x_t, grey values of 0 to 255.
        points_px: (3, N, 2) float32, NaN where a place is not known (CLUST annotates few frames).
        visible: (3, N) bool; False where a point is hidden or its place not known.
    """

    frames: np.ndarray
    points_px: np.ndarray
    visible: np.ndarray


class LandmarkSource(ABC):
    """One sequence, or several of a kind.

    Attributes:
        name: of the sequence; its groups are the beginnings of its name (`liver-hard-01`, `ETH-01-1`).
    """

    name: str

    @abstractmethod
    def draw(self, rng: np.random.Generator) -> FrameTriple:
        """Draws three frames."""

    def in_group(self, group: str) -> bool:
        """Returns True when the name begins with `group` as whole words: `liver-hard-01` is in `liver` and in
        `liver-hard`, `ETH-01-1` in `ETH`.
        """
        return self.name.lower() == group.lower() or self.name.lower().startswith(
            (f"{group.lower()}-", f"{group.lower()}_")
        )


LandmarkGroup = tuple[str, Sequence[LandmarkSource]]
"""Sequences that are validated on together, with their name."""


class ClipSource(LandmarkSource):
    """A training clip, read when it is first drawn from and kept as bytes.

    Args:
        longest_step: largest number of frames between x_{t - dt} and x_t.
    """

    def __init__(self, path: Path | str, longest_step: int = 2) -> None:
        self._path, self._longest_step = Path(path), longest_step
        self.name = _name_of_clip(self._path)
        self._frames: np.ndarray | None = None

    def draw(self, rng: np.random.Generator) -> FrameTriple:
        """Draws three frames."""
        if self._frames is None:
            clip = read_clip(self._path)
            self._frames = np.clip(np.rint(clip.frames), 0, 255).astype(np.uint8)
            self._points, self._visible = clip.trajectories_px, clip.visible
        chosen = _triple(len(self._frames), self._longest_step, rng)
        return FrameTriple(self._frames[chosen], self._points[chosen], self._visible[chosen])


def _name_of_clip(path: Path) -> str:
    try:
        with np.load(path, allow_pickle=False) as file:
            return str(file["name"])
    except (OSError, KeyError, ValueError, EOFError) as error:
        raise InputError(f"{path}: not a training clip (.npz with frames, trajectories_px, visible, name)") from error


def _triple(frame_count: int, longest_step: int, rng: np.random.Generator) -> np.ndarray:
    """Draws the indices of x_0, x_{t - dt} and x_t: any two frames, in either direction of time, and one next to the
    second.
    """
    first, now = rng.choice(frame_count, 2, replace=False)
    step = int(rng.integers(1, longest_step + 1)) * (1 if rng.random() < 0.5 else -1)
    before = now - step if 0 <= now - step < frame_count else now + step
    return np.array([first, np.clip(before, 0, frame_count - 1), now])


class ClustSource(LandmarkSource):
    """A sequence folder in CLUST's layout, `Annotation/*.txt` and `Data/*.png`: weak supervision, from its annotated
    frames alone.

    Args:
        longest_step: largest number of frames between x_{t - dt} and x_t.

    Raises:
        InputError: no annotations or images; annotations out of order or beyond the last image; fewer than two
            annotated frames.
    """

    def __init__(self, folder: Path | str, longest_step: int = 8) -> None:
        from UltrasoundMotionLib.images import read_sequence

        folder = Path(folder)
        self.name, self._longest_step = folder.name, longest_step
        self._sequence = read_sequence(folder / "Data", spacing_mm=(1.0, 1.0))
        tracks = read_clust_tracks(clust_files(folder), frame_count=len(self._sequence))
        self._positions, self._known = tracks.positions_px.astype(np.float32), tracks.visible
        counts = self._known.sum(axis=0)
        self._usable = np.flatnonzero(counts >= 2)
        if len(self._usable) == 0:
            raise InputError(f"{folder}: no landmark is annotated in two frames, so there is nothing to learn from")

    def draw(self, rng: np.random.Generator) -> FrameTriple:
        """Draws three frames."""
        landmark = rng.choice(self._usable)
        first, now = rng.choice(np.flatnonzero(self._known[:, landmark]), 2, replace=False)
        before = max(0, now - int(rng.integers(1, self._longest_step + 1)))
        chosen = np.array([first, before, now])
        frames = np.stack([np.asarray(self._sequence.frame(int(index)), dtype=np.float32) for index in chosen])
        return FrameTriple(frames, self._positions[chosen], self._known[chosen])


class WarpedSource(LandmarkSource):
    """A real frame whose texture is warped by analytic motion, anew at every draw."""

    def __init__(self, frame: RealFrame, point_count: int = 128) -> None:
        self._frame, self._point_count = frame, point_count
        self.name = f"real-{frame.name}"

    def draw(self, rng: np.random.Generator) -> FrameTriple:
        """Draws three frames."""
        frames, points = warped_clip(self._frame, 8, self._point_count, rng, torch.device("cpu"))
        chosen = _triple(len(frames), 1, rng)
        values = (255 * frames[chosen, 0]).clamp(0, 255).to(torch.uint8).numpy()
        places = points[chosen].numpy().astype(np.float32)
        height, width = values.shape[1:]
        inside = (places >= 0) & (places <= np.array([width - 1, height - 1]))
        return FrameTriple(values, places, np.all(inside, axis=2))


def tuning_groups(folder: Path | str, count: int = 2, progress: Progress = no_progress) -> list[LandmarkGroup]:
    """Returns the groups "liver-easy", "liver-hard" and "liver-extreme" of `count` tuning phantoms each, in few frames
    over the time of 64; clips that the folder lacks are written into it.

    Raises:
        OutputError: a file cannot be written.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    groups: list[LandmarkGroup] = []
    for number, difficulty in enumerate(_TUNING_DIFFICULTIES):
        sources = []
        for done, case in enumerate(phantom_set("liver", difficulty, count, TUNING_SEED), number * count + 1):
            path = folder / f"{case.name}.npz"
            if not path.exists():
                write_clip(path, phantom_clip(spread_in_time(case, _TUNING_FRAMES), np.random.default_rng(TUNING_SEED)))
            sources.append(ClipSource(path))
            progress(done, count * len(_TUNING_DIFFICULTIES), "simulating tuning phantoms")
        groups.append((f"liver-{difficulty}", sources))
    return groups


def clip_sources(folder: Path | str) -> tuple[ClipSource, ...]:
    """Returns the clips (.npz) of a folder.

    Raises:
        InputError: there is none, or one is not a training clip.
    """
    paths = sorted(Path(folder).glob("*.npz"))
    if not paths:
        raise InputError(f"{folder}: holds no clip (.npz)")
    return tuple(ClipSource(path) for path in paths)


def clust_sources(folder: Path | str) -> tuple[ClustSource, ...]:
    """Returns the sequences of a folder of folders in CLUST's layout, or the one that it is itself.

    Raises:
        InputError: it holds none, or one that `ClustSource` refuses.
    """
    folder = Path(folder)
    if (folder / "Annotation").is_dir():
        return (ClustSource(folder),)
    found = [child for child in sorted(folder.iterdir()) if (child / "Annotation").is_dir()] if folder.is_dir() else []
    if not found:
        raise InputError(f"{folder}: holds no sequence folder with Annotation/*.txt and Data/*.png")
    return tuple(ClustSource(child) for child in found)


def leave_out(
    sources: Sequence[LandmarkSource], group: str
) -> tuple[tuple[LandmarkSource, ...], tuple[LandmarkSource, ...]]:
    """Returns the sources without those of `group`, and those of `group`.

    Raises:
        InputError: one of the two is empty.
    """
    held = tuple(source for source in sources if source.in_group(group))
    kept = tuple(source for source in sources if not source.in_group(group))
    if not held or not kept:
        names = ", ".join(sorted({source.name.rsplit("-", 1)[0] for source in sources})[:12])
        raise InputError(
            f"leaving out {group} leaves {len(kept)} of {len(sources)} sequences to learn from; "
            f"their groups are {names}"
        )
    return kept, held
