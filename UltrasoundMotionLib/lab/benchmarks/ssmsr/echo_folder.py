"""Echocardiograms of several patients, in folders: the clips, and masks of the blood at a few of their frames.

DATA/PATIENT/CLIP is a clip as `read_sequence` reads it, for example clip1.dcm or a folder of images; for blood,
DATA/PATIENT/CLIP.blood-FRAME.png (clip1.blood-0.png, clip1.blood-14.png) are masks of the left ventricle's blood at the
ends of diastole and systole, frames counted from 0.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from UltrasoundMotionLib.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor

    from UltrasoundMotionLib.registration.working_pair import WorkingPair

MYOCARDIUM, BLOOD = "myocardium", "blood"
TISSUES = (MYOCARDIUM, BLOOD)
TEST_PATIENTS = 3
_MASK = re.compile(r"(?P<clip>.+)\.blood-(?P<frame>\d+)\.png")
_OTHER_FILES = (".png", ".csv", ".json", ".md", ".txt")
_FRAMES_KEPT = 64


@dataclass(frozen=True, eq=False)
class EchoClip:
    """A clip and the region of its frames that is tracked.

    Attributes:
        patient: name of its folder.
        path: of the clip.
        masks: files of the blood's masks by frame; empty where the myocardium is tracked.
        frame_limit: the first so many frames count; None: all.
    """

    patient: str
    path: Path
    masks: tuple[tuple[int, Path], ...] = ()
    frame_limit: int | None = None

    @property
    def name(self) -> str:
        """Patient and clip."""
        return f"{self.patient}/{self.path.name}"

    @property
    def pair_numbers(self) -> range:
        """The frames that have one before them."""
        return range(1, self._frames.count)

    def pair(self, number: int) -> WorkingPair:
        """Returns a frame (fixed), the one before it (moving), and the fixed frame's region.

        Images of blood are 0 outside of their own region.

        Raises:
            InputError: the region is empty.
        """
        from UltrasoundMotionLib.fields import ImageGrid
        from UltrasoundMotionLib.registration.working_pair import WorkingPair

        (fixed, fixed_mask), (moving, moving_mask) = (self._frames.tensors(one) for one in (number, number - 1))
        if not bool(fixed_mask.any()):
            raise InputError(f"{self.path}: frame {number} shows no {'blood' if self.masks else 'tissue'}")
        grid = ImageGrid(tuple(fixed.shape[2:]), (1.0, 1.0), (0.0, 0.0), np.eye(2))
        return WorkingPair(fixed, moving, fixed_mask, moving_mask, grid)

    @cached_property
    def _frames(self) -> _Frames:
        return _Frames(self)


class _Frames:
    """The frames of a clip in [0, 1], as they are, and their regions."""

    def __init__(self, clip: EchoClip) -> None:
        from UltrasoundMotionLib.images import read_sequence
        from UltrasoundMotionLib.lab.benchmarks.ssmsr.blood_region import blood_contours

        self._sequence = read_sequence(clip.path)
        count = len(self._sequence)
        self.count = count if clip.frame_limit is None else min(count, clip.frame_limit)
        if self.count < 2:
            raise InputError(f"{clip.path}: has one frame; there is nothing to register")
        first = self._sequence.frame(0)
        eight_bits = np.dtype(self._sequence.frames.dtype) == np.uint8
        self._low, self._high = (0.0, 255.0) if eight_bits else (float(first.min()), float(first.max()))
        self._contours = None
        if clip.masks:
            masks = {number: _read_mask(path, first.shape) for number, path in clip.masks}
            self._contours = blood_contours(masks, count)
        self.tensors = lru_cache(maxsize=_FRAMES_KEPT)(self._tensors)

    def _tensors(self, number: int) -> tuple[Tensor, Tensor]:
        """Returns image and region of a frame, (1, 1, H, W) float32."""
        import torch

        from UltrasoundMotionLib.lab.benchmarks.ssmsr.blood_region import region_of
        from UltrasoundMotionLib.registration.sequences.frames import tissue_mask

        image = (self._sequence.frame(number).astype(np.float32) - self._low) / max(self._high - self._low, 1e-6)
        if self._contours is None:
            region = tissue_mask(image)
        else:
            region = region_of(self._contours[number], image.shape)
            image = np.where(region, image, 0)
        image, mask = (np.ascontiguousarray(one, dtype=np.float32) for one in (image, region))
        return torch.from_numpy(image)[None, None], torch.from_numpy(mask)[None, None]


def read_echo_folder(folder: Path, tissue: str, *, frame_limit: int | None = None) -> dict[str, tuple[EchoClip, ...]]:
    """Finds the clips of every patient, in the order of names.

    Args:
        tissue: "myocardium", or "blood", whose clips need masks.
        frame_limit: of every clip, the first so many frames count.

    Raises:
        InputError: no clips, no such tissue, a clip of blood with fewer than two masks.
    """
    if tissue not in TISSUES:
        raise InputError(f"tissue: expected one of {', '.join(TISSUES)}, got {tissue!r}")
    patients: dict[str, tuple[EchoClip, ...]] = {}
    for place in sorted(path for path in folder.glob("*") if path.is_dir() and not path.name.startswith(".")):
        clips = []
        for path in sorted(place.iterdir()):
            if path.name.startswith(".") or (path.is_file() and path.suffix.lower() in _OTHER_FILES):
                continue
            masks = _masks(place, path) if tissue == BLOOD else ()
            if tissue == BLOOD and len(masks) < 2:
                wanted = f"{path.name.split('.')[0]}.blood-FRAME.png"
                raise InputError(f"{path}: has {len(masks)} masks of blood; expected two or more files {wanted}")
            clips.append(EchoClip(place.name, path, masks, frame_limit))
        if clips:
            patients[place.name] = tuple(clips)
    if not patients:
        raise InputError(f"{folder}: no clips; expected a folder for each patient with clips in it")
    return patients


def choose_test_patients(patients: dict[str, tuple[EchoClip, ...]], names: tuple[str, ...], seed: int) -> list[str]:
    """Returns the patients that are tested: those named, or three drawn by the seed, as published.

    Raises:
        InputError: a name that is none of the patients.
    """
    unknown = [name for name in names if name not in patients]
    if unknown:
        raise InputError(f"--test-patients {unknown[0]}: is none of {', '.join(patients)}")
    if names:
        return sorted(set(names))
    order = np.random.default_rng(seed).permutation(len(patients))
    return sorted(list(patients)[index] for index in order[:TEST_PATIENTS])


def _masks(place: Path, clip: Path) -> tuple[tuple[int, Path], ...]:
    stem = clip.name.split(".")[0]
    found = ((_MASK.fullmatch(path.name), path) for path in place.glob("*.png"))
    return tuple(sorted((int(match["frame"]), path) for match, path in found if match and match["clip"] == stem))


def _read_mask(path: Path, shape: tuple[int, ...]) -> np.ndarray:
    import SimpleITK as sitk

    try:
        values = sitk.GetArrayFromImage(sitk.ReadImage(str(path)))
    except RuntimeError as error:
        raise InputError(f"{path}: no readable image") from error
    mask = values.max(axis=-1) if values.ndim == 3 else values
    if mask.shape != shape:
        raise InputError(f"{path}: is {mask.shape[::-1]} pixels, the clip's frames are {shape[::-1]}")
    return mask > 0
