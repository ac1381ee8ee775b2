"""The user's copy of CANDIShare, read as LT-Net's experiment takes it: one atlas and 28 structures of the brain.

Kennedy et al., "CANDIShare: A Resource for Pediatric Neuroimaging Data", Neuroinformatics 10, 2012. Each subject is a
folder with NAME_procimg.nii.gz, a T1 volume, and NAME_seg.nii.gz.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.images.volume import Volume
from UltrasoundMotionLib.images.volume_files import read_volume
from UltrasoundMotionLib.lab.registration_datasets import LabelledImage, cropped_or_padded
from UltrasoundMotionLib.registration.learned.model_domain import ModelDomain
from UltrasoundMotionLib.registration.working_pair import scale_intensities

CANDI_SHAPE = (128, 160, 160)
_SIDES = {
    2: "cerebral white matter",
    3: "cerebral cortex",
    4: "lateral ventricle",
    7: "cerebellum white matter",
    8: "cerebellum cortex",
    10: "thalamus",
    11: "caudate",
    12: "putamen",
    13: "pallidum",
    17: "hippocampus",
    18: "amygdala",
    28: "ventral DC",
}
_RIGHT = {2: 41, 3: 42, 4: 43, 7: 46, 8: 47, 10: 49, 11: 50, 12: 51, 13: 52, 17: 53, 18: 54, 28: 60}
CANDI_LABELS = {
    **{value: f"left {name}" for value, name in _SIDES.items()},
    **{_RIGHT[value]: f"right {name}" for value, name in _SIDES.items()},
    14: "third ventricle",
    15: "fourth ventricle",
    16: "brain stem",
    24: "CSF",
}
"""The 28 structures of Table 1 of LT-Net's supplement, by the values of the files; others are background."""

PARTS = ("train", "held-out")
_SUBJECTS, _HELD_OUT = 103, 20
_SPLIT_SEED = 0
_IMAGE, _LABELS = "_procimg", ("_seg", ".seg")
_ENDINGS = (".nii.gz", ".nii")
_EXTENT = (0.8, 2.5)
_SPACING_TOLERANCE = 0.01


def candi_subjects(folder: str | Path) -> tuple[str, ...]:
    """Returns the names of the subjects below a folder, sorted.

    Raises:
        InputError: there is none.
    """
    names = sorted({name for path in Path(folder).rglob(f"*{_IMAGE}.nii*") if (name := path.name.split(_IMAGE)[0])})
    if not names:
        raise InputError(f"{folder}: no NAME{_IMAGE}.nii.gz; expected the folder of CANDIShare")
    return tuple(names)


def candi_part(subjects: Sequence[str], part: str) -> tuple[str, ...]:
    """Returns the subjects of a part: of 103, 20 are held out and 83 are for training, the atlas among them.

    They are drawn by a fixed seed, since the paper does not say which of them it took.

    Raises:
        InputError: no such part, or too few subjects.
    """
    if part not in PARTS:
        raise InputError(f"part: CANDI has {', '.join(PARTS)}, got {part!r}")
    if len(subjects) < 3:
        raise InputError(
            f"CANDI needs an atlas, a subject to learn from and one held out, got {len(subjects)} subjects"
        )
    held_out = max(1, round(len(subjects) * _HELD_OUT / _SUBJECTS))
    order = np.random.default_rng(_SPLIT_SEED).permutation(len(subjects))
    chosen = order[:held_out] if part == "held-out" else order[held_out:]
    return tuple(sorted(subjects[index] for index in chosen))


