"""Settings of registering a sequence."""

from __future__ import annotations

from dataclasses import dataclass

from UltrasoundMotionLib.device import WITHOUT_MPS
from UltrasoundMotionLib.errors import InputError

SEQUENCE_DEVICES = WITHOUT_MPS
SEQUENCE_NAME = "registering a sequence"
"""For messages about devices."""


@dataclass(frozen=True)
class SequenceSettings:
    """Settings of `register_sequence`.

    Attributes:
        scales: how many times coarser than the frames, from coarse to fine.
        iterations: linearisations of each scale, for each frame.
        control_stride: voxels of a scale between nodes of its control grid; the field is linear between nodes.
        window: edge of the window in which intensities are normalised, in voxels of the scale.
        reference, previous, average: weights of the three templates.
        average_rate: share of the newest frame in the running mean.
        smoothness: of the whole displacement, relative to the strength of the images.
        steadiness: of its change since the frame before.
        solver_iterations: conjugate gradients in each linearisation.
    """

    scales: tuple[int, ...] = (4, 2, 1)
    iterations: tuple[int, ...] = (3, 3, 3)
    control_stride: int = 4
    window: int = 11
    reference: float = 1.0
    previous: float = 0.5
    average: float = 1.0
    average_rate: float = 0.2
    smoothness: float = 0.2
    steadiness: float = 0.5
    solver_iterations: int = 20

    def __post_init__(self) -> None:
        if (
            not self.scales
            or len(self.scales) != len(self.iterations)
            or min(self.scales) < 1
            or min(self.iterations) < 0
        ):
            stages = f"scales {self.scales} and iterations {self.iterations}"
            raise InputError(f"sequence: {stages} must have one entry for each scale, of 1 and 0 or more")
        if sum(self.iterations) == 0 or self.solver_iterations < 1 or self.control_stride < 1 or self.window < 3:
            raise InputError(
                "sequence: needs an iteration, a solver iteration, a control_stride of 1 or more and a window of 3 or"
                " more"
            )
        if min(self.reference, self.previous, self.average) < 0 or self.reference + self.previous + self.average == 0:
            raise InputError(
                "sequence: the weights of reference, previous and average must be 0 or more and one above 0"
            )
        if (
            self.smoothness < 0
            or self.steadiness < 0
            or self.smoothness + self.steadiness == 0
            or not 0 <= self.average_rate <= 1
        ):
            raise InputError(
                "sequence: smoothness and steadiness must be 0 or more and one above 0, average_rate between 0 and 1"
            )
