"""The result of registering two images, and its measures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from UltrasoundMotionLib.fields import DisplacementField, JacobianMeasures
from UltrasoundMotionLib.images.volume import Volume

MATCH_DOUBT = "these may not match"
"""Beginning of the note on images that a registration leaves unlike each other."""

NETWORK, FIXED_LABELS = "network", "fixed labels"
"""What carried labels are compared with: a network's class map of the fixed image, or the user's labels of it."""


@dataclass(frozen=True)
class LabelMeasures:
    """Agreement of one label of the moving image with the same label of the fixed one, on the fixed grid.

    Attributes:
        dice_before, dice: 0 to 1, by position alone and with the displacement; NaN where neither map has the label.
        hd95_mm: 95th percentile of the distance between the surfaces, with the displacement; infinite where one map
            lacks the label.
    """

    dice_before: float
    dice: float
    hd95_mm: float


@dataclass(frozen=True)
class LabelDoubt:
    """The slices in which a carried label and the fixed image disagree about whether it is there.

    Attributes:
        name: of the structure, as the network knows it; empty where it is compared with the fixed image's labels.
        compared_with: "network" (its class map of the fixed image) or "fixed labels".
        axis: of the slices, "i", "j" or "k" of the fixed image; empty for an image that is no stack of thick slices,
            which counts as one slice.
        only_carried: slices, counted from 0, into which it is carried and where the other has hardly any of it.
        only_seen: slices where the other has it and hardly any is carried.
    """

    name: str
    compared_with: str
    axis: str
    only_carried: tuple[int, ...] = ()
    only_seen: tuple[int, ...] = ()


@dataclass(frozen=True)
class RegistrationMeasures:
    """Similarity, smoothness and cost of a registration.

    Attributes:
        lncc_before, lncc: mean squared local cross-correlation (window 5 voxels) of fixed and moving on the working
            grid, 0 to 1; before also without a start that was found by `auto`.
        mse_before, mse: mean squared difference of the intensities, each image scaled to [0, 1].
        jacobian: of the displacement on the whole fixed grid, background and all.
        jacobian_inside: the same where it matters: inside `inside`; None where that is empty.
        inside: "labels" (of the fixed image, else those carried to it), "mask" (of the fixed image) or "foreground"
            (the brighter part of the fixed image, by Otsu's threshold).
        labels: by label value; empty unless both label maps were given.
        seconds: wall time of the whole call.
        device: the device that it ended on ("cpu", "cuda", ...).
        threads: CPU threads that it was computed on.
        alike_before, alike: correlation of coarse copies of the images (28 voxels along the longest axis), as they lie
            and with the displacement; of any function of the intensities for two modalities. None: not measured.
        label_doubts: by label value, for the carried labels that were compared with the fixed image (by methods that
            have class maps of it); without slices where there is no doubt.
    """

    lncc_before: float
    lncc: float
    mse_before: float
    mse: float
    jacobian: JacobianMeasures
    labels: dict[int, LabelMeasures]
    seconds: float
    device: str
    threads: int = 1
    jacobian_inside: JacobianMeasures | None = None
    inside: str = ""
    alike_before: float | None = None
    alike: float | None = None
    label_doubts: Mapping[int, LabelDoubt] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Registration:
    """A moving image registered to a fixed one.

    Attributes:
        displacement: on the fixed grid, LPS mm: fixed(x) = moving(x + u(x)). It holds the initial transform as well.
        warped: the moving image on the fixed grid, in its own dtype.
        warped_labels: the moving labels on the fixed grid (nearest neighbour), or None.
        measures: similarity, labels, Jacobian, time.
        label_confidence: the probability of each carried label in the fixed image, float32 on its grid, NaN where it is
            not known, see `compare_with_maps`; None: the method has no class maps.
        method: the name of the method.
        notes: lines for the user: an initial transform that was found, a coarser grid, another device, the weights and
            their licence.
        interrupted: whether `progress` raised and the best field so far was kept.
    """

    displacement: DisplacementField
    warped: Volume
    warped_labels: Volume | None
    measures: RegistrationMeasures
    method: str
    notes: tuple[str, ...] = ()
    interrupted: bool = False
    label_confidence: Volume | None = None
