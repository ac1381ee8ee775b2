"""The hippocampus task of Learn2Reg 2020 (Task 4): its fixed pairs, read from the user's copy of HippocampusMR.

Hering et al., "Learn2Reg: Comprehensive Multi-Task Medical Image Registration Challenge, Dataset and Evaluation in the
Era of Deep Learning", IEEE TMI 2023. The lists are those of the challenge's evaluation: each image is fixed once, and
the one that mirrors its place in the list moves.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.images.volume import Volume
from UltrasoundMotionLib.images.volume_files import read_volume
from UltrasoundMotionLib.lab.registration_datasets import HIPPOCAMPUS_LABELS, LabelledImage, RegistrationPair

VALIDATION, TEST = "validation", "test"
_NUMBERS = {VALIDATION: (201, 260), TEST: (261, 390)}
_FOLDERS = {VALIDATION: "Tr", TEST: "Ts"}
_SHAPE = (64, 64, 64)


def learn2reg_numbers(part: str = VALIDATION) -> tuple[tuple[int, int], ...]:
    """Returns the numbers (fixed, moving) of the challenge's pairs: 60 for validation, 130 for the test."""
    first, last = _NUMBERS[part]
    return tuple((fixed, first + last - fixed) for fixed in range(first, last + 1))


def learn2reg_pairs(folder: str | Path, part: str = VALIDATION, count: int | None = None) -> list[RegistrationPair]:
    """Reads the pairs, in the challenge's order.

    The challenge compares voxels by their indices. So the moving image gets the position of the fixed one, whatever its
    header says, and voxels have 1 mm.

    Args:
        folder: HippocampusMR, or the folder that it is in, with imagesTr and labelsTr (imagesTs and labelsTs for the
            test).
        count: the first so many pairs only; None: all.

    Raises:
        InputError: files that are missing or cannot be read, images of another size, labels that are not the task's.
    """
    place = Path(folder)
    if (place / "HippocampusMR").is_dir():
        place = place / "HippocampusMR"
    wanted = learn2reg_numbers(part)[:count]
    images = {number: _read(place, part, number) for pair in wanted for number in pair}
    pairs = []
    for fixed, moving in wanted:
        one, other = images[fixed], images[moving]
        there = LabelledImage(_at(other.image, one.image), _at(other.labels, one.image))
        pairs.append(RegistrationPair(f"{fixed:04d} < {moving:04d}", one, there))
    return pairs


def _read(folder: Path, part: str, number: int) -> LabelledImage:
    name, ending = f"HippocampusMR_{number:04d}_0000.nii.gz", _FOLDERS[part]
    paths = [folder / f"{kind}{ending}" / name for kind in ("images", "labels")]
    for path in paths:
        if not path.is_file():
            raise InputError(f"{path}: no such file; expected the folder HippocampusMR of Learn2Reg")
    image, labels = (read_volume(path) for path in paths)
    for path, volume in zip(paths, (image, labels), strict=True):
        if volume.array.shape != _SHAPE:
            raise InputError(f"{path}: {volume.array.shape[::-1]} voxels, the task's images have {_SHAPE}")
    if not np.ptp(image.array) > 0:
        raise InputError(f"{paths[0]}: has no contrast; its voxels are all {image.array.flat[0]:g}, or not numbers")
    unknown = [value for value in np.unique(labels.array) if value != 0 and value not in HIPPOCAMPUS_LABELS]
    if unknown:
        raise InputError(f"{paths[1]}: label {unknown[0]:g} is none of the task's, 1 and 2")
    half = np.full(3, (_SHAPE[0] - 1) / 2)
    origin = tuple(-image.direction @ half)

    def placed(array: np.ndarray, what: str) -> Volume:
        return Volume(array, (1.0, 1.0, 1.0), origin, image.direction, what)

    return LabelledImage(
        placed(image.array.astype(np.float32), f"{number:04d}"),
        placed(labels.array.astype(np.uint8), f"{number:04d} labels"),
    )


def _at(volume: Volume, other: Volume) -> Volume:
    return Volume(volume.array, other.spacing_mm, other.origin_mm, other.direction, volume.name)
