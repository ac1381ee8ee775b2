"""Public data sets for registration, prepared as the papers prepare them, and the pairs that are registered.

Labels are for scoring, and for the training of networks that learn from some. What we tuned on is fixed by number, so
that everything else is held-out data: hippocampus subjects up to 227, and of every group of twenty ACDC patients the
first seven. Networks have parts of their own, see `learned_part`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.images.volume import Volume
from UltrasoundMotionLib.images.volume_files import read_volume

HIPPOCAMPUS_SHAPE = (48, 64, 48)
HIPPOCAMPUS_TUNED_UP_TO = 227
HIPPOCAMPUS_LABELS = {1: "head", 2: "body"}
ACDC_LABELS = {1: "RV", 2: "myocardium", 3: "LV"}
ACDC_GROUP_SIZE = 20
ACDC_TUNED_IN_GROUP = 7
LEARNED_PARTS = ("train", "validation", "held-out")
HIPPOCAMPUS_LEARNED_UP_TO = (305, 319)
ACDC_LEARNED_IN_GROUP = (10, 11)
ACDC_PAPER_SHAPE = (64, 128, 128)
ACDC_PAPER_SPACING_MM = 1.56
CLIP_DEVIATIONS = 6.0
SIMILARITY_WINDOW = 5


@dataclass(frozen=True, eq=False)
class LabelledImage:
    """An image and its label map on one grid."""

    image: Volume
    labels: Volume


@dataclass(frozen=True, eq=False)
class RegistrationPair:
    """Two images to register, and the labels that score it."""

    name: str
    fixed: LabelledImage
    moving: LabelledImage


def hippocampus_subjects(folder: str | Path, *, tuned: bool | None = None) -> tuple[str, ...]:
    """Names of the subjects with image and label map in a folder of MSD Task04 (images/ or imagesTr/, labels/ or
    labelsTr/), sorted.

    Args:
        tuned: True for the subjects we tuned on, False for the others, None for all.

    Raises:
        InputError: none are there.
    """
    images, labels = _hippocampus_folders(Path(folder))
    names = sorted(
        path.name.removesuffix(".nii.gz")
        for path in images.glob("hippocampus_*.nii.gz")
        if (labels / path.name).exists()
    )
    if tuned is not None:
        names = [name for name in names if (int(name.rsplit("_", maxsplit=1)[1]) <= HIPPOCAMPUS_TUNED_UP_TO) == tuned]
    if not names:
        wanted = "Task04_Hippocampus of the Medical Segmentation Decathlon"
        raise InputError(f"{folder}: no hippocampus_*.nii.gz with labels; expected {wanted}")
    return tuple(names)


def learned_part(subjects: Sequence[str], part: str) -> tuple[str, ...]:
    """Selects the subjects' names that are in a part of the networks that learn: "train", "validation" (tuning as well)
    or "held-out".

    Hippocampus subjects up to 305, up to 319 and above; of every group of twenty ACDC patients the first ten, the
    eleventh and the others.

    Raises:
        InputError: no such part, names of another data set, or none of the subjects is in it.
    """
    if part not in LEARNED_PARTS:
        raise InputError(f"part: expected one of {', '.join(LEARNED_PARTS)}, got {part!r}")
    chosen = tuple(name for name in subjects if LEARNED_PARTS[_learned_part_index(name)] == part)
    if not chosen:
        raise InputError(f"none of the {len(subjects)} subjects is in the part {part!r}; give the whole data set")
    return chosen


def _learned_part_index(name: str) -> int:
    digits = name.removeprefix("hippocampus_").removeprefix("patient")
    if not digits.isdigit():
        raise InputError(f"{name}: neither a hippocampus_* nor a patient* of the public data sets")
    number, limits = int(digits), HIPPOCAMPUS_LEARNED_UP_TO
    if name.startswith("patient"):
        number, limits = (number - 1) % ACDC_GROUP_SIZE + 1, ACDC_LEARNED_IN_GROUP
    return sum(number > limit for limit in limits)


def read_hippocampus(folder: str | Path, subject: str) -> LabelledImage:
    """One subject as SSMSR (III-A) prepares it: 1 mm, clipped at six standard deviations, [0, 1], padded to 48 x 64 x
    48 around its centre.

    All subjects get one grid (origin at its centre), as they share no frame.

    Raises:
        InputError: files that cannot be read, or an image larger than that.
    """
    images, labels = _hippocampus_folders(Path(folder))
    image, label = _read_image(images / f"{subject}.nii.gz"), read_volume(labels / f"{subject}.nii.gz")
    image, label = at_spacing(image, (1.0, 1.0, 1.0)), at_spacing(label, (1.0, 1.0, 1.0), nearest=True)
    values = image.array.astype(np.float32)
    mean, deviation = float(values.mean()), float(values.std())
    values = np.clip(values, mean - CLIP_DEVIATIONS * deviation, mean + CLIP_DEVIATIONS * deviation)
    values = (values - values.min()) / max(float(values.max() - values.min()), 1e-6)
    if any(size > most for size, most in zip(values.shape, HIPPOCAMPUS_SHAPE, strict=True)):
        raise InputError(f"{subject}: {values.shape[::-1]} voxels are more than {HIPPOCAMPUS_SHAPE[::-1]}")
    spare = [most - size for size, most in zip(values.shape, HIPPOCAMPUS_SHAPE, strict=True)]
    padding = [(one // 2, one - one // 2) for one in spare]
    origin = tuple(-image.direction @ ((np.array(HIPPOCAMPUS_SHAPE[::-1]) - 1) / 2))

    def padded(array: np.ndarray, name: str) -> Volume:
        return Volume(np.pad(array, padding), (1.0, 1.0, 1.0), origin, image.direction, name)

    return LabelledImage(padded(values, subject), padded(label.array.astype(np.uint8), f"{subject} labels"))


def most_similar_pairs(folder: str | Path, subjects: Sequence[str], atlases: Sequence[str]) -> list[RegistrationPair]:
    """Every subject with the atlas (moving) that is most similar to it by NLCC before registration, as in SSMSR's Table
    I.

    Raises:
        InputError: files that cannot be read, or no atlas but the subject itself.
    """
    import torch

    from UltrasoundMotionLib.similarity import LocalCrossCorrelation

    library = {name: read_hippocampus(folder, name) for name in atlases}
    pairs = []
    for subject in subjects:
        fixed = library.get(subject) or read_hippocampus(folder, subject)
        correlation = LocalCrossCorrelation(torch.from_numpy(fixed.image.array)[None, None], SIMILARITY_WINDOW)
        scores = {
            name: float(correlation(torch.from_numpy(one.image.array)[None, None]))
            for name, one in library.items()
            if name != subject
        }
        if not scores:
            raise InputError(f"{subject}: there is no other subject to serve as its atlas")
        atlas = max(scores, key=scores.__getitem__)
        pairs.append(RegistrationPair(f"{subject} < {atlas}", fixed, library[atlas]))
    return pairs


def random_pairs(folder: str | Path, subjects: Sequence[str], count: int, seed: int = 0) -> list[RegistrationPair]:
    """Pairs of different subjects, drawn at random; every subject is fixed once before any is twice.

    Raises:
        InputError: fewer than two subjects, or files that cannot be read.
    """
    if len(subjects) < 2:
        raise InputError(f"random pairs need two subjects or more, got {len(subjects)}")
    random = np.random.default_rng(seed)
    order = [subjects[i] for _ in range(-(-count // len(subjects))) for i in random.permutation(len(subjects))][:count]
    pairs = []
    for subject in order:
        others = [name for name in subjects if name != subject]
        atlas = others[int(random.integers(len(others)))]
        pairs.append(
            RegistrationPair(f"{subject} < {atlas}", read_hippocampus(folder, subject), read_hippocampus(folder, atlas))
        )
    return pairs


def acdc_patients(folder: str | Path, *, tuned: bool | None = None) -> tuple[str, ...]:
    """Names of the patients in a folder of ACDC, sorted; `tuned` as in `hippocampus_subjects`.

    Raises:
        InputError: none are there.
    """
    names = sorted(path.parent.name for path in Path(folder).glob("patient*/Info.cfg"))
    if tuned is not None:
        names = [
            name
            for name in names
            if ((int(name.removeprefix("patient")) - 1) % ACDC_GROUP_SIZE < ACDC_TUNED_IN_GROUP) == tuned
        ]
    if not names:
        raise InputError(f"{folder}: no patient*/Info.cfg; expected the ACDC challenge's training set")
    return tuple(names)


def evenly(names: Sequence[str], count: int) -> tuple[str, ...]:
    """`count` of the names, evenly spread (in ACDC's order: over all groups)."""
    if count >= len(names):
        return tuple(names)
    return tuple(names[int(index)] for index in np.linspace(0, len(names) - 1, count).round())


def read_acdc(folder: str | Path, patient: str) -> RegistrationPair:
    """End-diastole (fixed) and end-systole (moving) of one patient on the native grid.

    Raises:
        InputError: Info.cfg does not name both frames, or files that cannot be read.
    """
    place = Path(folder) / patient
    entries = dict(
        line.split(":", maxsplit=1)
        for line in (place / "Info.cfg").read_text(encoding="utf-8").splitlines()
        if ":" in line
    )
    frames = []
    for phase in ("ED", "ES"):
        if phase not in entries:
            raise InputError(f"{place / 'Info.cfg'}: no line {phase}")
        stem = place / f"{patient}_frame{int(entries[phase]):02d}"
        ending = next((one for one in (".nii.gz", ".nii") if Path(f"{stem}{one}").exists()), ".nii.gz")
        frames.append(LabelledImage(_read_image(Path(f"{stem}{ending}")), read_volume(f"{stem}_gt{ending}")))
    return RegistrationPair(patient, *frames)


def acdc_as_published(pair: RegistrationPair) -> RegistrationPair:
    """The pair as the semantically guided paper (2.3.1) has it: 1.56 mm along all axes, cropped or padded to 128 x 128
    x 64 around the centre.
    """

    def prepared(one: LabelledImage) -> LabelledImage:
        spacing = (ACDC_PAPER_SPACING_MM,) * 3
        image, labels = at_spacing(one.image, spacing), at_spacing(one.labels, spacing, nearest=True)
        return LabelledImage(cropped_or_padded(image, ACDC_PAPER_SHAPE), cropped_or_padded(labels, ACDC_PAPER_SHAPE))

    return replace(pair, fixed=prepared(pair.fixed), moving=prepared(pair.moving))


def at_spacing(volume: Volume, spacing_mm: tuple[float, ...], nearest: bool = False) -> Volume:
    """Resampled over the same region; as it is where the spacing is that already."""
    if np.allclose(volume.spacing_mm, spacing_mm, atol=1e-3):
        return volume
    from UltrasoundMotionLib.fields import DisplacementField, ImageGrid

    extent = np.array(volume.array.shape[::-1]) * volume.spacing_mm
    size = np.maximum(np.round(extent / spacing_mm), 1).astype(int)
    corner = np.array(volume.origin_mm) - volume.direction @ (np.array(volume.spacing_mm) / 2)
    grid = ImageGrid(
        tuple(size[::-1]), spacing_mm, tuple(corner + volume.direction @ (np.array(spacing_mm) / 2)), volume.direction
    )
    return DisplacementField.zero(grid).warp(
        volume, mode="nearest" if nearest else "linear", outside_value=float(volume.array.min())
    )


def cropped_or_padded(volume: Volume, shape: tuple[int, ...]) -> Volume:
    """Returns the volume cut, or padded with zeros, to a shape around its middle."""
    first = [(size - wanted) // 2 for size, wanted in zip(volume.array.shape, shape, strict=True)]
    cut = tuple(slice(max(0, one), max(0, one) + wanted) for one, wanted in zip(first, shape, strict=True))
    array = volume.array[cut]
    before = [max(0, -one) for one in first]
    padding = [(one, wanted - one - size) for one, wanted, size in zip(before, shape, array.shape, strict=True)]
    origin = np.array(volume.origin_mm) + volume.direction @ (np.array(first[::-1]) * volume.spacing_mm)
    return Volume(np.pad(array, padding), volume.spacing_mm, tuple(origin), volume.direction, volume.name)


def _read_image(path: Path) -> Volume:
    """An image with contrast.

    NaN in a NIfTI file comes as 0, by the library that reads it: an image of nothing else has none.
    """
    volume = read_volume(path)
    if not np.ptp(volume.array) > 0:
        raise InputError(f"{path}: has no contrast; its voxels are all {volume.array.flat[0]:g}, or not numbers")
    return volume


def _hippocampus_folders(folder: Path) -> tuple[Path, Path]:
    ending = "Tr" if (folder / "imagesTr").is_dir() else ""
    return folder / f"images{ending}", folder / f"labels{ending}"
