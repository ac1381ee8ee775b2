"""A figure of a registered sequence: similarity to the reference over time, and a line through the frames over time."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from UltrasoundMotionLib.atomic_output import atomic_output
from UltrasoundMotionLib.pictures.picture_check import check_picture
from UltrasoundMotionLib.pictures.plot_packages import plain_text, require_plot_packages

if TYPE_CHECKING:
    from UltrasoundMotionLib.images import ImageSequence
    from UltrasoundMotionLib.images.volume_sequence import VolumeSequence
    from UltrasoundMotionLib.registration.sequences.sequence_registration import SequenceRegistration

_SIZE_INCH = (12.0, 4.0)


@plain_text
def write_sequence_picture(
    path: str | Path, sequence: ImageSequence | VolumeSequence, registration: SequenceRegistration
) -> None:
    """Writes a PNG: local cross-correlation of each frame with its fixed frame before and after, and the column through
    the middle of the frames over time (an M-mode), as it is and with the motion taken out.

    Raises:
        MissingPackageError: matplotlib is not installed.
        OutputError: the file cannot be written.
    """
    require_plot_packages()
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    from UltrasoundMotionLib.images import ImageSequence

    frames = [one for one in registration.frames if one is not None]
    timed = sequence.times_s is not None
    along = np.asarray(sequence.times_s if sequence.times_s is not None else range(len(frames)), dtype=float)
    lines = [[], []]  # type: list[list[np.ndarray]]
    for one in frames:
        array = sequence.frames[one.frame] if isinstance(sequence, ImageSequence) else sequence.volumes[one.frame].array
        for column, values in zip(lines, _middle_columns(array, one.displacement), strict=True):
            column.append(values)

    figure = Figure(figsize=_SIZE_INCH, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(1, 3)
    axes[0].plot(along, [one.measures.nlcc_before for one in frames], color="0.6", label="before")
    axes[0].plot(along, [one.measures.nlcc for one in frames], color="C0", label="after")
    axes[0].set_ylim(0, 1.02)
    axes[0].set_ylabel("local cross-correlation (squared)")
    axes[0].legend(loc="lower right")
    to_reference = registration.mode == "to-reference"
    axes[0].set_title(f"with frame {registration.reference_frame}" if to_reference else "with the frame before")
    low, high = np.percentile(lines[0], (0.5, 99.5))
    for one, column, title in zip(axes[1:], lines, ("middle column", "motion taken out"), strict=True):
        image = np.stack(column, axis=1)
        one.imshow(
            image,
            cmap="gray",
            vmin=low,
            vmax=max(high, low + 1e-9),
            aspect="auto",
            interpolation="nearest",
            extent=(along[0], along[-1], image.shape[0], 0),
        )
        one.set_ylabel("row (pixels)")
        one.set_title(title)
    for one in axes:
        one.set_xlabel("time (s)" if timed else "frame")
    with atomic_output(path, read_back=check_picture) as temporary:
        figure.savefig(temporary, dpi=100, format="png")


def _middle_columns(array: np.ndarray, displacement: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the column through the middle of a frame, and the same of the frame warped by a displacement."""
    from scipy.ndimage import map_coordinates

    middle = tuple(size // 2 for size in (*array.shape[:-2], array.shape[-1]))
    before, last = middle[:-1], middle[-1]
    rows = np.arange(array.shape[-2], dtype=float)
    moved = displacement[(*before, slice(None), last)]
    index = [np.full(len(rows), float(value)) for value in before] + [rows, np.full(len(rows), float(last))]
    coordinates = [one + moved[:, -1 - axis] for axis, one in enumerate(index)]
    plain = np.asarray(array[(*before, slice(None), last)], dtype=float)
    return plain, map_coordinates(array.astype(np.float32), coordinates, order=1, mode="nearest")
