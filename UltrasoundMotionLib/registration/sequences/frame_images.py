"""Files that go with a frame of a sequence: its labels, or a mask of where it counts."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.fields.image_grid import ImageGrid
from UltrasoundMotionLib.images import ImageSequence
from UltrasoundMotionLib.images.volume_files import read_volume
from UltrasoundMotionLib.images.volume_sequence import VolumeSequence


def read_frame_image(path: Path, content: str, sequence: ImageSequence | VolumeSequence) -> np.ndarray:
    """Reads an image of the size of a frame, (H, W) or (D, H, W); of volumes, also at their place.

    Args:
        content: what the image is, such as "mask", for messages.

    Raises:
        InputError: another size or place, no readable image.
    """
    image = read_volume(path)
    array = image.array
    if isinstance(sequence, VolumeSequence):
        if not ImageGrid.of(image).matches(ImageGrid.of(sequence.volumes[0]), tolerance_mm=1e-2):
            raise InputError(f"{path}: the {content} must lie on the grid of the volumes")
        return array
    if array.ndim == 3 and array.shape[0] == 1:
        array = array[0]
    if array.shape != sequence.frames.shape[1:]:
        height, width = sequence.frames.shape[1:]
        raise InputError(f"{path}: the {content} must be {width} x {height} as the frames, got {array.shape[::-1]}")
    return array
