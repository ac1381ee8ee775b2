"""What the panel of Deformable Registration lets a user choose. A preset is data: another one is another entry."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from slicer.i18n import tr as _


@dataclass(frozen=True)
class PresetSettings:
    """What a preset means.

    Attributes:
        title, summary: what the panel shows.
        method: a registration method of the library; of a sequence there is one only.
        start: where a pair begins: "auto", "none" (as the volumes lie), "rigid" or "affine".
        ofSequence: every frame of a sequence to one of its frames rather than a pair of volumes.
    """

    title: str
    summary: str
    method: str = "instance"
    start: str = "auto"
    ofSequence: bool = False


class Preset(enum.Enum):
    """What is registered."""

    GENERAL = PresetSettings(
        _("General"),
        _("Any two volumes, or any two slices of one plane. Aligned rigidly first where they overlap poorly."),
    )
    CARDIAC_CINE_MRI = PresetSettings(
        _("Cardiac cine MRI, end-systole to end-diastole"),
        _("Two moments of one scan: choose end-diastole as fixed and end-systole as moving. They start as they lie."),
        start="none",
    )
    HIPPOCAMPUS_MRI = PresetSettings(
        _("Hippocampus MRI, atlas to subject"),
        _("Two people: choose the subject as fixed and the atlas, with its segmentation, as moving. They are aligned rigidly first."),
        start="rigid",
    )
    ULTRASOUND_SEQUENCE = PresetSettings(
        _("Ultrasound sequence to a frame"),
        _("Every frame of a sequence to one of them: what is placed on that frame follows the motion, and the sequence stands still."),
        method="sequence",
        ofSequence=True,
    )

    def label(self) -> str:
        """What the panel shows."""
        return self.value.title


class Method(enum.Enum):
    """How the displacement of a pair is found; the values are the library's names."""

    PRESET = ""
    INSTANCE = "instance"
    DEMONS = "demons"
    MULTISCALE = "multiscale"
    SSMSR = "ssmsr"
    SSR = "ssr"

    def label(self) -> str:
        """What the panel shows."""
        return {
            Method.PRESET: _("As the preset says"),
            Method.INSTANCE: _("instance: velocity field of this pair, seconds"),
            Method.DEMONS: _("demons: SimpleITK's, the plain baseline"),
            Method.MULTISCALE: _("multiscale: instance, then a network on top, minutes"),
            Method.SSMSR: _("ssmsr: a network for each scale, minutes to hours without a graphics card"),
            Method.SSR: _("ssr: a network on one scale, minutes to hours without a graphics card"),
        }[self]

    def of(self, preset: Preset) -> str:
        """The library's name of what is chosen."""
        return self.value or preset.value.method


class Start(enum.Enum):
    """Where the search for a pair begins."""

    PRESET = ""
    AUTOMATIC = "auto"
    AS_THEY_LIE = "none"
    RIGID = "rigid"
    AFFINE = "affine"

    def label(self) -> str:
        """What the panel shows."""
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
