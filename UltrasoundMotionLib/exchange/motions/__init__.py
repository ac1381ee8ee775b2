"""Motions between two images in the formats of other programs: read, written, composed, inverted, averaged."""

from UltrasoundMotionLib.lazy_imports import lazy_attributes

_PUBLIC = {
    "Motion": "motion",
    "MotionContext": "motion",
    "MotionFormat": "registry",
    "available_motion_formats": "registry",
    "find_motion_format": "registry",
    "read_motion": "registry",
    "write_motion": "registry",
}

__all__ = sorted(_PUBLIC)  # noqa: PLE0605

__getattr__ = lazy_attributes(__name__, _PUBLIC)
