"""Reader of NIfTI sequences, .nii and .nii.gz, with time as the last axis."""

from __future__ import annotations

import gzip
import io
import zlib
from pathlib import Path
from typing import Literal

import numpy as np

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.images.colour import LUMINANCE_NOTE
from UltrasoundMotionLib.images.image_sequence import ImageSequence
from UltrasoundMotionLib.images.readers.axes import (
    SPACING_KEY,
    SequenceAxes,
    arrange,
    calibrated_spacing,
    plane_geometry,
    sequence_axes,
)
from UltrasoundMotionLib.images.readers.stored_frames import PixelBlock, StoredFrames, load_pixels

# the NIfTI-1 header fields used here (https://nifti.nimh.nih.gov/nifti-1); ITK reads the orientation
HEADER = np.dtype(
    {
        "names": [
            "sizeof_hdr",
            "dim",
            "datatype",
            "pixdim",
            "vox_offset",
            "scl_slope",
            "scl_inter",
            "xyzt_units",
            "descrip",
            "magic",
        ],
        "formats": ["i4", ("i2", 8), "i2", ("f4", 8), "f4", "f4", "f4", "u1", "S80", "S4"],
        "offsets": [0, 40, 70, 76, 108, 112, 116, 123, 148, 344],
        "itemsize": 348,
    }
)
_TYPES = {
    2: "u1",
    4: "i2",
    8: "i4",
    16: "f4",
    64: "f8",
    128: "u1",
    256: "i1",
    512: "u2",
    768: "u4",
    1024: "i8",
    1280: "u8",
    2304: "u1",
}
_COMPONENTS = {128: 3, 2304: 4}
_CHUNK_BYTES = 2**20
_SECONDS = {8: 1.0, 16: 1e-3, 24: 1e-6}


def read_nifti(path: Path) -> ImageSequence:
    """Reads a NIfTI file as a sequence: 2D + time, or a volume as a stack of frames (see `sequence_axes`).

    The frame interval is the fourth pixel dimension if its unit is one of time; the frame rate of a stack is unknown.

    Raises:
        InputError: not NIfTI, an unsupported pixel type, or fewer pixels than the header declares.
    """
    header, byte_order = _read_header(path)
    dimensions = int(header["dim"][0])
    sizes = [int(size) for size in header["dim"][1 : dimensions + 1]]
    if min(sizes) < 1:
        raise InputError(f"{path}: its sizes are {sizes}: zero frames or pixels")
    code = int(header["datatype"])
    if code not in _TYPES:
        raise InputError(f"{path}: NIfTI data type {code} is not supported")
    components = _COMPONENTS.get(code, 1)
    shape = (*reversed(sizes), *([components] if components > 1 else []))
    vector = len(sizes) == 5 and 1 < sizes[4] <= 4 and components == 1
    if vector:  # components as planes of a fifth axis, as ITK writes them
        components = sizes.pop()
    # the fourth axis of NIfTI is time
    kinds = ["time" if axis == 3 and sizes[3] > 1 else None for axis in range(len(sizes))]
    axes = sequence_axes(path, sizes, kinds)
    dtype = np.dtype(_TYPES[code]).newbyteorder(byte_order)
    offset = int(header["vox_offset"]) or 352
    compressed = path.name.lower().endswith(".gz")
    block = PixelBlock(path, 0, dtype, shape, "gzip", offset) if compressed else PixelBlock(path, offset, dtype, shape)
    pixels = load_pixels(path, block)
    slope, intercept = float(header["scl_slope"]), float(header["scl_inter"])
    scale = (slope, intercept) if slope != 0 and np.isfinite([slope, intercept]).all() else (1.0, 0.0)
    frames = StoredFrames(arrange(pixels, axes, 0 if vector else len(sizes) if components > 1 else None), *scale)
    spacing, origin, direction = _geometry(path, axes)
    times, time_notes = _times(header, axes.time, frames.shape[0])
    description = bytes(header["descrip"]).split(b"\0")[0].decode("latin-1")
    stated = next((word for word in ("known", "unknown") if f"{SPACING_KEY}={word}" in description), None)
    spacing_mm, spacing_notes = calibrated_spacing(spacing, stated)
    notes = (*spacing_notes, *time_notes, *((LUMINANCE_NOTE,) if components > 2 else ()))
    return ImageSequence(frames, spacing_mm, times, origin, direction, path.name.split(".")[0], path, notes=notes)


