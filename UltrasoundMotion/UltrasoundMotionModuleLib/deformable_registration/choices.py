"""What the panel of Deformable Registration lets a user choose. A preset is data: another one is another entry."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from slicer.i18n import tr as _

from UltrasoundMotionLib.weights import read_card, shipped_cards

WITHOUT_WEIGHTS = "instance"
REFINABLE = ("semantic", "ltnet", "voxelmorph")
"""The methods whose settings have `refine`."""


@dataclass(frozen=True)
class PresetSettings:
    """What a preset means.

    Attributes:
        title, summary: what the panel shows.
        method: a registration method of the library; of a sequence there is one only.
        weights: what the method needs one of; where none is installed, `WITHOUT_WEIGHTS` takes its place.
        start: where a pair begins: "auto", "none" (as the volumes lie), "rigid" or "affine".
        ofSequence: every frame of a sequence to one of its frames rather than a pair of volumes.
    """

    title: str
    summary: str
    method: str = "instance"
    weights: tuple[str, ...] = ()
    start: str = "auto"
    ofSequence: bool = False

    def installedMethod(self) -> str:
        """The method, or what stands in for it here."""
        return self.method if not self.weights or self.licence() else WITHOUT_WEIGHTS

    def licence(self) -> str:
        """Of the weights; empty where none are installed."""
        return next((read_card(path).licence for path in shipped_cards() if path.stem in self.weights), "")

    def text(self) -> str:
        """The summary; of a method that was trained also the licence of its weights, or that they are missing."""
        if not self.weights:
            return self.summary
        licence = self.licence()
        if not licence:
            text = _(
                "{summary} The trained weights {name} are not installed: the method {method} is used, which needs none."
            )
            return text.format(summary=self.summary, name=self.weights[-1], method=WITHOUT_WEIGHTS)
        text = _("{summary} Trained method {method}; licence of its weights: {licence}.")
        return text.format(summary=self.summary, method=self.method, licence=licence)


class Preset(enum.Enum):
    """What is registered."""

    GENERAL = PresetSettings(
        _("General"),
        _("Any two volumes, or any two slices of one plane. Aligned rigidly first where they overlap poorly."),
    )
    CARDIAC_CINE_MRI = PresetSettings(
        _("Cardiac cine MRI, end-systole to end-diastole"),
        _("Two moments of one scan: choose end-diastole as fixed and end-systole as moving. They start as they lie."),
        method="semantic",
        weights=("anatomy-cardiac-phases", "anatomy-cardiac"),
        start="none",
    )
    HIPPOCAMPUS_MRI = PresetSettings(
        _("Hippocampus MRI, atlas to subject"),
        _(
            "Two people: choose the subject as fixed and the atlas, with its segmentation, as moving. They are aligned rigidly first."
        ),
        method="semantic",
        weights=("anatomy-hippocampus",),
        start="rigid",
    )
    ULTRASOUND_SEQUENCE = PresetSettings(
        _("Ultrasound sequence to a frame"),
        _(
            "Every frame of a sequence to one of them: what is placed on that frame follows the motion, and the sequence stands still."
        ),
        method="sequence",
        ofSequence=True,
    )

    def label(self) -> str:
        """The text in the panel."""
        return self.value.title


class Method(enum.Enum):
    """How the displacement of a pair is found; the values are the library's names."""

    PRESET = ""
    INSTANCE = "instance"
    SEMANTIC = "semantic"
    LTNET = "ltnet"
    VOXELMORPH = "voxelmorph"
    DEMONS = "demons"
    MULTISCALE = "multiscale"
    SSMSR = "ssmsr"
    SSR = "ssr"

    def label(self) -> str:
        """The text in the panel."""
        return {
            Method.PRESET: _("As the preset says"),
            Method.INSTANCE: _("instance: velocity field of this pair, seconds"),
            Method.SEMANTIC: _("semantic: networks trained with labels, for heart MRI and hippocampi"),
            Method.LTNET: _("ltnet: a network trained with one hippocampus atlas"),
            Method.VOXELMORPH: _("voxelmorph: a plain trained network, for heart MRI and hippocampi"),
            Method.DEMONS: _("demons: SimpleITK's, the plain baseline"),
            Method.MULTISCALE: _("multiscale: instance, then a network on top, minutes"),
            Method.SSMSR: _("ssmsr: a network for each scale, minutes to hours without a graphics card"),
            Method.SSR: _("ssr: a network on one scale, minutes to hours without a graphics card"),
        }[self]

    def of(self, preset: Preset) -> str:
        """The library's name of what is chosen."""
        return self.value or preset.value.installedMethod()


class Refinement(enum.Enum):
    """Whether a trained network's answer is refined on the pair itself."""

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
        """What is chosen, for a method of the library; None where the method has nothing to refine."""
        return self.value if method in REFINABLE else None


class Start(enum.Enum):
    """Where the search for a pair begins."""

    PRESET = ""
    AUTOMATIC = "auto"
    AS_THEY_LIE = "none"
    RIGID = "rigid"
    AFFINE = "affine"

    def label(self) -> str:
        """The text in the panel."""
        return {
            Start.PRESET: _("As the preset says"),
            Start.AUTOMATIC: _("Rigid where they overlap poorly"),
            Start.AS_THEY_LIE: _("As the volumes lie"),
            Start.RIGID: _("After a rigid alignment"),
            Start.AFFINE: _("After an affine alignment"),
        }[self]

    def of(self, preset: Preset) -> str:
        """The library's name of what is chosen, "none" for as they lie."""
        return self.value or preset.value.start
