"""Choices of Motion Propagation's panel; their values are those of the library's options."""

from __future__ import annotations

import enum

from slicer.i18n import tr as _

from UltrasoundMotionLib.mrml.object_motion import TransformsTake
from UltrasoundMotionLib.propagation.temporal_smoothing import SmoothingMethod


class Take(enum.Enum):
    """The points that a sequence of transforms moves, and where to."""

    REFERENCE_TO_FRAMES = TransformsTake.REFERENCE_TO_FRAMES
    FRAMES_TO_REFERENCE = TransformsTake.FRAMES_TO_REFERENCE

    def label(self) -> str:
        """The text in the panel."""
        return {
            Take.REFERENCE_TO_FRAMES: _("the reference frame to each frame"),
            Take.FRAMES_TO_REFERENCE: _("each frame to the reference frame"),
        }[self]


class Operation(enum.Enum):
    """Operations on a whole sequence of transforms."""

    MEAN = "mean"
    INVERSE = "inverse"
    SMOOTHED = "smoothed"

    def label(self) -> str:
        """The text in the panel."""
        return {
            Operation.MEAN: _("Mean displacement"),
            Operation.INVERSE: _("Inverse of each"),
            Operation.SMOOTHED: _("Smoothed over time"),
        }[self]


class Smoothing(enum.Enum):
    """Kinds of smoothing over time."""

    GAUSSIAN = SmoothingMethod.GAUSSIAN
    SAVITZKY_GOLAY = SmoothingMethod.SAVITZKY_GOLAY

    def label(self) -> str:
        """The text in the panel."""
        return {
            Smoothing.GAUSSIAN: _("Gaussian"),
            Smoothing.SAVITZKY_GOLAY: _("Savitzky-Golay (keeps peaks)"),
        }[self]


class TimeUnit(enum.Enum):
    """Units of a width in time."""

    FRAMES = "frames"
    SECONDS = "s"

    def label(self) -> str:
        """The text in the panel."""
        return {TimeUnit.FRAMES: _("frames"), TimeUnit.SECONDS: _("seconds")}[self]
