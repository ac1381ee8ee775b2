"""The settings of two-step semantically guided registration, and the published variants by name."""

from __future__ import annotations

from dataclasses import dataclass, replace

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.registration.methods.semantic.feature_unet import FeatureUNetConfig, paper_unet

COMBINATIONS = ("addition", "transformation")
FEATURES = ("probabilities", "scores")
STATISTICS = ("learnt", "pair")
CHANNELS = {2: (16, 32, 64, 128, 256), 3: (16, 48, 160)}
CHANNELS_SINGLE = {2: (23, 46, 92, 184, 368), 3: (24, 68, 226)}
"""Of one network with the parameters of two."""
HIDDEN = 64
SCALES = {2: (19, 11), 3: (5, 3)}
FURTHEST = {2: 10, 3: 3}
"""Of the correlation layer in voxels of a quarter of the resolution: 40 pixels (FlowNetC: 20 at an eighth) and 12
voxels.
"""
SQUARINGS = 6


@dataclass(frozen=True)
class TwoStepConfig:
    """Everything that a two-step network is built from; JSON holds it on the card of its weights.

    Where the paper and the authors' code differ:
    The registration networks get the softmax ("probabilities", the paper's text) or the scores before it ("scores", the
    code). Fields are combined by "addition" (the code) or "transformation" (their composition: the second field was
    found on features warped by the first).

    Attributes:
        unet: of the features; both images go through the same.
        channels, hidden: of each registration network.
        scales: one for each step, odd, in voxels of the features (half the image's resolution): 19 and 11 for faces, 5
            and 3 for cardiac images. One scale is the single-step variant.
        shared: both steps are one network, applied twice.
        features: what the registration networks see.
        combination: of the steps' fields.
        velocity: the networks give stationary velocities; addition then adds velocities before they are integrated.
        statistics: what batch normalisation takes for mean and variance in use: those "learnt" over the training (as
            published), or those of the "pair" itself, as every step of training sees them. Batches of one pair learn
            means that fit no pair well; the larger the images, the less it matters.
        correlation: None, or the furthest displacement in voxels of the correlation layer of `correlation_flow`, which
            replaces everything else.
    """

    unet: FeatureUNetConfig
    channels: tuple[int, ...]
    hidden: int = HIDDEN
    scales: tuple[int, ...] = (19, 11)
    shared: bool = False
    features: str = "probabilities"
    combination: str = "addition"
    velocity: bool = False
    statistics: str = "learnt"
    correlation: int | None = None

    def __post_init__(self) -> None:
        if self.features not in FEATURES or self.combination not in COMBINATIONS:
            raise InputError(
                f"two-step registration: features is one of {FEATURES} and combination one of {COMBINATIONS}, "
                f"got {self.features!r} and {self.combination!r}"
            )
        if self.statistics not in STATISTICS:
            raise InputError(f"two-step registration: statistics is one of {STATISTICS}, got {self.statistics!r}")
        if not self.scales or any(scale < 1 or scale % 2 == 0 for scale in self.scales):
            raise InputError(f"two-step registration: scales must be odd numbers of voxels, got {self.scales}")


def published(dimension: int, classes: int) -> TwoStepConfig:
    """The paper's network: about 200,000 parameters for the features and 2.3 million (2D; 3D: 2 million) for both
    registration networks.
    """
    return TwoStepConfig(paper_unet(dimension, classes), channels=CHANNELS[dimension], scales=SCALES[dimension])


@dataclass(frozen=True)
class Variant:
    """A row of Table 1 or Sec. 3.1.

    Attributes:
        name: of the row.
        summary: what it changes.
        changes: fields of `TwoStepConfig` that differ.
        guided: the semantic loss counts.
        pretrained: the features are trained first, by the semantic loss alone, and then stay as they are.
        poly_affine: the field is made poly-affine afterwards; trained as `published`.
    """

    name: str
    summary: str
    changes: dict[str, object]
    guided: bool = True
    pretrained: bool = False
    poly_affine: bool = False

    def network(self, dimension: int, classes: int) -> TwoStepConfig:
        """The network's settings."""
        changes = dict(self.changes)
        if changes.get("channels") == "single":
            changes["channels"] = CHANNELS_SINGLE[dimension]
            changes["scales"] = SCALES[dimension][:1]
        if "correlation" in changes:
            changes["correlation"] = FURTHEST[dimension]
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
