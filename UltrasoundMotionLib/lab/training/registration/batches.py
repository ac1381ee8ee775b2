"""Batches of image pairs with labels.

What a batch holds follows from the seed, the step and the process alone, so that runs resume exactly.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.lab.training.registration.augmentation import PairAugmentation

PAIRINGS = ("random", "atlas", "phases")


@dataclass(frozen=True, eq=False)
class RegistrationBatch:
    """Pairs on the device.

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
    """One image and its labels as they are kept in memory, (*spatial) float16 about [0, 1] and uint8."""

    image: np.ndarray
    labels: np.ndarray


@dataclass(frozen=True, eq=False)
class TrainingSubject:
    """A subject: one image, or end-diastole (fixed) and end-systole (moving)."""

    name: str
    phases: tuple[LabelledArrays, ...]


@dataclass(frozen=True)
class BatchConfig:
    """What a step sees.

    Attributes:
        pairing: "random": two subjects; "atlas": the atlas moves, onto any other subject; "phases": the last phase of a
            subject moves onto its first.
        size: pairs in a batch, of each process.
        atlas: name of the atlas, for "atlas".
        swapped: part of the pairs whose images change their roles.
        identical: part of the pairs that are one image twice (each with its own augmentation).
        planes: a random plane (first axis) of a pair with labels in it, (B, 1, H, W), instead of whole volumes.
        augmentation: of every pair.
    """

    pairing: str = "random"
    size: int = 1
    atlas: str | None = None
    swapped: float = 0.0
    identical: float = 0.0
    planes: bool = False
    augmentation: PairAugmentation = field(default_factory=PairAugmentation)

    def __post_init__(self) -> None:
        if self.pairing not in PAIRINGS:
            raise InputError(f"pairing: expected one of {', '.join(PAIRINGS)}, got {self.pairing!r}")
        if self.size < 1:
            raise InputError(f"batch: expected 1 pair or more, got {self.size}")
        if (self.pairing == "atlas") != (self.atlas is not None):
            raise InputError("atlas: name one where the pairing is 'atlas', and only there")


class PairSource:
    """Draws batches of pairs of subjects.

    Args:
        subjects: two or more for "random" and "atlas"; with two phases each for "phases".

    Raises:
        InputError: too few subjects; no such atlas; sizes that differ where a batch holds several.
    """

    def __init__(
        self, subjects: Sequence[TrainingSubject], config: BatchConfig, seed: int, device: torch.device | str = "cpu"
    ) -> None:
        self._subjects, self.config, self._seed, self._device = tuple(subjects), config, seed, torch.device(device)
        pair_list(self._subjects, config)  # raises where there is none
        sizes = {one.image.shape for subject in subjects for one in subject.phases}
        if len(sizes) > 1 and (config.size > 1 or config.pairing != "phases"):
            raise InputError(
                f"images of several sizes ({', '.join(map(str, sorted(sizes)[:2]))}, ...) cannot be in one batch"
            )

    def draw(self, step: int, rank: int = 0) -> RegistrationBatch:
        """The batch of a step of a process."""
        random = np.random.default_rng([self._seed, step, rank])
        generator = torch.Generator().manual_seed(int(random.integers(2**62)))
        pairs = [self._pair(random, generator) for _ in range(self.config.size)]
        return RegistrationBatch(*(torch.cat(tensors) for tensors in zip(*pairs, strict=True)))

    def _pair(self, random: np.random.Generator, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        fixed, moving = self._chosen(random)
        if random.random() < self.config.swapped:
            fixed, moving = moving, fixed
        if random.random() < self.config.identical:
            moving = fixed
        (fixed_image, fixed_labels), (moving_image, moving_labels) = (
            tensors_of(one, self._device) for one in (fixed, moving)
        )
        if self.config.planes:
            planes = np.flatnonzero((fixed.labels > 0).any(axis=(1, 2)) & (moving.labels > 0).any(axis=(1, 2)))
            plane = int(planes[random.integers(len(planes))]) if len(planes) else fixed.labels.shape[0] // 2
            fixed_image, moving_image = fixed_image[:, :, plane], moving_image[:, :, plane]
            fixed_labels, moving_labels = fixed_labels[:, plane], moving_labels[:, plane]
        spatial = tuple(fixed_image.shape[2:])
        changes = self.config.augmentation.draw(spatial, random, generator)
        fixed_image, fixed_labels = changes[0].apply(fixed_image, fixed_labels)
        moving_image, moving_labels = changes[1].apply(moving_image, moving_labels)
        return fixed_image, moving_image, fixed_labels, moving_labels

    def _chosen(self, random: np.random.Generator) -> tuple[LabelledArrays, LabelledArrays]:
        config, subjects = self.config, self._subjects
        if config.pairing == "phases":
            phases = subjects[int(random.integers(len(subjects)))].phases
            return phases[0], phases[-1]
        if config.pairing == "atlas":
            atlas = next(one for one in subjects if one.name == config.atlas)
            others = [one for one in subjects if one is not atlas]
            return others[int(random.integers(len(others)))].phases[0], atlas.phases[0]
        first, second = (int(index) for index in random.choice(len(subjects), 2, replace=False))
        return subjects[first].phases[0], subjects[second].phases[0]


def pair_list(
    subjects: Sequence[TrainingSubject], config: BatchConfig
) -> list[tuple[str, LabelledArrays, LabelledArrays]]:
    """(name of the fixed subject, fixed, moving) of each subject once: what is validated on, the same at every
    validation.

    A random pair's moving subject is the next one in the list; with an atlas, the atlas itself is left out.

    Raises:
        InputError: too few subjects, or no such atlas.
    """
    subjects = list(subjects)
    if config.pairing == "phases":
        lacking = next((one.name for one in subjects if len(one.phases) < 2), None)
        if not subjects or lacking is not None:
            raise InputError(
                "there are no subjects to learn from"
                if lacking is None
                else f"{lacking}: has one phase only, two are needed"
            )
        return [(one.name, one.phases[0], one.phases[-1]) for one in subjects]
    if len(subjects) < 2:
        raise InputError(f"pairs of subjects need two or more, got {len(subjects)}")
    if config.pairing == "atlas":
        atlas = next((one for one in subjects if one.name == config.atlas), None)
        if atlas is None:
            raise InputError(f"the atlas {config.atlas} is not among the {len(subjects)} subjects")
        return [(one.name, one.phases[0], atlas.phases[0]) for one in subjects if one is not atlas]
    following = subjects[1:] + subjects[:1]
    return [(one.name, one.phases[0], other.phases[0]) for one, other in zip(subjects, following, strict=True)]


def tensors_of(arrays: LabelledArrays, device: torch.device) -> tuple[Tensor, Tensor]:
    """Image (1, 1, *spatial) float32 and labels (1, *spatial) long."""
    image = torch.from_numpy(np.ascontiguousarray(arrays.image)).to(device).float()[None, None]
    return image, torch.from_numpy(np.ascontiguousarray(arrays.labels)).to(device).long()[None]
