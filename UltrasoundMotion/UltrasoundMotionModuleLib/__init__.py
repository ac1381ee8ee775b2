"""The parts of the modules: a folder for each panel, and `shared` for what several of them use.

It is a package, so that Slicer's scan for modules passes it by. Importing it makes `UltrasoundMotionLib` importable: an
installed library lies beside the modules, which Slicer has on Python's search path; in a source checkout it lies in the
folder beside theirs. Nothing here imports more than the standard library, slicer, vtk, qt and ctk when it is loaded.
"""

import importlib.util
import sys
from pathlib import Path


def _make_library_importable() -> None:
    """Adds a source checkout to Python's search path where `UltrasoundMotionLib` is not found already."""
    checkout = Path(__file__).resolve().parents[2]
    found = importlib.util.find_spec("UltrasoundMotionLib") is not None
    if not found and (checkout / "UltrasoundMotionLib" / "__init__.py").is_file():
        sys.path.append(str(checkout))


_make_library_importable()
