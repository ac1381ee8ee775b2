"""The kind of two images to register, recognised from what can be measured, so that a preset can be proposed with its
reason.

Hearts and hippocampi are those that the trained methods are for (`learned/model_domain.py`). A kind is certain only
where geometry, grey levels and the two images together agree; everything else is `OTHER`, for which any general method
will do. Thresholds were set on 70 hearts of ACDC and 208 hippocampi of the Medical Segmentation Decathlon.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.fields.image_grid import ImageGrid
from UltrasoundMotionLib.images.volume import Volume
from UltrasoundMotionLib.registration.changing_region import same_scan
from UltrasoundMotionLib.registration.learned.model_domain import (
    CARDIAC_CINE,
    HIPPOCAMPUS,
    THIN_SLICES_MM,
    ModelDomain,
    check_domain,
    unfamiliar_quantile,
)
from UltrasoundMotionLib.registration.likeness_weights import THICK_SLICES

_MOST_VALUES = 60_000
"""Voxels of an image whose grey levels are looked at."""

_CT_AIR_HU = -500.0
_MR, _ULTRASOUND = "MR", ("US", "IVUS")
_LIKENESS_OF_SUBJECTS = 0.2
"""Least correlation of two hippocampi, centre on centre; 0.21 to 0.63 between neighbours in the list of 208."""

_SMOOTH_TISSUE = (0.6, 0.985)
"""Correlation of an image with itself moved by one slice and one row; hippocampi 0.80 to 0.95. Noise has less."""

_BEATING_PART = 0.62
"""Largest spread of the change between two phases, as a part of the spread of the body; hearts 0.22 to 0.67, 95 % of
them below 0.57. Noise, motion of the whole and rotation spread it over the body: 0.7 and more.
"""

_SMOOTHING_MM, _COARSE_MM, _BODY = 4.0, 3.0, 0.1
_HINTS = {"heart": r"cine|short.?axis|\bsax\b|heart|cardiac|diastol|systol", "hippocampus": r"hippocamp"}


class ImageKind(enum.Enum):
    """The kinds that there are presets for."""

    CARDIAC_CINE = "heart"
    HIPPOCAMPUS = "hippocampus"
    CLIP = "clip"
    OTHER = "other"


@dataclass(frozen=True, eq=False)
class ImageEvidence:
    """An image and what else is known of it.

    Attributes:
        volume: a 3D image; one slice is 2D.
        frame_count: number of frames of the sequence that it is a frame of; 1: of none.
        modality: DICOM's, such as "MR" or "US"; empty: unknown.
        names: of the node and its series, which are weak evidence: they never decide.
        labels: values of its label map; empty: it has none.
    """

    volume: Volume
    frame_count: int = 1
    modality: str = ""
    names: tuple[str, ...] = ()
    labels: tuple[int, ...] = ()

    @property
    def is_flat(self) -> bool:
        """True for a single slice."""
        return self.volume.array.ndim == 2 or self.volume.array.shape[0] == 1


@dataclass(frozen=True)
class RecognisedKind:
    """A kind and its grounds.

    Attributes:
        kind: `OTHER` where no kind is certain.
        certain: whether all evidence agrees; False for `OTHER`.
        reason: a clause that stands after "because", or, without certainty, what is known and what is lacking.
    """

    kind: ImageKind
    certain: bool
    reason: str


def recognise_images(fixed: ImageEvidence, moving: ImageEvidence) -> RecognisedKind:
    """Recognises the kind of two images."""
    images = (fixed, moving)
    why_other = _why_other(images)
    if why_other:
        return _other(why_other)
    size = _size_text(fixed.volume)
    doubts = []
    for kind, domain, lacking in (
        (ImageKind.HIPPOCAMPUS, HIPPOCAMPUS, _lacking_of_hippocampi),
        (ImageKind.CARDIAC_CINE, CARDIAC_CINE, _lacking_of_hearts),
    ):
        if not all(_has_geometry(one.volume, domain) for one in images):
            continue
        missing = _foreign_labels(images, domain) or _unfamiliar(images, domain) or lacking(fixed.volume, moving.volume)
        if not missing:
            return RecognisedKind(kind, True, f"{size} {_GROUNDS[kind]}")
        doubts.append(f"{size} could be {domain.modality}, but {missing}")
    if doubts:
        return _other("; ".join(doubts) + _hint(images))
    return _other(f"{size} are nothing that a trained method is for{_hint(images)}")


_GROUNDS = {
    ImageKind.HIPPOCAMPUS: (
        "are the size of one hippocampus, have the grey levels of T1 MRI, and are alike as two people are"
    ),
    ImageKind.CARDIAC_CINE: (
        "are a stack of thick slices with the grey levels of cine MRI, and differ in one part, which beats"
    ),
}


def _why_other(images: Sequence[ImageEvidence]) -> str:
    """Returns what rules the trained methods out at first sight; empty where nothing does."""
    flat = [one.is_flat for one in images]
    if any(flat):
        return "single slices, and the trained methods are for volumes" if all(flat) else "a volume and a single slice"
    for one in images:
        if one.modality and one.modality != _MR:
            return f"DICOM calls {one.volume.name} {one.modality}, and the trained methods are for MRI"
        lowest = float(_sampled(one.volume).min())
        if lowest <= _CT_AIR_HU:
            return f"{one.volume.name} has values down to {lowest:g}, as in CT, and the trained methods are for MRI"
    return ""


def recognise_clip(image: ImageEvidence) -> RecognisedKind:
    """Recognises the kind of a sequence of frames."""
    if image.frame_count < 2:
        return _other(f"{image.volume.name} has one frame")
    if not image.is_flat:
        return RecognisedKind(ImageKind.CLIP, True, f"{image.volume.name} has {image.frame_count} frames of volumes")
    frames = f"{image.volume.name} has {image.frame_count} frames of one slice"
    if image.modality in _ULTRASOUND:
        return RecognisedKind(ImageKind.CLIP, True, f"{frames}, and DICOM calls it ultrasound")
    if image.modality:
        return RecognisedKind(ImageKind.CLIP, False, f"{frames}, but DICOM calls it {image.modality}")
    return RecognisedKind(ImageKind.CLIP, True, frames)


def _other(reason: str) -> RecognisedKind:
    return RecognisedKind(ImageKind.OTHER, False, reason)


def _size_text(volume: Volume) -> str:
    """`35 x 51 x 35 voxels of 1 mm`, or of 1.5 x 1.5 x 10 mm."""
    spacing = [f"{step:.3g}" for step in volume.spacing_mm]
    step = spacing[0] if len(set(spacing)) == 1 else " x ".join(spacing)
    return f"{' x '.join(str(size) for size in volume.array.shape[::-1])} voxels of {step} mm"


def _has_geometry(volume: Volume, domain: ModelDomain) -> bool:
    try:
        check_domain(ImageGrid.of(volume), domain)
    except InputError:
        return False
    if domain.same_scan:
        thick, fine = max(volume.spacing_mm), min(volume.spacing_mm)
        return thick >= max(THIN_SLICES_MM, THICK_SLICES * fine)
    return True


def _foreign_labels(images: Sequence[ImageEvidence], domain: ModelDomain) -> str:
    """Says which labels those of the domain do not have; empty where there are none."""
    foreign = sorted({value for one in images for value in one.labels if value not in domain.labels})
    return f"its segmentation has labels that such images have not ({foreign[0]})" if foreign else ""


def _unfamiliar(images: Sequence[ImageEvidence], domain: ModelDomain) -> str:
    for one in images:
        values = _sampled(one.volume)
        values = values[values > values.min()]
        deviation = float(values.std()) if values.size else 0.0
        if deviation == 0 or unfamiliar_quantile((values - values.mean()) / deviation, domain) is not None:
            return f"the grey levels of {one.volume.name} are not those of such images"
    return ""


def _lacking_of_hippocampi(fixed: Volume, moving: Volume) -> str:
    for volume in (fixed, moving):
        array = volume.array.astype(np.float64)
        likeness = [
            _correlation(array.take(range(1, size), axis), array.take(range(size - 1), axis))
            for axis, size in enumerate(array.shape)
        ]
        if not _SMOOTH_TISSUE[0] <= min(likeness) <= max(likeness) <= _SMOOTH_TISSUE[1]:
            return f"{volume.name} is not as smooth as tissue is"
    if same_scan(fixed, moving):
        return "the two are of one scan, not of two people"
    if _correlation(*_centre_on_centre(fixed, moving)) < _LIKENESS_OF_SUBJECTS:
        return "the two are not alike where their centres meet"
    return ""


def _centre_on_centre(fixed: Volume, moving: Volume) -> tuple[np.ndarray, np.ndarray]:
    """Returns the values of all voxels that both have where the centre of one lies on that of the other."""
    turned = np.linalg.inv(moving.index_to_lps_mm[:3, :3]) @ fixed.index_to_lps_mm[:3, :3]
    index = np.stack(np.meshgrid(*[np.arange(size) for size in fixed.array.shape], indexing="ij"), axis=-1)[..., ::-1]
    middles = [(np.array(one.array.shape[::-1]) - 1) / 2 for one in (fixed, moving)]
    there = np.round((index - middles[0]) @ turned.T + middles[1]).astype(np.int64)
    inside = np.all((there >= 0) & (there < moving.array.shape[::-1]), axis=-1)
    x, y, z = there[inside].T
    return fixed.array[inside].astype(np.float64), moving.array[z, y, x].astype(np.float64)


def _lacking_of_hearts(fixed: Volume, moving: Volume) -> str:
    fixed, moving = _coarser(fixed), _coarser(moving)
    if not same_scan(fixed, moving):
        return "the two are not of one scan"
    thick = fixed.array.ndim - 1 - int(np.argmax(fixed.spacing_mm))
    first, second = (volume.array.astype(np.float32) for volume in (fixed, moving))
    spacing = [step for axis, step in enumerate(fixed.spacing_mm[::-1]) if axis != thick]
    change = gaussian_filter(np.abs(first - second).mean(thick), _SMOOTHING_MM / np.array(spacing))
    grey = np.maximum(first, second).mean(thick)
    body = grey > grey.min() + _BODY * (np.percentile(grey, 99) - grey.min())
    weights = np.clip(change - np.median(change[body]), 0, None)[body] ** 2
    if not weights.any():
        return "the two do not differ"
    points_mm = np.argwhere(body) * spacing
    if _spread(points_mm, weights) > _BEATING_PART * _spread(points_mm, np.ones(len(weights))):
        return "the two differ all over, not in one part that beats"
    return ""


def _coarser(volume: Volume) -> Volume:
    """Leaves out voxels along axes that are finer than half of `_COARSE_MM`: a panel waits for the answer."""
    every = [max(1, int(_COARSE_MM / step)) for step in volume.spacing_mm]
    array = volume.array[tuple(slice(None, None, one) for one in every[::-1])]
    spacing = tuple(step * one for step, one in zip(volume.spacing_mm, every, strict=True))
    return Volume(array, spacing, volume.origin_mm, volume.direction, volume.name)


def _sampled(volume: Volume) -> np.ndarray:
    """Returns evenly chosen grey levels of an image, (N,) float64."""
    array = volume.array
    return array.ravel()[:: max(1, array.size // _MOST_VALUES)].astype(np.float64)


def _spread(points_mm: np.ndarray, weights: np.ndarray) -> float:
    """Returns the weighted root mean square distance of points (N, n) from their centre, mm."""
    centre = np.average(points_mm, axis=0, weights=weights)
    return float(np.sqrt(np.average(((points_mm - centre) ** 2).sum(axis=1), weights=weights)))


def _correlation(first: np.ndarray, second: np.ndarray) -> float:
    if first.size < 2 or first.min() == first.max() or second.min() == second.max():
        return 0.0
    return float(np.corrcoef(first.ravel(), second.ravel())[0, 1])


def _hint(images: Sequence[ImageEvidence]) -> str:
    """Adds what the names say, which decides nothing."""
    text = " ".join(name for one in images for name in one.names)
    found = next((kind for kind, pattern in _HINTS.items() if re.search(pattern, text, re.IGNORECASE)), None)
    return f" (a name speaks of a {found}, but names decide nothing)" if found else ""
