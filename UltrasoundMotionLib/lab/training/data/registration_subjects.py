"""Subjects of public data sets, read onto the grid of a network and small enough to stay in memory."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.fields import ImageGrid
from UltrasoundMotionLib.lab.registration_datasets import (
    LabelledImage,
    RegistrationPair,
    acdc_as_published,
    acdc_patients,
    hippocampus_subjects,
    learned_part,
    read_acdc,
    read_hippocampus,
)
from UltrasoundMotionLib.lab.training.data.registration_pairs import LabelledArrays, TrainingSubject
from UltrasoundMotionLib.progress import Progress, no_progress
from UltrasoundMotionLib.registration.changing_region import changing_region
from UltrasoundMotionLib.registration.learned.model_domain import (
    CARDIAC_CINE_PUBLISHED,
    ModelDomain,
    domain_grid,
    sample_on,
)
from UltrasoundMotionLib.registration.working_pair import scale_intensities


def read_subjects(
    dataset: str,
    folder: str | Path,
    part: str,
    domain: ModelDomain,
    *,
    most: int | None = None,
    progress: Progress = no_progress,
) -> list[TrainingSubject]:
    """Reads the subjects of a part, their images in [0, 1].

    Args:
        dataset: "hippocampus" (Task04 of the Medical Segmentation Decathlon) or "cardiac" (ACDC's training set).
        part: "train", "validation" or "held-out", see `learned_part`.
        domain: of the network. For cardiac images the published one is prepared as `acdc_as_published` does; others
            get their grid around the part that moves.
        most: largest number of subjects; None: all.

    Raises:
        InputError: no such data there, a file that cannot be read or is empty, labels the domain does not know.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder of data")
    names = learned_part(hippocampus_subjects(folder) if dataset == "hippocampus" else acdc_patients(folder), part)[
        :most
    ]
    return read_named_subjects(dataset, folder, names, domain, progress=progress)


def read_named_subjects(
    dataset: str, folder: Path, names: Sequence[str], domain: ModelDomain, *, progress: Progress = no_progress
) -> list[TrainingSubject]:
    """Reads subjects by their names, see `read_subjects`."""
    subjects = []
    for done, name in enumerate(names, start=1):
        subjects.append(
            _hippocampus(folder, name, domain) if dataset == "hippocampus" else _cardiac(folder, name, domain)
        )
        progress(done, len(names), f"reading {name}")
    return subjects


def _hippocampus(folder: Path, name: str, domain: ModelDomain) -> TrainingSubject:
    one = read_hippocampus(folder, name)
    return TrainingSubject(name, (checked_arrays(name, one.image.array, one.labels.array, domain),))


def _cardiac(folder: Path, name: str, domain: ModelDomain) -> TrainingSubject:
    pair = read_acdc(folder, name)
    if domain == CARDIAC_CINE_PUBLISHED:
        pair = acdc_as_published(pair)
        images = [(scale_intensities(one.image.array), one.labels.array) for one in (pair.fixed, pair.moving)]
    else:
        grid = _moving_part_grid(pair, domain)
        images = [_on_grid(one, grid) for one in (pair.fixed, pair.moving)]
    return TrainingSubject(name, tuple(checked_arrays(name, image, labels, domain) for image, labels in images))


def _moving_part_grid(pair: RegistrationPair, domain: ModelDomain) -> ImageGrid:
    """Returns the domain's grid around the part of the images that changes between them, which is the heart."""
    image = pair.fixed.image
    grid = ImageGrid.of(image)
    region = changing_region(image, pair.moving.image)
    if region is None:
        return domain_grid(grid, domain)
    middle = np.array([(part.start + part.stop - 1) / 2 for part in region])[::-1]
    return domain_grid(grid, domain, np.array(grid.origin_mm) + grid.direction @ (middle * grid.spacing_mm))


def _on_grid(one: LabelledImage, grid: ImageGrid) -> tuple[np.ndarray, np.ndarray]:
    image = torch.from_numpy(scale_intensities(one.image.array))[None, None]
    labels = torch.from_numpy(one.labels.array.astype(np.float32))[None, None]
    own = ImageGrid.of(one.image)
    return sample_on(image, own, grid)[0, 0].numpy(), sample_on(labels, own, grid, mode="nearest")[0, 0].numpy()


def checked_arrays(name: str, image: np.ndarray, labels: np.ndarray, domain: ModelDomain) -> LabelledArrays:
    """Returns an image and its labels as they are kept in memory.

    Raises:
        InputError: a label that the domain does not know.
    """
    unknown = [float(value) for value in np.unique(labels) if value != 0 and value not in domain.labels]
    if unknown:
        known = ", ".join(f"{value} {label}" for value, label in domain.labels.items())
        raise InputError(f"{name}: label {unknown[0]:g} is none of {domain.name}'s, {known}")
    return LabelledArrays(np.ascontiguousarray(image, dtype=np.float16), np.ascontiguousarray(labels, dtype=np.uint8))
