"""Choices that several panels offer; their values are those of the library's options."""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING

from slicer.i18n import tr as _

if TYPE_CHECKING:
    from UltrasoundMotionLib.registry import Registry
    from UltrasoundMotionLib.tracking.registry import TrackerEntry


class Device(enum.Enum):
    """The device to compute on."""

    AUTOMATIC = "auto"
    CUDA = "cuda"
    MPS = "mps"
    CPU = "cpu"

    def label(self) -> str:
        """The text in the panel."""
        return {
            Device.AUTOMATIC: _("Automatic"),
            Device.CUDA: _("NVIDIA graphics card (CUDA)"),
            Device.MPS: _("Apple graphics card (MPS)"),
            Device.CPU: _("Processor (CPU)"),
        }[self]


class Direction(enum.Enum):
    """The frames through which points are followed, seen from the frame on which they were placed."""

    BOTH = "both"
    FORWARD = "forward"
    BACKWARD = "backward"

    def label(self) -> str:
        """The text in the panel."""
        return {
            Direction.BOTH: _("All frames"),
            Direction.FORWARD: _("From the placed frame on"),
            Direction.BACKWARD: _("From the placed frame back"),
        }[self]


def trackers() -> Registry[TrackerEntry]:
    """The registry of trackers."""
    from UltrasoundMotionLib.tracking.registry import TRACKERS

    return TRACKERS


def seesWholeClip(name: str) -> bool:
    """Returns True for a tracker that sees many frames at once, to which nothing that works frame by frame is added."""
    return any(entry.needs_whole_clip for entry in trackers().all() if entry.name == name)
