"""The settings of registration batches: the choice of pairs and their augmentation."""

from __future__ import annotations

from dataclasses import dataclass, field

from UltrasoundMotionLib.errors import InputError

_PAIRINGS = ("random", "atlas", "phases")


@dataclass(frozen=True)
class Augmentation:
    """The limits of random changes of an image; 0 leaves it as it is.

    Attributes:
        rotation_deg: largest rotation around the last axis (in the plane of slices).
        tilt_deg: largest rotation around each other axis.
        scale: largest logarithm of the change of size, the same for all axes.
        stretch: largest logarithm of the change of size of each axis on its own.
        shift: largest translation along each axis, in voxels.
        elastic: standard deviation of a B-spline's control points, in voxels.
        elastic_stride: voxels between control points.
        gain, gamma: standard deviation of the logarithm of each.
        bias: standard deviation of the logarithm of a smooth gain across the image.
        noise: largest standard deviation of normal noise on intensities in [0, 1].
        in_plane: voxels of 3D images stay in their slice: nothing moves along z.
        flips: spatial axes (0 is the first, z) that may be reversed in both images alike; only where the mirrored
            anatomy exists as well.
    """

    rotation_deg: float = 0.0
    tilt_deg: float = 0.0
    scale: float = 0.0
    stretch: float = 0.0
    shift: float = 0.0
    elastic: float = 0.0
    elastic_stride: int = 16
    gain: float = 0.0
    gamma: float = 0.0
    bias: float = 0.0
    noise: float = 0.0
    in_plane: bool = False
    flips: tuple[int, ...] = ()


_NO_AUGMENTATION = Augmentation()


@dataclass(frozen=True)
class PairAugmentation:
    """The augmentation that both images of a pair share, followed by one of each image's own.

    Attributes:
        shared: one draw for both images.
        fixed, moving: a draw for each image.
    """

    shared: Augmentation = _NO_AUGMENTATION
    fixed: Augmentation = _NO_AUGMENTATION
    moving: Augmentation = _NO_AUGMENTATION


@dataclass(frozen=True)
class PairSettings:
    """The pairs of a batch.

    Attributes:
        pairing: "random": two subjects; "atlas": the atlas moves onto any other subject; "phases": the last phase of a
            subject moves onto its first.
        size: pairs in a batch of each process.
        atlas: name of the atlas, for "atlas".
        swapped: fraction of the pairs whose images change their roles.
        identical: fraction of the pairs that are one image twice (each with its own augmentation).
        planes: a random plane (along the first axis) of a pair with labels in it, (B, 1, H, W), instead of volumes.
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
        if self.pairing not in _PAIRINGS:
            raise InputError(f"pairing: expected one of {', '.join(_PAIRINGS)}, got {self.pairing!r}")
        if self.size < 1:
            raise InputError(f"batch: expected 1 pair or more, got {self.size}")
        if (self.pairing == "atlas") != (self.atlas is not None):
            raise InputError("atlas: name one where the pairing is 'atlas', and only there")


HEART = Augmentation(
    rotation_deg=35.0,
    scale=0.2,
    stretch=0.1,
    shift=8.0,
    elastic=3.0,
    elastic_stride=20,
    gamma=0.3,
    bias=0.3,
    in_plane=True,
)
"""Changes of hearts in cine MRI: large, in the plane of the slices, never mirrored."""
