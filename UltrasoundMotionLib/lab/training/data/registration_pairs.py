"""Batches of labelled image pairs, for the registration networks."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.lab.training.data.pair_settings import PairSettings
from UltrasoundMotionLib.lab.training.data.registration_augmentation import draw_changes
from UltrasoundMotionLib.lab.training.data.step_batches import CPU, StepBatches


@dataclass(frozen=True, eq=False)
class RegistrationBatch:
    """Image pairs with their labels.

    Attributes:
        fixed, moving: (B, 1, *spatial) float32, about [0, 1].
        fixed_labels, moving_labels: (B, *spatial) long.
    """

    fixed: Tensor
    moving: Tensor
    fixed_labels: Tensor
    moving_labels: Tensor


@dataclass(frozen=True, eq=False)
class LabelledArrays:
    """One image and its labels as they are kept in memory: (*spatial) float16, about [0, 1], and uint8."""

    image: np.ndarray
    labels: np.ndarray


@dataclass(frozen=True, eq=False)
class TrainingSubject:
    """A subject with one image, or with end-diastole (fixed) and end-systole (moving)."""

    name: str
    phases: tuple[LabelledArrays, ...]


class LabelledPair(NamedTuple):
    """A pair to validate on; the name is the fixed subject's."""

    name: str
    fixed: LabelledArrays
    moving: LabelledArrays


class DrawnPairs(StepBatches[RegistrationBatch]):
    """Batches whose pairs are drawn one by one.

    Args:
        size: pairs in a batch.
        seed: of everything drawn.
    """

    def __init__(self, size: int, seed: int) -> None:
        self._size, self._seed = size, seed

    def draw(self, step: int, rank: int = 0, device: torch.device = CPU) -> RegistrationBatch:
        """Returns the batch of a step, see `StepBatches`."""
        random = np.random.default_rng([self._seed, step, rank])
        generator = torch.Generator().manual_seed(int(random.integers(2**62)))
        pairs = [self._pair(random, generator, device) for _ in range(self._size)]
        return RegistrationBatch(*(torch.cat(tensors) for tensors in zip(*pairs, strict=True)))

    @abstractmethod
    def _pair(
        self, random: np.random.Generator, generator: torch.Generator, device: torch.device
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Draws fixed image, moving image, fixed labels, moving labels, each a batch of one."""


class PairBatches(DrawnPairs):
    """Draws batches of pairs of subjects.

    Args:
        subjects: two or more for "random" and "atlas"; with two phases each for "phases".
        settings: of the pairs.
        seed: of everything drawn.

    Raises:
        InputError: too few subjects; no such atlas; sizes that differ where a batch holds several.
    """

    def __init__(self, subjects: Sequence[TrainingSubject], settings: PairSettings, seed: int) -> None:
        super().__init__(settings.size, seed)
        self._subjects, self.settings = tuple(subjects), settings
        self.description = f"{settings!r} subjects={len(subjects)}"
        pair_list(self._subjects, settings)  # raises where there is none
        sizes = {one.image.shape for subject in subjects for one in subject.phases}
        if len(sizes) > 1 and (settings.size > 1 or settings.pairing != "phases"):
            raise InputError(
                f"images of several sizes ({', '.join(map(str, sorted(sizes)[:2]))}, ...) cannot be in one batch"
            )

    def _pair(
        self, random: np.random.Generator, generator: torch.Generator, device: torch.device
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        settings = self.settings
        fixed, moving = self._chosen(random)
        if random.random() < settings.swapped:
            fixed, moving = moving, fixed
        if random.random() < settings.identical:
            moving = fixed
        (fixed_image, fixed_labels), (moving_image, moving_labels) = (
            tensors_of(one, device) for one in (fixed, moving)
        )
        if settings.planes:
            planes = np.flatnonzero((fixed.labels > 0).any(axis=(1, 2)) & (moving.labels > 0).any(axis=(1, 2)))
            plane = int(planes[random.integers(len(planes))]) if len(planes) else fixed.labels.shape[0] // 2
            fixed_image, moving_image = fixed_image[:, :, plane], moving_image[:, :, plane]
            fixed_labels, moving_labels = fixed_labels[:, plane], moving_labels[:, plane]
        spatial = tuple(fixed_image.shape[2:])
        changes = draw_changes(settings.augmentation, spatial, random, generator)
        fixed_image, fixed_labels = changes[0].apply(fixed_image, fixed_labels)
        moving_image, moving_labels = changes[1].apply(moving_image, moving_labels)
        return fixed_image, moving_image, fixed_labels, moving_labels

    def _chosen(self, random: np.random.Generator) -> tuple[LabelledArrays, LabelledArrays]:
        settings, subjects = self.settings, self._subjects
        if settings.pairing == "phases":
            phases = subjects[int(random.integers(len(subjects)))].phases
            return phases[0], phases[-1]
        if settings.pairing == "atlas":
            atlas = next(one for one in subjects if one.name == settings.atlas)
            others = [one for one in subjects if one is not atlas]
            return others[int(random.integers(len(others)))].phases[0], atlas.phases[0]
        first, second = (int(index) for index in random.choice(len(subjects), 2, replace=False))
        return subjects[first].phases[0], subjects[second].phases[0]


def pair_list(subjects: Sequence[TrainingSubject], settings: PairSettings) -> list[LabelledPair]:
    """Returns one pair of each subject, always the same, for validation.

    The moving subject of a random pair is the next one in the list; with an atlas, the atlas is no fixed subject.

    Raises:
        InputError: too few subjects, or no such atlas.
    """
    subjects = list(subjects)
    if settings.pairing == "phases":
        lacking = next((one.name for one in subjects if len(one.phases) < 2), None)
        if not subjects or lacking is not None:
            raise InputError(
                "there are no subjects to learn from"
                if lacking is None
                else f"{lacking}: has one phase only, two are needed"
            )
        return [LabelledPair(one.name, one.phases[0], one.phases[-1]) for one in subjects]
    if len(subjects) < 2:
        raise InputError(f"pairs of subjects need two or more, got {len(subjects)}")
    if settings.pairing == "atlas":
        atlas = next((one for one in subjects if one.name == settings.atlas), None)
        if atlas is None:
            raise InputError(f"the atlas {settings.atlas} is not among the {len(subjects)} subjects")
        return [LabelledPair(one.name, one.phases[0], atlas.phases[0]) for one in subjects if one is not atlas]
    following = subjects[1:] + subjects[:1]
    return [
        LabelledPair(one.name, one.phases[0], other.phases[0]) for one, other in zip(subjects, following, strict=True)
    ]


def tensors_of(arrays: LabelledArrays, device: torch.device) -> tuple[Tensor, Tensor]:
    """Returns an image (1, 1, *spatial) float32 and its labels (1, *spatial) long, on the device."""
    image = torch.from_numpy(np.ascontiguousarray(arrays.image)).to(device).float()[None, None]
    return image, torch.from_numpy(np.ascontiguousarray(arrays.labels)).to(device).long()[None]
