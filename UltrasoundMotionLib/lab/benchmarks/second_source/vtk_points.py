"""Reads the points of a legacy VTK file (`.vtk`), as meshes of the heart are published."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from UltrasoundMotionLib.errors import InputError

_TYPES = {b"float": ">f4", b"double": ">f8"}


def read_vtk_points(path: Path) -> np.ndarray:
    """Returns the points (N, 3) of a mesh in a legacy VTK file, text or binary.

    Source: VTK File Formats, "Simple Legacy Formats": a line `# vtk DataFile Version`, a title, ASCII or BINARY, the
    kind of data set, and `POINTS n type` with the coordinates, big-endian where they are binary.

    Raises:
        InputError: a file that is missing or no such file, or one that ends within its points.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from error
    lines = content.split(b"\n", 3)
    if len(lines) < 4 or not lines[0].startswith(b"# vtk DataFile"):
        raise InputError(f"{path}: is no legacy VTK file")
    is_text = lines[2].strip().upper() == b"ASCII"
    found = re.search(rb"^POINTS[ \t]+(\d+)[ \t]+(\w+)[ \t]*\r?\n", content, re.MULTILINE)
    if found is None:
        raise InputError(f"{path}: has no POINTS")
    count, kind = int(found[1]), found[2].lower()
    if kind not in _TYPES:
        raise InputError(f"{path}: its points are of type {found[2].decode()}, expected float or double")
    rest = content[found.end() :]
    try:
        if is_text:
            values = np.array(rest.split(None, 3 * count)[: 3 * count], dtype=np.float64)
        else:
            values = np.frombuffer(rest, _TYPES[kind], 3 * count).astype(np.float64)
        return values.reshape(count, 3)
    except ValueError as error:
        raise InputError(f"{path}: ends within its {count} points ({error})") from error
