"""Choices of Myocardial Tracking's panel; their values are those of the library's options."""

from __future__ import annotations

import enum

from slicer.i18n import tr as _


class View(enum.Enum):
    """The view of the left ventricle in the clip."""

    A4C = "A4C"
    A2C = "A2C"
    APLAX = "APLAX"
    SAX_BASE = "SAX-base"
    SAX_MID = "SAX-mid"
    SAX_APEX = "SAX-apex"

    @property
    def isShortAxis(self) -> bool:
        """True where the wall is a ring."""
        return self.value.startswith("SAX")

    def label(self) -> str:
        """The text in the panel."""
        return {
            View.A4C: _("Apical four-chamber (A4C)"),
            View.A2C: _("Apical two-chamber (A2C)"),
            View.APLAX: _("Apical long axis (APLAX)"),
            View.SAX_BASE: _("Short axis, base"),
            View.SAX_MID: _("Short axis, middle"),
            View.SAX_APEX: _("Short axis, apex"),
        }[self]


class Layers(enum.Enum):
    """The layers of the wall to follow."""

    ONE = 1
    THREE = 3

    def label(self) -> str:
        """The text in the panel."""
        return {Layers.ONE: _("Middle of the wall"), Layers.THREE: _("Three layers (endo, mid, epi)")}[self]


class SegmentCount(enum.Enum):
    """The number of segments of the bull's-eye."""

    SEVENTEEN = 17
    SIXTEEN = 16
    EIGHTEEN = 18

    def label(self) -> str:
        """The text in the panel."""
        return _("{count} segments").format(count=self.value)
