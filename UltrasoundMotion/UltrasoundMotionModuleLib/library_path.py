"""Where the library is: installed beside the modules, or, in a source checkout, in the folder beside theirs."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path


def make_library_importable() -> None:
    """Adds the checkout to Python's search path where `UltrasoundMotionLib` is not found already: Slicer adds only a
    module's own folder.
    """
    checkout = Path(__file__).resolve().parents[2]
    if (
        importlib.util.find_spec("UltrasoundMotionLib") is None
        and (checkout / "UltrasoundMotionLib" / "__init__.py").is_file()
    ):
        sys.path.append(str(checkout))