def read_candi(folder: str | Path, subject: str, spacing_mm: tuple[float, ...] | None = None) -> LabelledImage:
    """Reads a subject: intensities in [0, 1], the 28 structures, 160 x 160 x 128 voxels around the middle.

    Args:
        spacing_mm: (x, y, z) that its voxels must have, those of the other subjects; None: any.

    Raises:
        InputError: a file that is missing or cannot be read; labels on another grid, or without one of the structures;
            voxels of another size.
    """
    path = _file(Path(folder), subject, (_IMAGE,))
    image, labels = read_volume(path), read_volume(_file(path.parent, subject, _LABELS))
    if image.array.shape != labels.array.shape:
        raise InputError(f"{path}: {image.array.shape[::-1]} voxels, its labels have {labels.array.shape[::-1]}")
    if image.array.ndim != 3:
        raise InputError(f"{path}: is {image.array.ndim}D, expected a volume")
    if not np.ptp(image.array) > 0:
        raise InputError(f"{path}: has no contrast; its voxels are all {image.array.flat[0]:g}, or not numbers")
    if spacing_mm is not None and not np.allclose(image.spacing_mm, spacing_mm, rtol=_SPACING_TOLERANCE):
        raise InputError(f"{path}: has voxels of {_mm(image.spacing_mm)}, the subjects before it of {_mm(spacing_mm)}")
    known = np.where(np.isin(labels.array, list(CANDI_LABELS)), labels.array, 0).astype(np.uint8)
    if not known.any():
        raise InputError(f"{path}: none of the 28 structures is in its labels")
    values = scale_intensities(image.array.astype(np.float32))
    return LabelledImage(_cut(image, values, subject), _cut(image, known, f"{subject} labels"))


def candi_domain(spacing_mm: Sequence[float]) -> ModelDomain:
    """Returns the domain of networks that learn from volumes of a voxel size (x, y, z)."""
    extent = np.array(CANDI_SHAPE[::-1]) * spacing_mm
    return ModelDomain(
        name="candi",
        modality="T1 MRI of a head",
        spacing_mm=tuple(float(one) for one in spacing_mm),
        shape=CANDI_SHAPE,
        orientation=None,
        labels=CANDI_LABELS,
        extent_mm=(tuple(_EXTENT[0] * extent), tuple(_EXTENT[1] * extent)),
        coarsest_mm=tuple(2.0 * one for one in spacing_mm),
        same_scan=False,
    )


def most_average(images: Mapping[str, np.ndarray]) -> str:
    """Returns the name of the image that is most like the mean of all, by correlation: the atlas.

    Raises:
        InputError: there is no image.
    """
    if not images:
        raise InputError("atlas: there is no image to choose it from")
    mean = sum(_unit(image) for image in images.values())
    return max(images, key=lambda name: float((_unit(images[name]) * mean).sum()))


def candi_atlas(folder: str | Path, names: Iterable[str]) -> str:
    """Returns the subject among the training ones that is the atlas, see `most_average`.

    Raises:
        InputError: see `read_candi`.
    """
    return most_average({name: read_candi(folder, name).image.array.astype(np.float16) for name in names})


def _unit(image: np.ndarray) -> np.ndarray:
    values = image.astype(np.float32)
    values -= values.mean()
    return values / max(float(np.linalg.norm(values)), 1e-6)


def _cut(image: Volume, array: np.ndarray, name: str) -> Volume:
    """Cuts the middle out and puts it around the origin: subjects share no frame but their middles."""
    cut = cropped_or_padded(Volume(array, image.spacing_mm, image.origin_mm, image.direction, name), CANDI_SHAPE)
    half = (np.array(CANDI_SHAPE[::-1]) - 1) / 2 * image.spacing_mm
    return Volume(cut.array, image.spacing_mm, tuple(-image.direction @ half), image.direction, name)


def _file(folder: Path, subject: str, words: Sequence[str]) -> Path:
    names = {f"{subject}{word}{ending}" for word in words for ending in _ENDINGS}
    found = sorted(path for path in folder.rglob(f"{subject}*") if path.name in names)
    if not found:
        raise InputError(f"{folder}: no {subject}{words[0]}.nii.gz")
    return found[0]


def _mm(spacing_mm: Sequence[float]) -> str:
    return " x ".join(f"{one:.4g}" for one in spacing_mm) + " mm"
