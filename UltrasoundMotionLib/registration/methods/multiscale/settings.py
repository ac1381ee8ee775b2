"""The settings of multi-scale test-time registration, and the rows of the paper's ablation."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.registration.likeness_weights import LikenessWeights
from UltrasoundMotionLib.registration.methods.instance import InstanceSettings

_OUTPUTS = ("displacement", "velocity")
_AGGREGATIONS = ("composition", "sum")
_STEPS_OF_THE_PAPER = 3500
_LIKENESS = LikenessWeights(lncc=1.0, windows=(5,), plane_windows=(6,))
"""The paper's terms: LNCC in windows of 6 x 6 in ultrasound and 5 x 5 x 5 in the hippocampus (III-B)."""
_MEASURED_LIKENESS = LikenessWeights()
_MEASURED_START = InstanceSettings(smoothness=0.05, volume=0.2, learning_rate=0.2)
SCALES = {2: (8.0, 4.0, 2.0, 1.0), 3: (2.0, 1.0)}


@dataclass(frozen=True)
class SsmsrSettings:
    """Settings of the published method: Zhu et al., Test-Time Training for Deformable Multi-Scale Image Registration
    (SSMSR).

    Attributes:
        scales: how many times coarser than the working grid, from coarse to fine; None takes the paper's, (8, 4, 2, 1)
            in 2D and (2, 1) in 3D.
        steps: the most of each scale, or one number for all; 0 is without test-time training and needs weights.
        patience, tolerance: a scale is finished when the mean loss of `patience` steps is not below that of the
            `patience` steps before by more than `tolerance`. None makes all steps, as the paper.
        learning_rate: Adam's.
        smoothness: lambda, weight of the squared gradient of the field. The paper prints L_S as a sum over voxels
            beside an L_R that is a mean; taken literally, the first would drown the second. Here it is VoxelMorph's
            (III-B: "the same loss function"): the mean over voxels, components and axes.
        volume: weight of the mean squared divergence; 0 in the paper.
        likeness: terms of similarity. The loss of LNCC is 1 - LNCC, the paper's plus a constant.
        output: the network's output, "displacement" as in the paper, or "velocity", integrated to a diffeomorphism.
        aggregation: "composition" as Eq. 5 (its first line: residual first, then the field found before, since the
            residual lives on the fixed grid and was found with the reconstruction; its last line has the other order),
            or "sum" of velocities, each scale optimised for the sum.
        symmetric: also warp the fixed image onto the moving one by the inverse, and take the mean of both losses; needs
            "velocity".
        full_size: the network's field has all voxels of its scale; False: half of them along each axis, as VoxelMorph's
            diffeomorphic network.
        encoder, decoder: channels of the network.
        keep_weights: each scale starts from the weights of the one before (the paper found it better), not anew; with
            "sum", all but those of the last convolution, whose field is in the sum already.
        start: settings of `instance`, from whose velocity the coarsest scale starts, or None to start from zero as the
            paper; needs "sum".
        weights: file of a network trained before over a set of pairs (see `multiscale.weights`), or None. Weights of
            one scale begin the coarsest, weights of every scale each their own.
        seed: of the initial weights.
    """

    scales: tuple[float, ...] | None = None
    steps: tuple[int, ...] | int = _STEPS_OF_THE_PAPER
    patience: int = 100
    tolerance: float | None = None
    learning_rate: float = 1e-3
    smoothness: float = 10.0
    volume: float = 0.0
    likeness: LikenessWeights = _LIKENESS
    output: str = "displacement"
    aggregation: str = "composition"
    symmetric: bool = False
    full_size: bool = True
    encoder: tuple[int, ...] = (16, 32, 32, 32)
    decoder: tuple[int, ...] = (32, 32, 32, 32, 32, 16, 16)
    keep_weights: bool = True
    start: InstanceSettings | None = None
    weights: Path | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if self.output not in _OUTPUTS or self.aggregation not in _AGGREGATIONS:
            raise InputError(
                f"multiscale: output is one of {_OUTPUTS} and aggregation one of {_AGGREGATIONS}, got"
                f" {self.output!r} and {self.aggregation!r}"
            )
        if self.output == "displacement" and (self.symmetric or self.aggregation == "sum"):
            raise InputError(
                "multiscale: symmetric and aggregation 'sum' need output 'velocity', since only a velocity is inverted"
                " by its sign"
            )
        if self.start is not None and self.aggregation != "sum":
            raise InputError("multiscale: start gives a velocity, which only aggregation 'sum' takes up")
        if self.scales is not None and (not self.scales or min(self.scales) < 1):
            raise InputError(f"multiscale: scales must be 1 or more, got {self.scales}")
        steps = self.steps if isinstance(self.steps, tuple) else (self.steps,)
        if (
            not steps
            or min(steps) < 0
            or (isinstance(self.steps, tuple) and self.scales is not None and len(steps) != len(self.scales))
        ):
            raise InputError(
                f"multiscale: steps {self.steps} must be 0 or more, one for each of the scales {self.scales}"
            )
        if max(steps) == 0 and self.weights is None:
            raise InputError(
                "multiscale: without test-time training (steps 0) a trained network is needed; give weights"
            )
        if self.patience < 1 or self.learning_rate <= 0 or min(self.smoothness, self.volume) < 0:
            raise InputError("multiscale: patience and learning_rate must be above 0, smoothness and volume 0 or more")

    def scales_in(self, dimension: int) -> tuple[float, ...]:
        """The scales for an image of 2 or 3 dimensions."""
        return self.scales if self.scales is not None else SCALES[dimension]

    def steps_in(self, dimension: int) -> tuple[int, ...]:
        """The largest number of steps of each scale.

        Raises:
            InputError: their number is not that of the scales.
        """
        count = len(self.scales_in(dimension))
        steps = self.steps if isinstance(self.steps, tuple) else (self.steps,) * count
        if len(steps) != count:
            raise InputError(
                f"multiscale: {len(steps)} numbers of steps for the {count} scales {self.scales_in(dimension)}"
            )
        return steps


