"""What several panels let a user choose; the values are the library's own words."""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING

from slicer.i18n import tr as _

if TYPE_CHECKING:
    from UltrasoundMotionLib.registry import Registry
    from UltrasoundMotionLib.tracking.registry import TrackerEntry


class Device(enum.Enum):
    """Where to compute."""

    AUTOMATIC = "auto"
    CUDA = "cuda"
    MPS = "mps"
    CPU = "cpu"

    def label(self) -> str:
        """What the panel shows."""
        return {
            Device.AUTOMATIC: _("Automatic"),
            Device.CUDA: _("NVIDIA graphics card (CUDA)"),
            Device.MPS: _("Apple graphics card (MPS)"),
            Device.CPU: _("Processor (CPU)"),
        }[self]


class Direction(enum.Enum):
    """Which frames to follow points through, seen from the frame shown."""

    BOTH = "both"
    FORWARD = "forward"
    BACKWARD = "backward"

    def label(self) -> str:
        """What the panel shows."""
        return {
            Direction.BOTH: _("All frames"),
            Direction.FORWARD: _("From the frame shown on"),
            Direction.BACKWARD: _("From the frame shown back"),
        }[self]


def trackers() -> Registry[TrackerEntry]:
    """The registry of trackers."""
    from UltrasoundMotionLib.tracking.registry import TRACKERS

    return TRACKERS
