"""The configuration of two-step semantically guided registration, and the published variants by name."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.registration.methods.semantic.feature_unet import FeatureUNetConfig, paper_unet

_COMBINATIONS = ("addition", "transformation")
FEATURES = ("probabilities", "scores")
_STATISTICS = ("learnt", "pair")
_CHANNELS = {2: (16, 32, 64, 128, 256), 3: (16, 48, 160)}
_CHANNELS_SINGLE = {2: (23, 46, 92, 184, 368), 3: (24, 68, 226)}
"""Channels of one network with the parameters of two."""
_HIDDEN = 64
SCALES = {2: (19, 11), 3: (5, 3)}
_FURTHEST = {2: 10, 3: 3}
"""The largest displacement of the correlation layer in voxels of a quarter of the resolution: 40 pixels (FlowNetC: 20
at an eighth) and 12 voxels.
"""
SQUARINGS = 6


@dataclass(frozen=True)
class TwoStepConfig:
    """Configuration of a two-step network, as JSON on the card of its weights.

    The paper and the authors' code differ: the registration networks get the softmax ("probabilities", the paper's
    text) or the scores before it ("scores", the code). Fields are combined by "addition" (the code) or "transformation"
    (their composition: the second field was found on features warped by the first).

    Attributes:
        unet: the network of the features, one for both images.
        channels, hidden: of each registration network.
        scales: one for each step, odd, in voxels of the features (half the image's resolution): 19 and 11 for faces, 5
            and 3 for cardiac images. One scale is the single-step variant.
        shared: both steps are one network, applied twice.
        features: the input of the registration networks.
        combination: the way in which the steps' fields are combined.
        velocity: the networks give stationary velocities; addition then adds velocities before they are integrated.
        statistics: mean and variance of batch normalisation in use: those "learnt" over the training (as published), or
            those of the "pair" itself, as in every step of training. Batches of one pair learn means that fit no pair
            well; the larger the images, the less it matters.
        correlation: None, or the furthest displacement in voxels of the correlation layer of `correlation_flow`, which
            replaces everything else.
    """

    unet: FeatureUNetConfig
    channels: tuple[int, ...]
    hidden: int = _HIDDEN
    scales: tuple[int, ...] = (19, 11)
    shared: bool = False
    features: str = "probabilities"
    combination: str = "addition"
    velocity: bool = False
    statistics: str = "learnt"
    correlation: int | None = None

    def __post_init__(self) -> None:
        if self.features not in FEATURES or self.combination not in _COMBINATIONS:
            raise InputError(
                f"two-step registration: features is one of {FEATURES} and combination one of {_COMBINATIONS}, "
                f"got {self.features!r} and {self.combination!r}"
            )
        if self.statistics not in _STATISTICS:
            raise InputError(f"two-step registration: statistics is one of {_STATISTICS}, got {self.statistics!r}")
        if not self.scales or any(scale < 1 or scale % 2 == 0 for scale in self.scales):
            raise InputError(f"two-step registration: scales must be odd numbers of voxels, got {self.scales}")


def published(dimension: int, classes: int) -> TwoStepConfig:
    """The configuration of the paper's network.

    It has about 200,000 parameters for the features and 2.3 million (2D; 3D: 2 million) for both registration networks.
    """
    return TwoStepConfig(paper_unet(dimension, classes), channels=_CHANNELS[dimension], scales=SCALES[dimension])


@dataclass(frozen=True)
class Variant:
    """A variant of the network: a row of the paper's Table 1 or Sec. 3.1.

    Attributes:
        name: of the row.
        summary: its difference from the published network, in a line.
        changes: the fields of `TwoStepConfig` that differ.
        guided: whether the semantic loss counts.
        pretrained: whether the features are trained first, by the semantic loss alone, and then kept fixed.
        poly_affine: whether the field is made poly-affine afterwards; trained as `published`.
    """

    name: str
    summary: str
    changes: dict[str, Any]
    guided: bool = True
    pretrained: bool = False
    poly_affine: bool = False

    def network(self, dimension: int, classes: int) -> TwoStepConfig:
        """The configuration of the variant."""
        changes = dict(self.changes)
        if changes.get("channels") == "single":
            changes["channels"] = _CHANNELS_SINGLE[dimension]
            changes["scales"] = SCALES[dimension][:1]
        if "correlation" in changes:
            changes["correlation"] = _FURTHEST[dimension]
        return replace(published(dimension, classes), **changes)


VARIANTS = {
    one.name: one
    for one in (
        Variant("published", "two steps, fields added, trained end to end with guidance", {}),
        Variant("transformation", "fields composed instead of added", {"combination": "transformation"}),
        Variant("single-step", "one step with the parameters of two", {"channels": "single"}),
        Variant("without-guidance", "no semantic loss (as Label-Reg, Hu et al.)", {}, guided=False),
        Variant("shared-weights", "both steps are one network (as Qin et al.)", {"shared": True}),
        Variant("pre-trained", "features trained first, then fixed", {}, pretrained=True),
        Variant("diffeomorphic", "velocities, integrated by scaling and squaring", {"velocity": True}),
        Variant("poly-affine", "the published field made poly-affine afterwards", {}, poly_affine=True),
        Variant(
            "bspline-flownet",
            "FlowNet's correlation layer with a B-spline field, no guidance",
            {"correlation": "furthest"},
            guided=False,
        ),
    )
}


def find_variant(name: str) -> Variant:
    """The variant of that name.

    Raises:
        InputError: there is none; the message lists those there are.
    """
    if name not in VARIANTS:
        raise InputError(
            f"there is no variant named {name} of semantic registration; choose one of {', '.join(VARIANTS)}"
        )
    return VARIANTS[name]