@dataclass(frozen=True)
class SsrSettings(SsmsrSettings):
    """Settings of SSR, the paper's ablation with a single scale and test-time training."""

    scales: tuple[float, ...] | None = (1.0,)


@dataclass(frozen=True)
class EarlyStoppingSettings(SsmsrSettings):
    """Settings of `ssmsr-early-stopping`: SSMSR whose scales end when their loss no longer falls."""

    tolerance: float | None = 1e-3


@dataclass(frozen=True)
class SinglePassSettings(SsrSettings):
    """Settings of VoxelMorph as the paper's ablation without test-time training, for `method="ssr"`.

    One pass of a network trained over a set of pairs; `weights` must be given.
    """

    steps: tuple[int, ...] | int = 0


def published_ablation(dimension: int, **settings: Any) -> dict[str, SsmsrSettings]:
    """The settings of this method's rows of the paper's Table I (3D) or II (2D), by name, in the table's order.

    VoxelMorph is among them where `weights` are given.

    Args:
        dimension: 2 or 3.
        settings: changes for all rows, such as fewer `steps` (one number for every scale).
    """
    rows: dict[str, SsmsrSettings] = {}
    weights = settings.pop("weights", None)
    if weights is not None:
        rows["VoxelMorph"] = SinglePassSettings(**{**settings, "steps": 0}, weights=weights)
    rows["SSR (w/o multi-scale)"] = SsrSettings(**settings)
    for count, scale in enumerate(SCALES[dimension], start=1):
        name = "1" if scale == 1 else f"1/{scale:g}"
        rows[f"SSMSR ({name})"] = SsmsrSettings(**settings, scales=SCALES[dimension][:count])
    return rows


@dataclass(frozen=True)
class MultiscaleSettings(SsmsrSettings):
    """Settings of `multiscale`: SSMSR's network with summed residual velocities, symmetric, started from `instance`.

    Change of volume is penalised. On the few hippocampus pairs tried, networks that start from zero were less accurate
    than `instance` at fifteen times its cost, and after `instance` they changed the overlap by 0.001 either way; the
    rule of convergence ends them early there. `start=None` with `scales=(2.0, 1.0)` is without it.
    """

    scales: tuple[float, ...] | None = (1.0,)
    steps: tuple[int, ...] | int = 300
    patience: int = 20
    tolerance: float | None = 5e-4
    smoothness: float = 0.45
    volume: float = 0.2
    output: str = "velocity"
    aggregation: str = "sum"
    symmetric: bool = True
    full_size: bool = False
    decoder: tuple[int, ...] = (32, 32, 32, 32, 32)
    likeness: LikenessWeights = _MEASURED_LIKENESS
    start: InstanceSettings | None = _MEASURED_START
