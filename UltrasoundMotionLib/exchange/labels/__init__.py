"""Labelled points in the formats of other programs: found by content, read, written, with what is lost said."""

from UltrasoundMotionLib.lazy_imports import lazy_attributes

_PUBLIC = {
    "ClipReference": "labels",
    "Labels": "labels",
    "PointGroup": "labels",
    "LabelFormat": "registry",
    "available_label_formats": "registry",
    "find_label_format": "registry",
    "read_clip_reference": "labels",
    "read_labels": "read_write",
    "write_labels": "read_write",
}

__all__ = sorted(_PUBLIC)  # noqa: PLE0605

__getattr__ = lazy_attributes(__name__, _PUBLIC)
