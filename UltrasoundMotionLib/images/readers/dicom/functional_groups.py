"""Attributes of a frame: of the file, or of its functional groups (DICOM PS3.3 C.7.6.16)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pydicom


def frame_value(dataset: pydicom.Dataset, index: int, name: str, sequence: str) -> Any:
    """Returns an attribute of frame `index`, from its own functional groups, the shared ones, or the file; or None.

    Args:
        dataset: the file.
        index: the frame.
        name: the attribute's keyword.
        sequence: the keyword of the functional group that may hold it.
    """
    per_frame = dataset.get("PerFrameFunctionalGroupsSequence") or []
    shared = dataset.get("SharedFunctionalGroupsSequence") or []
    for group in (*per_frame[index : index + 1], *shared[:1]):
        for item in list(group.get(sequence) or [])[:1]:
            if item.get(name) not in (None, ""):
                return item.get(name)
    value = dataset.get(name)
    return None if value in (None, "") else value


def number(dataset: pydicom.Dataset, name: str) -> float | None:
    """Returns an attribute of the file as a finite number, or None if it is absent or no number."""
    try:
        value = float(dataset.get(name))
    except (TypeError, ValueError):
        return None
    return value if math.isfinite(value) else None


def text(dataset: pydicom.Dataset, name: str) -> str:
    """Returns an attribute of the file as one line of at most 64 characters, empty if it is absent."""
    value = dataset.get(name)
    return "" if value is None else " ".join(str(value).split())[:64]
