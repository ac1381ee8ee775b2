"""Pairs as published trainings draw them: every subject once an epoch, in an order of its own."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.lab.training.data.registration_augmentation import Change
from UltrasoundMotionLib.lab.training.data.registration_pairs import (
    LabelledArrays,
    RegistrationBatch,
    TrainingSubject,
    tensors_of,
)
from UltrasoundMotionLib.lab.training.data.step_batches import CPU, StepBatches


class EpochPairs(StepBatches[RegistrationBatch]):
    """Draws batches in epochs, as the code of Ha et al. (2020) does.

    Of subjects with two phases, the last phase moves onto the first. Of subjects with one image, two orders are drawn
    in each epoch: of the fixed and of the moving images. An epoch ends with a smaller batch where the numbers ask for
    it.

    Args:
        subjects: one or more; of one size.
        size: pairs in a batch.
        affine: standard deviation of a random affine map that both images of a pair share, of each entry of its matrix
            and of its translation in units of half the image; 0: none.
        seed: of everything drawn.

    Raises:
        InputError: no subjects, sizes or numbers of phases that differ, or a single subject with one image.
    """

    def __init__(self, subjects: Sequence[TrainingSubject], *, size: int, affine: float, seed: int) -> None:
        self._subjects, self._size, self._affine, self._seed = tuple(subjects), size, affine, seed
        kinds = {(len(one.phases), one.phases[0].image.shape) for one in self._subjects}
        alone = len(self._subjects) < 2 and all(len(one.phases) < 2 for one in self._subjects)
        if len(kinds) != 1 or alone:
            raise InputError(
                "pairs in epochs need subjects of one size, with two images each or two subjects or more; got "
                f"{len(self._subjects)} with (images, size) {', '.join(map(str, sorted(kinds))) or 'none'}"
            )
        self.description = f"epochs of {len(self._subjects)} subjects, batches of {size}, affine {affine}"

    @property
    def epoch_steps(self) -> int:
        """Steps of an epoch."""
        return -(-len(self._subjects) // self._size)

    def draw(self, step: int, rank: int = 0, device: torch.device = CPU) -> RegistrationBatch:
        """Returns the batch of a step, see `StepBatches`."""
        epoch, place = divmod(step, self.epoch_steps)
        order = np.random.default_rng([self._seed, epoch, rank])
        fixed, moving = (order.permutation(len(self._subjects)) for _ in range(2))
        chosen = slice(place * self._size, (place + 1) * self._size)
        random = np.random.default_rng([self._seed, epoch, rank, place + 1])
        pairs = [
            self._changed(*self._images(first, second), random, device)
            for first, second in zip(fixed[chosen], moving[chosen], strict=True)
        ]
        return RegistrationBatch(*(torch.cat(tensors) for tensors in zip(*pairs, strict=True)))

    def _images(self, first: int, second: int) -> tuple[LabelledArrays, LabelledArrays]:
        phases = self._subjects[first].phases
        return (phases[0], phases[-1]) if len(phases) > 1 else (phases[0], self._subjects[second].phases[0])

    def _changed(
        self, fixed: LabelledArrays, moving: LabelledArrays, random: np.random.Generator, device: torch.device
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        half = np.array(fixed.image.shape[::-1]) / 2
        matrix = np.eye(len(half)) + self._affine * random.standard_normal([len(half)] * 2) * half[:, None] / half
        shift = self._affine * random.standard_normal(len(half)) * half
        change = Change(np.column_stack([matrix, shift]) if self._affine else None)
        (fixed_image, fixed_labels), (moving_image, moving_labels) = (
            change.apply(*tensors_of(one, device)) for one in (fixed, moving)
        )
        return fixed_image, moving_image, fixed_labels, moving_labels
