"""PyTorch as an option: the networks and registration need it, the point trackers do without."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from UltrasoundMotionLib.errors import MissingPackageError

HOW_TO_INSTALL = "in 3D Slicer install the PyTorch extension, elsewhere run `pip install torch`"


_found: Path | None = None
"""The file of PyTorch that was found last. Looking for it anew takes 0.1 ms, and panels ask for each line of a menu."""


def has_pytorch() -> bool:
    """Returns True if PyTorch is installed, without importing it."""
    global _found  # noqa: PLW0603
    if _found is not None and _found.exists():
        return True
    try:
        found = importlib.util.find_spec("torch")
    except (ImportError, ValueError):  # an import hook refuses it, or it was imported in part
        return False
    _found = None if found is None or found.origin is None else Path(found.origin)
    return found is not None


def needs_pytorch(what: str) -> str:
    """Returns the line for users that says what cannot run without PyTorch, and what to do."""
    return f"{what} needs PyTorch, which is not installed: {HOW_TO_INSTALL}"


def check_pytorch(what: str) -> None:
    """Checks that PyTorch is installed.

    Raises:
        MissingPackageError: it is not; the message says what needs it and what to do.
    """
    if not has_pytorch():
        raise MissingPackageError(needs_pytorch(what))
