"""Reader of MetaImage sequences, .mha and .mhd, including PLUS' .igs.mha with its per-frame fields.

Format: https://itk.org/Wiki/ITK/MetaIO/Documentation; PLUS' fields: PlusToolkit's sequence file format.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.images.colour import LUMINANCE_NOTE
from UltrasoundMotionLib.images.image_sequence import ImageSequence
from UltrasoundMotionLib.images.readers.axes import (
    SPACING_KEY,
    SequenceAxes,
    arrange,
    calibrated_spacing,
    check_colour,
    plane_geometry,
    sequence_axes,
)
from UltrasoundMotionLib.images.readers.header_fields import (
    frame_fields,
    header_number,
    header_numbers,
    plus_notes,
    times_from_timestamps,
)
from UltrasoundMotionLib.images.readers.stored_frames import PixelBlock, StoredFrames, check_pixels, load_pixels
from UltrasoundMotionLib.input_files import check_regular_file

_TYPES = {
    "MET_CHAR": "i1", "MET_UCHAR": "u1", "MET_SHORT": "i2", "MET_USHORT": "u2", "MET_INT": "i4", "MET_UINT": "u4",
    "MET_LONG": "i4", "MET_ULONG": "u4", "MET_LONG_LONG": "i8", "MET_ULONG_LONG": "u8", "MET_FLOAT": "f4",
    "MET_DOUBLE": "f8",
}  # fmt: skip
_LONGEST_LINE = 2**20


def read_metaimage(path: Path) -> ImageSequence:
    """Reads a .mha or .mhd file as a sequence; the time axis is found by `sequence_axes`, the geometry is LPS.

    Raises:
        InputError: not a MetaImage, a header that contradicts itself, or fewer pixels than it declares.
    """
    header, offset = _read_header(path)
    sizes, components = _shape(path, header)
    block = _pixel_block(path, header, offset, (*reversed(sizes), *([components] if components > 1 else [])))
    axes = sequence_axes(path, sizes, (header.get("Kinds", "").split() + [None] * len(sizes))[: len(sizes)])
    spacing, origin, direction = _geometry(path, header, axes)
    frames = StoredFrames(arrange(load_pixels(path, block), axes, len(sizes) if components > 1 else None))
    colour_notes: tuple[str, ...] = (LUMINANCE_NOTE,) if components > 2 else ()
    colour_notes += check_colour(path, components, block.dtype, frames.shape[0])
    fields = frame_fields(header, frames.shape[0])
    times, time_notes = times_from_timestamps(fields)
    spacing_mm, spacing_notes = calibrated_spacing(spacing, header.get(SPACING_KEY))
    axis_notes = axes.notes(frames.shape[0], times, fields)
    notes = (*axis_notes, *spacing_notes, *time_notes, *plus_notes(header, fields), *colour_notes)
    return ImageSequence(frames, spacing_mm, times, origin, direction, path.name.split(".")[0], path, fields, notes)


def check_metaimage(path: Path) -> None:
    """Checks a MetaImage file before ITK reads it: ITK passes over damaged and missing pixels.

    Raises:
        InputError: as `read_metaimage`; damaged, or with values that are not finite.
    """
    header, offset = _read_header(path)
    sizes, components = _shape(path, header)
    steps, _ = _step_and_offset(path, header)
    if not all(steps[axis].any() for axis, size in enumerate(sizes) if size > 1):
        raise InputError(f"{path}: its ElementSpacing or TransformMatrix gives an axis no length")
    block = _pixel_block(path, header, offset, (*reversed(sizes), *([components] if components > 1 else [])))
    check_pixels(path, block)
    if block.encoding == "zlib":
        _check_size_for_itk(path, header, block)


def _shape(path: Path, header: Mapping[str, str]) -> tuple[list[int], int]:
    """Returns the sizes of the axes, fastest first, and the components of a pixel."""
    sizes = header_numbers(path, "DimSize", header["DimSize"], int, _dimensions(path, header))
    if min(sizes) < 1:
        raise InputError(f"{path}: DimSize is {header['DimSize']}: zero frames or pixels")
    (components,) = header_numbers(path, "ElementNumberOfChannels", header.get("ElementNumberOfChannels", "1"), int, 1)
    if not 1 <= components <= 4:
        raise InputError(f"{path}: has {components} components a pixel, expected 1 to 4")
    return sizes, components


def _read_header(path: Path) -> tuple[dict[str, str], int]:
    header: dict[str, str] = {}
    with path.open("rb") as file:
        while line := file.readline(_LONGEST_LINE):
            if b"=" not in line:
                if line.strip():
                    break
                continue
            key, _, value = line.decode("latin-1").partition("=")
            header[key.strip()] = value.strip()
            if key.strip() == "ElementDataFile":
                break
            if not header.keys() & {"ObjectType", "NDims", "Comment", "ObjectSubType"}:
                break
        offset = file.tell()
    for key in ("NDims", "DimSize", "ElementType", "ElementDataFile"):
        if key not in header:
            raise InputError(f"{path}: not a MetaImage file, or truncated: its header has no {key}")
    if header.get("ObjectType", "Image").lower() != "image":
        raise InputError(f"{path}: is a MetaIO {header['ObjectType']}, expected an Image")
    return header, offset


def _dimensions(path: Path, header: Mapping[str, str]) -> int:
    if header["NDims"] not in ("2", "3", "4"):
        raise InputError(f"{path}: NDims is {header['NDims']}, expected 2, 3 or 4")
    return int(header["NDims"])


def _true(header: Mapping[str, str], *keys: str) -> bool:
    return any(header.get(key, "").lower() in ("true", "1") for key in keys)


def _pixel_block(path: Path, header: Mapping[str, str], offset: int, shape: tuple[int, ...]) -> PixelBlock:
    base = re.sub(r"_ARRAY$", "", header["ElementType"])
    if base not in _TYPES:
        raise InputError(f"{path}: ElementType {header['ElementType']} is not supported")
    big_endian = _true(header, "BinaryDataByteOrderMSB", "ElementByteOrderMSB")
    dtype = np.dtype((">" if big_endian else "<") + _TYPES[base])
    name = header["ElementDataFile"]
    if name.upper().startswith("LIST") or "%" in name:
        raise InputError(
            f"{path}: its pixels are in several files ({name}), which is not supported; combine them into one .mha"
        )
    local = name.upper() == "LOCAL"
    data_path = path if local else path.parent / name
    if not name or data_path.is_dir():
        raise InputError(f"{path}: ElementDataFile names no file: {name or '(empty)'}")
    if not local and data_path.exists():
        check_regular_file(data_path)
    encoding = "zlib" if _true(header, "CompressedData") else "raw"
    if encoding == "zlib" and "CompressedDataSize" in header and data_path.exists():
        _check_compressed_size(path, header, data_path, offset if local else 0)
    if header.get("BinaryData", "True").lower() == "false":
        encoding = "text"
    start = offset if local else 0
    (skip,) = header_numbers(path, "HeaderSize", header.get("HeaderSize", "0"), int, 1)
    if skip > 0:
        start = skip
    elif skip == -1 and data_path.exists():
        start = max(0, data_path.stat().st_size - math.prod(shape) * dtype.itemsize)
    return PixelBlock(data_path, start, dtype, shape, encoding)


def _check_compressed_size(path: Path, header: Mapping[str, str], data_path: Path, start: int) -> None:
    declared = header_number(path, "CompressedDataSize", header["CompressedDataSize"], int, minimum=0)
    found = data_path.stat().st_size - start
    if declared > found:
        raise InputError(f"{path}: truncated: its header declares {declared} compressed bytes, {max(found, 0)} found")


def _check_size_for_itk(path: Path, header: Mapping[str, str], block: PixelBlock) -> None:
    """Checks the size that ITK goes by: with another one it fills the rest of the image with whatever was in memory.

    Raises:
        InputError: the header does not say how many compressed bytes follow, or says another number.
    """
    found = block.path.stat().st_size - block.offset
    declared = header.get("CompressedDataSize")
    if declared is None or int(declared) != found:
        raise InputError(
            f"{path}: damaged: its header declares {declared or 'no number of'} compressed bytes"
            f" (CompressedDataSize), {found} found"
        )


def _step_and_offset(path: Path, header: Mapping[str, str]) -> tuple[np.ndarray, np.ndarray]:
    """Returns the step (n, n) of each axis, one a row, and the position (n,) of the first pixel, in mm."""
    dimensions = _dimensions(path, header)
    spacing_key = "ElementSpacing" if "ElementSpacing" in header else "ElementSize"
    spacing = np.ones(dimensions)
    if spacing_key in header:
        spacing = np.array(header_numbers(path, spacing_key, header[spacing_key], float, dimensions))
    matrix = np.eye(dimensions)
    for key in ("TransformMatrix", "Rotation", "Orientation"):
        if key in header:
            # MetaIO stores one direction per axis: a row here is a column of ITK's matrix
            matrix = np.reshape(header_numbers(path, key, header[key], float, dimensions**2), (dimensions, dimensions))
            break
    offset = np.zeros(dimensions)
    for key in ("Offset", "Position", "Origin"):
        if key in header:
            offset = np.array(header_numbers(path, key, header[key], float, dimensions))
            break

    return matrix * spacing[:, None], offset


def _geometry(path: Path, header: Mapping[str, str], axes: SequenceAxes) -> tuple:
    step, offset = _step_and_offset(path, header)
    dimensions = len(step)

    def in_space(vector: np.ndarray) -> np.ndarray:
        return np.pad(vector[:3], (0, max(0, 3 - dimensions)))

    through = None if axes.through is None else in_space(step[axes.through])
    pixel_spacing, direction = plane_geometry(path, in_space(step[axes.x]), in_space(step[axes.y]), through)
    return pixel_spacing, tuple(in_space(offset)), direction
