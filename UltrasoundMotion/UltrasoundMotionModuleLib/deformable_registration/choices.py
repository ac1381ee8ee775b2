"""Choices of Deformable Registration's panel. A preset is data: another one is another entry."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING

from slicer.i18n import tr as _

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.registration.image_kind import ImageKind, RecognisedKind
from UltrasoundMotionLib.registration.request import (
    AUTO,
    DIFFERENT,
    HEADER,
    NONE,
    ROTATIONS,
    SAME,
    WHOLE,
    RegisterRequest,
)
from UltrasoundMotionLib.weights import installed_cards, read_card

if TYPE_CHECKING:
    from UltrasoundMotionLib.registration.registry import RegistrationMethod
    from UltrasoundMotionLib.registry import Registry


def methods() -> Registry[RegistrationMethod]:
    """The registry of registration methods."""
    from UltrasoundMotionLib.registration.registry import METHODS

    return METHODS


@dataclass(frozen=True)
class PresetSettings:
    """The meaning of a preset.

    Attributes:
        title, summary: texts in the panel.
        method: a registration method of the library; a sequence has only one.
        weights: names of trained weights, one of which the method needs; where none is installed, the default method
            takes its place.
        start: initial transform of a pair: "auto", "none" (as the volumes lie), "rigid", "affine" or "rotations".
        ofSequence: register every frame of a sequence to one of its frames rather than a pair of volumes.
        kind: the kind of images that it is proposed for.
    """

    title: str
    summary: str
    method: str = RegisterRequest.method
    weights: tuple[str, ...] = ()
    start: str = "auto"
    ofSequence: bool = False
    kind: ImageKind = ImageKind.OTHER

    def installedMethod(self) -> str:
        """The method, or the default one where its weights are not installed."""
        return self.method if not self.weights or self.licence() else RegisterRequest.method

    def licence(self) -> str:
        """The licence of the installed weights; empty where none are installed."""
        return next((read_card(path).licence for path in installed_cards() if path.stem in self.weights), "")

    def text(self) -> str:
        """The summary; for a trained method also the licence of its weights, or that they are missing."""
        if not self.weights:
            return self.summary
        licence = self.licence()
        if not licence:
            text = _(
                "{summary} The trained weights {name} are not installed: the method {method} is used, which needs none."
            )
            return text.format(summary=self.summary, name=self.weights[-1], method=self.installedMethod())
        text = _("{summary} Trained method {method}; licence of its weights: {licence}.")
        return text.format(summary=self.summary, method=self.method, licence=licence)


class Preset(enum.Enum):
    """The kind of images to register."""

    GENERAL = PresetSettings(
        _("General"),
        _("Any two volumes, or any two slices of one plane. Aligned rigidly first where they are not alike."),
    )
    CARDIAC_CINE_MRI = PresetSettings(
        _("Cardiac cine MRI, end-systole to end-diastole"),
        _(
            "Two moments of one scan: choose end-diastole as fixed and end-systole as moving. They start as they lie "
            "unless that is not how they are alike."
        ),
        method="anatomy-guided",
        weights=("anatomy-cardiac-phases",),
        kind=ImageKind.CARDIAC_CINE,
    )
    HIPPOCAMPUS_MRI = PresetSettings(
        _("Hippocampus MRI, atlas to subject"),
        _(
            "Two people: choose the subject as fixed and the atlas, with its segmentation, as moving. "
            "They are aligned rigidly first."
        ),
        method="anatomy-guided",
        weights=("anatomy-hippocampus",),
        start="rigid",
        kind=ImageKind.HIPPOCAMPUS,
    )
    ULTRASOUND_SEQUENCE = PresetSettings(
        _("Ultrasound sequence to a frame"),
        _(
            "Every frame of a sequence to one of them: what is placed on that frame follows the motion, and the "
            "sequence stands still."
        ),
        method="sequence",
        ofSequence=True,
        kind=ImageKind.CLIP,
    )

    @staticmethod
    def ofKind(found: RecognisedKind) -> Preset:
        """Returns the preset for a kind of images; the general one where it is not certain."""
        return next(one for one in Preset if one.value.kind is (found.kind if found.certain else ImageKind.OTHER))

    def label(self) -> str:
        """The text in the panel."""
        return self.value.title


class Refinement(enum.Enum):
    """Refinement of a network's prediction on the pair itself."""

    METHOD = None
    YES = True
    NO = False

    def label(self) -> str:
        """The text in the panel."""
        return {
            Refinement.METHOD: _("As the method says"),
            Refinement.YES: _("Refined on this pair, seconds more"),
            Refinement.NO: _("As the network gives it"),
        }[self]

    def of(self, method: str) -> bool | None:
        """The option's value for a method; None where the method has no prediction to refine."""
        return self.value if isRefinable(method) else None


def isRefinable(method: str) -> bool:
    """True for methods that can refine a network's prediction."""
    try:
        return methods().find(method).refinable
    except InputError:
        return False


class Start(enum.Enum):
    """The initial transform of a pair."""

    PRESET = ""
    AUTOMATIC = "auto"
    AS_THEY_LIE = NONE
    RIGID = "rigid"
    AFFINE = "affine"
    ROTATIONS = ROTATIONS

    def label(self) -> str:
        """The text in the panel."""
        return {
            Start.PRESET: _("As the preset says"),
            Start.AUTOMATIC: _("Rigid where they are not alike as they lie"),
            Start.AS_THEY_LIE: _("As the volumes lie"),
            Start.RIGID: _("After a rigid alignment"),
            Start.AFFINE: _("After an affine alignment"),
            Start.ROTATIONS: _("After trying all rotations"),
        }[self]

    def of(self, preset: Preset) -> str:
        """The option's value for a preset."""
        return self.value or preset.value.start


class SearchRegion(enum.Enum):
    """The part of a pair that is registered."""

    AUTOMATIC = AUTO
    WHOLE = WHOLE

    def label(self) -> str:
        """The text in the panel."""
        return {
            SearchRegion.AUTOMATIC: _("Without what stands still"),
            SearchRegion.WHOLE: _("The whole volume"),
        }[self]


class Modality(enum.Enum):
    """Comparison of intensities or of structures."""

    AUTOMATIC = AUTO
    SAME = SAME
    DIFFERENT = DIFFERENT

    def label(self) -> str:
        """The text in the panel."""
        return {
            Modality.AUTOMATIC: _("As measured"),
            Modality.SAME: _("One modality: intensities are compared"),
            Modality.DIFFERENT: _("Two modalities: structures are compared"),
        }[self]


class Orientation(enum.Enum):
    """Orientation of the images that a trained network is given."""

    AUTOMATIC = AUTO
    HEADER = HEADER

    def label(self) -> str:
        """The text in the panel."""
        return {
            Orientation.AUTOMATIC: _("Turned until it recognises them"),
            Orientation.HEADER: _("As the volumes lie"),
        }[self]
