"""PyTorch as an option: the networks and registration need it, the point trackers do without."""

from __future__ import annotations

import importlib.util

from UltrasoundMotionLib.errors import MissingPackageError

HOW_TO_INSTALL = "in 3D Slicer install the PyTorch extension, elsewhere run `pip install torch`"


def has_pytorch() -> bool:
    """Returns True if PyTorch is installed, without importing it."""
    try:
        return importlib.util.find_spec("torch") is not None
    except (ImportError, ValueError):  # an import hook refuses it, or it was imported in part
        return False


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
