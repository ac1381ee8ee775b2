"""A short clip with exact trajectories for the training of trackers, in memory and as a file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from UltrasoundMotionLib.atomic_output import atomic_output
from UltrasoundMotionLib.errors import InputError


@dataclass(frozen=True)
class TrainingClip:
    """Frames and the places of tissue points in them.

    Attributes:
        frames: (T, H, W) uint8.
        trajectories_px: (T, N, 2) float32, exact positions (x, y), origin at the centre of the first pixel.
        visible: (T, N) bool; False where a point is hidden or outside of the field of view.
        name: of the phantom.
    """

    frames: np.ndarray
    trajectories_px: np.ndarray
    visible: np.ndarray
    name: str

    def __post_init__(self) -> None:
        count = len(self.frames)
        points = self.trajectories_px.shape[1] if self.trajectories_px.ndim == 3 else -1
        if (
            self.frames.ndim != 3
            or self.trajectories_px.shape != (count, points, 2)
            or self.visible.shape != (count, points)
        ):
            raise InputError(
                f"{self.name}: frames (T, H, W), trajectories (T, N, 2) and visible (T, N) do not fit together: "
                f"{self.frames.shape}, {self.trajectories_px.shape}, {self.visible.shape}"
            )


def write_clip(path: Path | str, clip: TrainingClip) -> None:
    """Writes a clip as an .npz file.

    Raises:
        OutputError: the file cannot be written.
    """
    with atomic_output(path) as temporary, Path(temporary).open("wb") as file:
        np.savez_compressed(
            file, frames=clip.frames, trajectories_px=clip.trajectories_px, visible=clip.visible, name=clip.name
        )


def read_clip(path: Path | str) -> TrainingClip:
    """Reads a clip that `write_clip` wrote.

    Raises:
        InputError: no such file, or not a training clip.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            return TrainingClip(
                file["frames"],
                file["trajectories_px"].astype(np.float32),
                file["visible"].astype(bool),
                str(file["name"]),
            )
    except (OSError, KeyError, ValueError, EOFError) as error:
        raise InputError(f"{path}: not a training clip (.npz with frames, trajectories_px, visible, name)") from error
