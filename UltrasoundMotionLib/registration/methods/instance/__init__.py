"""`instance`: no network; a stationary velocity field optimised from coarse to fine for this one pair."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.registration.likeness_weights import LikenessWeights
from UltrasoundMotionLib.registration.registry import MethodSetup, registration_method

if TYPE_CHECKING:
    from torch import Tensor

    from UltrasoundMotionLib.registration.working_pair import WorkingPair

_MIND = 1.0
"""Weight of self-similarity where it is the only term."""


@dataclass(frozen=True)
class InstanceSettings:
    """Settings of `instance`.

    Lengths are in voxels of the scale's images (along the finest axis).

    Attributes:
        scales: how many times coarser than the working grid, from coarse to fine.
        iterations: of each scale.
        control_strides: of each scale, voxels between the velocity's control points.
        likeness: the terms of similarity.
        smoothness, volume: weights of the squared gradient and of the squared divergence of the velocity.
        smoothing: standard deviation of the Gaussian through which every update passes.
        across_slices: the most of it across thick slices, in voxels: neighbouring slices move differently.
        staying_inside: weight of the mean squared distance, in voxels, by which points leave the moving image, where
            their tissue is unknown.
        learning_rate: Adam's, about the largest step of an iteration.
        symmetric: also warp the fixed image onto the moving one by the inverse, and take the mean of both losses.
        alternating: take the two directions of `symmetric` in turns, one in each iteration: half of the time for an
            iteration, and Adam averages over both.
    """

    scales: tuple[float, ...] = (4, 2, 1)
    iterations: tuple[int, ...] = (30, 40, 40)
    control_strides: tuple[float, ...] = (1, 1, 2)
    likeness: LikenessWeights = field(default_factory=LikenessWeights)
    smoothness: float = 0.05
    volume: float = 0.15
    smoothing: float = 1.5
    across_slices: float = 0.5
    staying_inside: float = 0.0
    learning_rate: float = 0.3
    symmetric: bool = True
    alternating: bool = False

    def __post_init__(self) -> None:
        stages = f"scales {self.scales}, iterations {self.iterations} and control_strides {self.control_strides}"
        if not self.scales or len({len(self.scales), len(self.iterations), len(self.control_strides)}) != 1:
            raise InputError(f"instance: {stages} must have one entry for each scale")
        if (
            min(self.scales) <= 0
            or min(self.control_strides) < 1
            or min(self.iterations) < 0
            or sum(self.iterations) == 0
        ):
            raise InputError(f"instance: {stages} are out of range")
        if (
            min(self.smoothness, self.volume, self.smoothing, self.across_slices, self.staying_inside) < 0
            or self.learning_rate <= 0
        ):
            raise InputError(
                "instance: smoothness, volume, smoothing, across_slices and staying_inside must be 0 or more,"
                " learning_rate above 0"
            )
        if self.alternating and not self.symmetric:
            raise InputError("instance: alternating takes two directions in turns; it needs symmetric=True")

    @classmethod
    def for_pair(cls, pair: WorkingPair) -> InstanceSettings:
        """The settings that `register` takes unless told otherwise: `for_same_scan` where the pair is one, else the
        defaults, which suit different subjects; `for_different_modality` where intensities cannot be compared.
        """
        if pair.different_modality:
            return cls.for_different_modality()
        return cls.for_same_scan() if pair.same_scan else cls()

    @classmethod
    def for_different_modality(cls) -> InstanceSettings:
        """The settings for two modalities: self-similarity (MIND) takes the place of local cross-correlation."""
        return cls(likeness=LikenessWeights(lncc=0.0, mind=_MIND))

    @classmethod
    def for_same_scan(cls) -> InstanceSettings:
        """The settings for two moments of one subject.

        Intensities may be subtracted; tissue moves together over longer distances, also into the next slice but not out
        of the image; cavities change their volume.
        """
        return cls(
            likeness=LikenessWeights(mse=8.0),
            volume=0.0,
            smoothing=3.0,
            across_slices=3.0,
            staying_inside=10.0,
        )


@registration_method(
    "instance",
    "velocity field optimised for the pair, coarse to fine; no network",
    rank=0,
    settings=InstanceSettings,
    settings_for_pair=InstanceSettings.for_pair,
    compares_structures=True,
    use="any two images or volumes, in seconds; the default",
)
def run_instance(setup: MethodSetup) -> Tensor:
    """Returns the displacement (1, n, *spatial) in voxels of the pair's grid."""
    from UltrasoundMotionLib.registration.methods.instance.velocity import displacement_of, optimise_velocity

    return displacement_of(optimise_velocity(setup.pair, setup.settings, setup.report), setup.pair)