def check_pixels_complete(path: Path) -> None:
    """Refuses a NIfTI file (.nii, .nii.gz) that ends before its last pixel: ITK would read zeros there.

    Raises:
        InputError: fewer pixels than the header declares.
    """
    try:
        header, _ = _read_header(path)
    except InputError:  # NIfTI-2, which ITK reads
        return
    sizes = header["dim"][1 : int(header["dim"][0]) + 1].astype(np.int64)
    code = int(header["datatype"])
    if code in _TYPES:
        voxel = np.dtype(_TYPES[code]).itemsize * _COMPONENTS.get(code, 1)
        expected = (int(header["vox_offset"]) or 352) + int(sizes.prod()) * voxel
        packed = path.name.lower().endswith(".gz")
        if not (_unpacks_to(path, expected) if packed else path.stat().st_size >= expected):
            raise InputError(f"{path}: is truncated: its header declares {expected} bytes")


def _unpacks_to(path: Path, expected: int) -> bool:
    """Returns True if a gzip file is whole and holds at least `expected` bytes.

    It is unpacked only where its end does not already say so: gzip ends with the length of its content.
    """
    with path.open("rb") as file:
        file.seek(-4, io.SEEK_END)
        if int.from_bytes(file.read(4), "little") == expected % 2**32:
            return True
    try:
        with gzip.open(path) as stream:
            return sum(map(len, iter(lambda: stream.read(_CHUNK_BYTES), b""))) >= expected
    except (OSError, EOFError, zlib.error):
        return False


def _read_header(path: Path) -> tuple[np.ndarray, Literal["<", ">"]]:
    """Reads the header; returns it with the byte order of the file."""
    byte_orders: tuple[Literal["<", ">"], ...] = ("<", ">")
    try:
        with gzip.open(path) if path.name.lower().endswith(".gz") else path.open("rb") as file:
            data = file.read(HEADER.itemsize)
    except (OSError, EOFError, zlib.error):
        raise InputError(f"{path}: is not a NIfTI file, or is truncated") from None
    if len(data) == HEADER.itemsize:
        for byte_order in byte_orders:
            header = np.frombuffer(data, dtype=HEADER.newbyteorder(byte_order))[0]
            if header["sizeof_hdr"] == HEADER.itemsize and 2 <= header["dim"][0] <= 7:
                if header["magic"][:2] == b"ni":
                    raise InputError(
                        f"{path}: keeps its pixels in a separate .img file, which is not supported; convert it to .nii"
                    )
                return header, byte_order
            if header["sizeof_hdr"] == 540:
                raise InputError(f"{path}: is a NIfTI-2 file, which is not supported; convert it to NIfTI-1")
    raise InputError(f"{path}: is not a NIfTI file, or is truncated")


def _geometry(path: Path, axes: SequenceAxes) -> tuple[tuple[float, float], tuple[float, float, float], np.ndarray]:
    import SimpleITK as sitk

    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    reader.SetImageIO("NiftiImageIO")
    try:
        reader.ReadImageInformation()
    except RuntimeError:
        raise InputError(f"{path}: its orientation cannot be read: damaged header") from None
    dimension = reader.GetDimension()
    steps = np.zeros((3, max(3, dimension)))
    direction = np.reshape(reader.GetDirection(), (dimension, dimension)) * reader.GetSpacing()
    steps[:, :dimension] = np.pad(direction, ((0, max(0, 3 - dimension)), (0, 0)))[:3]
    x, y, z = (*reader.GetOrigin(), 0.0, 0.0)[:3]
    spacing, direction = plane_geometry(
        path, steps[:, axes.x], steps[:, axes.y], steps[:, axes.through] if axes.through is not None else None
    )
    return spacing, (x, y, z), direction


def _times(header: np.ndarray, axis: int | None, frames: int) -> tuple[np.ndarray | None, tuple[str, ...]]:
    if frames < 2:
        return None, ()
    if axis != 3:
        return None, ("frame rate unknown: an axis of a volume was taken as time",)
    interval, unit = float(header["pixdim"][4]), int(header["xyzt_units"]) & 0x38
    if unit not in _SECONDS or not np.isfinite(interval) or interval <= 0:
        problem = "of no unit of time" if unit not in _SECONDS else "as frame interval"
        return None, (f"frame rate unknown: the file gives {interval:g} {problem}",)
    # the shortest decimal of the single-precision number: 0.0333 was written, 0.033299998 is stored
    return np.arange(frames) * (float(str(header["pixdim"][4])) * _SECONDS[unit]), ()
