"""Reader of NIfTI sequences, .nii and .nii.gz, with time as the last axis."""

from __future__ import annotations

import gzip
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.images.colour import LUMINANCE_NOTE
from UltrasoundMotionLib.images.image_sequence import ImageSequence
from UltrasoundMotionLib.images.itk_warnings import itk_warnings_as_notes
from UltrasoundMotionLib.images.readers.axes import (
    SPACING_KEY,
    SequenceAxes,
    arrange,
    calibrated_spacing,
    check_colour,
    plane_geometry,
    sequence_axes,
)
from UltrasoundMotionLib.images.readers.header_fields import header_number, header_numbers
from UltrasoundMotionLib.images.readers.stored_frames import PixelBlock, StoredFrames, check_pixels, load_pixels

# the NIfTI-1 header fields used here (https://nifti.nimh.nih.gov/nifti-1); ITK reads the orientation
HEADER = np.dtype(
    {
        "names": [
            "sizeof_hdr",
            "dim",
            "intent_code",
            "datatype",
            "bitpix",
            "pixdim",
            "vox_offset",
            "scl_slope",
            "scl_inter",
            "xyzt_units",
            "descrip",
            "qform_code",
            "sform_code",
            "quatern",
            "qoffset",
            "srow",
            "intent_name",
            "magic",
        ],
        "formats": [
            *("i4", ("i2", 8), "i2", "i2", "i2", ("f4", 8), "f4", "f4", "f4", "u1", "S80"),
            *("i2", "i2", ("f4", 3), ("f4", 3), ("f4", (3, 4)), "S16", "S4"),
        ],
        "offsets": [0, 40, 68, 70, 72, 76, 108, 112, 116, 123, 148, 252, 254, 256, 268, 280, 328, 344],
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
_PIXELS_AT = 352
_NIFTI_2_HEADER_BYTES = 540
_LARGEST_COSINE = 1e-3
_SECONDS = {8: 1.0, 16: 1e-3, 24: 1e-6}


@dataclass(frozen=True)
class _NiftiHeader:
    """Checked fields of a header.

    Attributes:
        fields: the header as stored, in its byte order.
        sizes: of the axes, fastest first.
        pixels: location, type and shape (slowest axis first) of the pixels.
        components: of a pixel.
        scale: (slope, intercept) of the stored values.
    """

    fields: np.ndarray
    sizes: tuple[int, ...]
    pixels: PixelBlock
    components: int
    scale: tuple[float, float]


def read_nifti(path: Path) -> ImageSequence:
    """Reads a NIfTI file as a sequence: 2D + time, or a volume as a stack of frames (see `sequence_axes`).

    The frame interval is the fourth pixel dimension if its unit is one of time; the frame rate of a stack is unknown.

    Raises:
        InputError: not NIfTI, a header whose values make no sense, an unsupported pixel type, or fewer pixels than the
            header declares.
    """
    header = _read_header(path)
    sizes, components = list(header.sizes), header.components
    vector = len(sizes) == 5 and 1 < sizes[4] <= 4 and components == 1
    if vector:  # components as planes of a fifth axis, as ITK writes them
        components = sizes.pop()
    # the fourth axis of NIfTI is time
    kinds = ["time" if axis == 3 and sizes[3] > 1 else None for axis in range(len(sizes))]
    axes = sequence_axes(path, sizes, kinds)
    pixels = load_pixels(path, header.pixels)
    component_axis = 0 if vector else len(sizes) if components > 1 else None
    frames = StoredFrames(arrange(pixels, axes, component_axis), *header.scale)
    vector_notes = check_colour(path, components, header.pixels.dtype, frames.shape[0]) if vector else ()
    itk_notes: list[str] = []
    spacing, origin, direction = _geometry(path, axes, itk_notes)
    times, time_notes = _times(header.fields, axes.time, frames.shape[0])
    description = bytes(header.fields["descrip"]).split(b"\0")[0].decode("latin-1")
    stated = next((word for word in ("known", "unknown") if f"{SPACING_KEY}={word}" in description), None)
    spacing_mm, spacing_notes = calibrated_spacing(spacing, stated)
    notes = (
        *axes.notes(frames.shape[0], times),
        *spacing_notes,
        *time_notes,
        *((LUMINANCE_NOTE,) if components > 2 else ()),
        *vector_notes,
        *itk_notes,
    )
    return ImageSequence(frames, spacing_mm, times, origin, direction, path.name.split(".")[0], path, notes=notes)


def check_nifti(path: Path) -> None:
    """Checks a NIfTI file (.nii, .nii.gz) before ITK reads it.

    ITK reads zeros where a file ends early, 0 where a value is not finite and 1 mm where a size is not given.

    Raises:
        InputError: as `read_nifti`; damaged, or with values that are not finite; axes that are not at right angles.
    """
    header = _read_header(path)
    _check_right_angles(path, header.fields)
    check_pixels(path, header.pixels)


def _read_header(path: Path) -> _NiftiHeader:
    fields, byte_order = stored_header(path)
    dimensions = int(fields["dim"][0])
    sizes = tuple(int(size) for size in fields["dim"][1 : dimensions + 1])
    if min(sizes) < 1:
        raise InputError(f"{path}: its sizes are {list(sizes)}: zero frames or pixels")
    code = int(fields["datatype"])
    if code not in _TYPES:
        raise InputError(f"{path}: NIfTI data type {code} is not supported")
    components = _COMPONENTS.get(code, 1)
    dtype = np.dtype(_TYPES[code]).newbyteorder(byte_order)
    bits = int(fields["bitpix"])
    if bits not in (0, 8 * dtype.itemsize * components):
        raise InputError(f"{path}: damaged header: bitpix is {bits}, but data type {code} has {8 * dtype.itemsize}")
    for axis, size in enumerate(sizes[:3]):
        if size > 1:
            _check_pixel_size(path, axis, float(fields["pixdim"][axis + 1]))
    for name in ("quatern", "qoffset") if fields["qform_code"] > 0 else ():
        header_numbers(path, name, " ".join(map(str, fields[name])), float, 3)
    if fields["sform_code"] > 0:
        header_numbers(path, "srow", " ".join(map(str, fields["srow"].ravel())), float, 12)
    offset = header_number(path, "vox_offset", float(fields["vox_offset"]), int, minimum=0, maximum=2**53)
    if 0 < offset < _PIXELS_AT:
        raise InputError(f"{path}: vox_offset is {offset}, expected a whole number from {_PIXELS_AT}")
    shape = (*reversed(sizes), *([components] if components > 1 else []))
    compressed = path.name.lower().endswith(".gz")
    start = offset or _PIXELS_AT
    pixels = PixelBlock(path, 0, dtype, shape, "gzip", start) if compressed else PixelBlock(path, start, dtype, shape)
    return _NiftiHeader(fields, sizes, pixels, components, _scale(path, fields))


def _check_pixel_size(path: Path, axis: int, size: float) -> None:
    if not (np.isfinite(size) and size > 0):
        raise InputError(
            f"{path}: pixdim[{axis + 1}] is {size:g}, so the size of its pixels is not known; it should be the size in"
            f" mm along {'xyz'[axis]}: write it into the header"
        )


def _scale(path: Path, fields: np.ndarray) -> tuple[float, float]:
    """Returns slope and intercept; a slope of 0 or NaN means that the values are stored as they are."""
    slope, intercept = float(fields["scl_slope"]), float(fields["scl_inter"])
    if slope == 0 or np.isnan(slope):
        return 1.0, 0.0
    header_number(path, "scl_slope", slope, float)
    header_number(path, "scl_inter", intercept, float)
    if abs(intercept) > 2.0 ** np.finfo(np.float32).nmant * abs(slope):
        raise InputError(
            f"{path}: scl_inter {intercept:g} with scl_slope {slope:g}: grey levels are lost in single precision;"
            " the header may be damaged"
        )
    return slope, intercept


def stored_header(path: Path) -> tuple[np.ndarray, Literal["<", ">"]]:
    """Reads the header of a NIfTI-1 file in one part; returns it with the byte order of the file.

    Raises:
        InputError: another file, NIfTI-2, or pixels in a separate file.
    """
    byte_orders: tuple[Literal["<", ">"], ...] = ("<", ">")
    try:
        with gzip.open(path) if path.name.lower().endswith(".gz") else path.open("rb") as file:
            data = file.read(HEADER.itemsize)
    except (OSError, EOFError, zlib.error):
        raise InputError(f"{path}: is not a NIfTI file, or is truncated") from None
    if len(data) == HEADER.itemsize:
        for byte_order in byte_orders:
            fields = np.frombuffer(data, dtype=HEADER.newbyteorder(byte_order))[0]
            if fields["sizeof_hdr"] == _NIFTI_2_HEADER_BYTES:
                raise InputError(f"{path}: is a NIfTI-2 file, which is not supported; convert it to NIfTI-1")
            if fields["sizeof_hdr"] == HEADER.itemsize and 2 <= fields["dim"][0] <= 7:
                if fields["magic"][:2] == b"ni":
                    raise InputError(
                        f"{path}: keeps its pixels in a separate .img file, which is not supported; convert it to .nii"
                    )
                if fields["magic"][:3] != b"n+1":
                    raise InputError(f"{path}: is not a NIfTI file: damaged, or the older ANALYZE format")
                return fields, byte_order
    raise InputError(f"{path}: is not a NIfTI file, or is truncated")


def _check_right_angles(path: Path, fields: np.ndarray) -> None:
    """Refuses the orientation of a scan with a tilted gantry, in words: ITK takes no axes that are not at right angles.

    Raises:
        InputError: axes without length, or not at right angles.
    """
    if fields["sform_code"] <= 0:
        return
    axes = fields["srow"][:, :3].astype(np.float64)
    lengths = np.linalg.norm(axes, axis=0)
    if not lengths.all():
        raise InputError(f"{path}: its srow (the orientation) gives an axis no length")
    cosines = (axes / lengths).T @ (axes / lengths)
    largest = float(np.abs(cosines - np.eye(3)).max())
    if largest > _LARGEST_COSINE:
        raise InputError(
            f"{path}: sheared: two of its axes stand at {np.degrees(np.arccos(largest)):.1f} degrees, not at right "
            "angles, as of a scan with a tilted gantry; resample it onto a grid with right angles first, for instance "
            "with nibabel.processing.resample_to_output"
        )


def _geometry(
    path: Path, axes: SequenceAxes, notes: list[str]
) -> tuple[tuple[float, float], tuple[float, float, float], np.ndarray]:
    import SimpleITK as sitk

    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    reader.SetImageIO("NiftiImageIO")
    try:
        with itk_warnings_as_notes(notes):
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
