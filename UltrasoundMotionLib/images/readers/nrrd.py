"""Reader of NRRD sequences: .nrrd, .nhdr, Slicer's .seq.nrrd, PLUS' .igs.nrrd.

Format: https://teem.sourceforge.net/nrrd/format.html; Slicer's fields: vtkMRMLVolumeSequenceStorageNode.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

import numpy as np

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.images.colour import LUMINANCE_NOTE
from UltrasoundMotionLib.images.image_sequence import ImageSequence
from UltrasoundMotionLib.images.readers.axes import (
    SPACING_KEY,
    TIME_KINDS,
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
    increasing_times,
    plus_notes,
    times_from_timestamps,
)
from UltrasoundMotionLib.images.readers.stored_frames import PixelBlock, StoredFrames, check_pixels, load_pixels
from UltrasoundMotionLib.input_files import check_regular_file

_TYPES = {
    **dict.fromkeys(("signed char", "int8", "int8_t"), "i1"),
    **dict.fromkeys(("uchar", "unsigned char", "uint8", "uint8_t"), "u1"),
    **dict.fromkeys(("short", "short int", "signed short", "signed short int", "int16", "int16_t"), "i2"),
    **dict.fromkeys(("ushort", "unsigned short", "unsigned short int", "uint16", "uint16_t"), "u2"),
    **dict.fromkeys(("int", "signed int", "int32", "int32_t"), "i4"),
    **dict.fromkeys(("uint", "unsigned int", "uint32", "uint32_t"), "u4"),
    **dict.fromkeys(
        ("longlong", "long long", "long long int", "signed long long", "signed long long int", "int64", "int64_t"), "i8"
    ),
    **dict.fromkeys(("ulonglong", "unsigned long long", "unsigned long long int", "uint64", "uint64_t"), "u8"),
    "float": "f4",
    "double": "f8",
}
_ENCODINGS = {
    "raw": "raw",
    "gz": "gzip",
    "gzip": "gzip",
    "bz2": "bzip2",
    "bzip2": "bzip2",
    "txt": "text",
    "text": "text",
    "ascii": "text",
}
_MOST_DIMENSIONS = 16
_LONGEST_LINE = 2**24
_NAMED_COLOUR = re.compile("color|RGB")
_COMPONENT_KINDS = re.compile(r"(.*-)?(vector|color|normal|gradient)|RGB.*|RGBA.*|complex|quaternion")
_SECONDS = {"s": 1.0, "sec": 1.0, "second": 1.0, "seconds": 1.0, "ms": 1e-3, "msec": 1e-3, "us": 1e-6}
_LPS_SIGN = {"right": -1.0, "left": 1.0, "anterior": -1.0, "posterior": 1.0, "inferior": -1.0, "superior": 1.0}


@dataclass(frozen=True)
class NrrdHeader:
    """Fields (`name: value`, names in lower case) and key/value pairs (`name:=value`); `end` is the byte after them."""

    path: Path
    fields: dict[str, str]
    pairs: dict[str, str]
    end: int

    @property
    def sizes(self) -> list[int]:
        """The sizes of the axes, fastest first."""
        try:
            dimension = int(self.fields["dimension"])
            sizes = [int(word) for word in self.fields["sizes"].split()]
            if len(sizes) != dimension or not 1 <= dimension <= _MOST_DIMENSIONS:
                raise ValueError
        except ValueError:
            raise InputError(
                f"{self.path}: sizes {self.fields['sizes'][:80]!r} do not fit dimension "
                f"{self.fields['dimension'][:80]!r}"
            ) from None
        if min(sizes) < 1:
            raise InputError(f"{self.path}: sizes are {self.fields['sizes']}: zero frames or pixels")
        return sizes

    def per_axis(self, name: str) -> list[str | None]:
        """Returns one entry per axis of a field such as `kinds`, None for an axis without one."""
        words = [quoted or plain for quoted, plain in re.findall(r'"([^"]*)"|(\S+)', self.fields.get(name, ""))]
        values = [None if word in ("", "???", "none", "NaN", "nan") else word for word in words]
        count = len(self.sizes)
        return (values + [None] * count)[:count]


def read_nrrd(path: Path) -> ImageSequence:
    """Reads a NRRD file as a sequence; the time axis is found by `sequence_axes`.

    Frame times come from Slicer's `axis N index values` or a time axis with spacing and unit, else from PLUS' Timestamp
    fields. The geometry of any NRRD space is converted to LPS; a file without a named space is taken as LPS.

    Raises:
        InputError: not a NRRD file, a header that contradicts itself, or fewer pixels than it declares.
    """
    header = nrrd_header(path)
    sizes = header.sizes
    kinds = header.per_axis("kinds")
    component, kinds = _component_axis(header, sizes, kinds)
    block = pixel_block(header, tuple(reversed(sizes)))
    kept = [axis for axis in range(len(sizes)) if axis != component]
    axes = sequence_axes(path, [sizes[axis] for axis in kept], [kinds[axis] for axis in kept])
    spacing, origin, direction = _geometry(
        header, kept[axes.x], kept[axes.y], None if axes.through is None else kept[axes.through]
    )
    frames = StoredFrames(
        arrange(load_pixels(path, block), axes, None if component is None else len(sizes) - 1 - component)
    )
    fields = frame_fields(header.pairs, frames.shape[0])
    times, time_notes = (None, ()) if axes.time is None else _times(header, kept[axes.time], frames.shape[0])
    if times is None and not time_notes:
        times, time_notes = times_from_timestamps(fields)
    spacing_mm, spacing_notes = calibrated_spacing(spacing, header.pairs.get(SPACING_KEY))
    colour = component is not None and sizes[component] > 2
    colour_notes: tuple[str, ...] = (LUMINANCE_NOTE,) if colour else ()
    if component is not None and not _NAMED_COLOUR.search(kinds[component] or ""):
        colour_notes += check_colour(path, sizes[component], block.dtype, frames.shape[0])
    axis_notes = axes.notes(frames.shape[0], times, fields)
    notes = (*axis_notes, *spacing_notes, *time_notes, *plus_notes(header.pairs, fields), *colour_notes)
    return ImageSequence(frames, spacing_mm, times, origin, direction, path.name.split(".")[0], path, fields, notes)


def nrrd_header(path: Path) -> NrrdHeader:
    """Reads fields and key/value pairs of a NRRD header, attached or detached (.nhdr).

    Raises:
        InputError: no NRRD file, a line without end, a header without dimension, sizes, type or encoding.
    """
    fields: dict[str, str] = {}
    pairs: dict[str, str] = {}
    with path.open("rb") as file:
        if not re.match(rb"NRRD000\d", file.readline(64)):
            raise InputError(f"{path}: is not a NRRD file: it does not start with NRRD")
        while line := file.readline(_LONGEST_LINE):
            if not line.endswith(b"\n") and len(line) == _LONGEST_LINE:
                raise InputError(f"{path}: damaged: a line of its header is longer than {_LONGEST_LINE} bytes")
            text = line.decode("utf-8", "replace").rstrip("\r\n")
            if not text:
                break
            # a key/value pair has := before any other colon-space
            match = re.match(r"([^:#][^:]*):(=|\s)\s*(.*)", text)
            if match and match[2] == "=":
                pairs[match[1]] = match[3].replace("\\n", "\n").replace("\\\\", "\\")
            elif match:
                fields[match[1].strip().lower()] = match[3].strip()
        end = file.tell()
    for key in ("dimension", "sizes", "type", "encoding"):
        if key not in fields:
            raise InputError(f"{path}: not a NRRD file, or truncated: its header has no {key}")
    return NrrdHeader(path, fields, pairs, end)


def _component_axis(
    header: NrrdHeader, sizes: list[int], kinds: list[str | None]
) -> tuple[int | None, list[str | None]]:
    """Returns the axis of colour components, if any, and the kinds.

    A `vector` axis that counts frames (of older writers) becomes a `list`.
    """
    found = [axis for axis, kind in enumerate(kinds) if kind and _COMPONENT_KINDS.fullmatch(kind)]
    if len(found) > 1:
        raise InputError(f"{header.path}: has {len(found)} component axes, expected one")
    if not found:
        return None, kinds
    axis = found[0]
    marked = any(kind in TIME_KINDS for kind in kinds)
    planes = sum(size > 1 for size in sizes) - (sizes[axis] > 1)
    # a sequence of Slicer's that would be one picture in colour is one of frames
    frames = header.path.name.lower().endswith(".seq.nrrd") and planes == 2 and "vector" in (kinds[axis] or "")
    if not marked and (sizes[axis] > 4 or frames or f"axis {axis} index values" in header.pairs):
        return None, [*kinds[:axis], "list", *kinds[axis + 1 :]]
    if sizes[axis] > 4:
        raise InputError(f"{header.path}: has {sizes[axis]} components a pixel, expected 1 to 4")
    return axis, kinds


def pixel_block(header: NrrdHeader, shape: tuple[int, ...]) -> PixelBlock:
    """Finds the pixels of a NRRD file: in which file, from which byte on, of which type and encoding.

    Args:
        shape: of the array, slowest axis first.

    Raises:
        InputError: a type, an encoding or several files that are not supported; lines or bytes to skip that do not
            fit.
    """
    path, fields = header.path, header.fields
    kind = _TYPES.get(fields["type"].lower())
    encoding = _ENCODINGS.get(fields["encoding"].lower())
    if kind is None or encoding is None:
        raise InputError(f"{path}: type {fields['type']!r} with encoding {fields['encoding']!r} is not supported")
    dtype = np.dtype((">" if fields.get("endian", "little").lower() == "big" else "<") + kind)
    name = fields.get("data file", fields.get("datafile"))
    data_path, offset = (path, header.end) if name is None else (path.parent / name, 0)
    if name is not None and (name.startswith("LIST") or "%" in name):
        raise InputError(
            f"{path}: its pixels are in several files ({name}), which is not supported; combine them into one .nrrd"
        )
    byte_skip, line_skip = (
        header_number(
            path, f"{unit} skip", fields.get(f"{unit} skip", fields.get(f"{unit}skip", "0")), int, minimum=minimum
        )
        for unit, minimum in (("byte", -1), ("line", 0))
    )
    if encoding != "raw" and (byte_skip or line_skip):
        raise InputError(f"{path}: byte skip and line skip with encoding {fields['encoding']} are not supported")
    if name is not None and data_path.exists():
        check_regular_file(data_path)
    block = PixelBlock(data_path, offset, dtype, shape, encoding)
    if not data_path.exists() or not (byte_skip or line_skip):
        return block
    with data_path.open("rb") as file:
        file.seek(offset)
        for _ in range(line_skip):
            if not file.readline():
                raise InputError(f"{path}: line skip is {line_skip}, but its data has fewer lines")
        offset = file.tell() + byte_skip if byte_skip >= 0 else data_path.stat().st_size - block.size_bytes
    return PixelBlock(data_path, max(0, offset), dtype, shape, encoding)


def check_nrrd(path: Path) -> None:
    """Checks a NRRD file before ITK reads it: ITK passes over damaged and missing pixels, and wraps numbers around.

    Raises:
        InputError: as `read_nrrd`; damaged, or with values that are not finite.
    """
    header = nrrd_header(path)
    sizes = header.sizes
    _check_geometry(header)
    check_pixels(path, pixel_block(header, tuple(reversed(sizes))))


def _check_geometry(header: NrrdHeader) -> None:
    """Checks that the numbers of spacings, directions and origin are finite.

    Raises:
        InputError: they are not.
    """
    for vector in _vectors(header, header.fields.get("space directions", "") + header.fields.get("space origin", "")):
        if vector is not None and not np.all(np.isfinite(vector)):
            raise InputError(f"{header.path}: its space directions or origin hold values that are not finite")
    for vector in _vectors(header, header.fields.get("space directions", "")):
        if vector is not None and not vector.any():
            raise InputError(f"{header.path}: its space directions give an axis no length")
    for axis, word in enumerate(header.per_axis("spacings")):
        if word is not None and header.sizes[axis] > 1:
            header_number(header.path, "spacings", word, float)


def _vectors(header: NrrdHeader, text: str) -> list[np.ndarray | None]:
    try:
        return [
            None if match == "none" else np.array([float(word) for word in match.strip("()").split(",")])
            for match in re.findall(r"\([^)]*\)|none", text)
        ]
    except ValueError:
        raise InputError(f"{header.path}: {text!r} is not a list of vectors") from None


def _geometry(
    header: NrrdHeader, x: int, y: int, through: int | None
) -> tuple[tuple[float, float], tuple[float, float, float], np.ndarray]:
    words = header.fields.get("space", "").lower().replace("_", "-").split("-")
    if len(words) == 1 and re.fullmatch(r"[rl][ap][is]t?", words[0]):
        words = [
            {"r": "right", "l": "left", "a": "anterior", "p": "posterior", "i": "inferior", "s": "superior"}[letter]
            for letter in words[0][:3]
        ]
    sign = np.array([_LPS_SIGN.get(word, 1.0) for word in words[:3]] + [1.0] * (3 - len(words[:3])))

    def to_lps(vector: np.ndarray) -> np.ndarray:
        return sign * np.pad(vector[:3], (0, max(0, 3 - len(vector))))

    count = len(header.sizes)
    steps: list[np.ndarray | None] = [None] * count
    if "space directions" in header.fields:
        vectors = _vectors(header, header.fields["space directions"])
        steps = [None if vector is None else to_lps(vector) for vector in vectors]
        if len(steps) != count:
            raise InputError(f"{header.path}: {count} axes but {len(steps)} space directions")
    else:
        spacings = header_numbers(
            header.path, "spacings", " ".join(value or "1" for value in header.per_axis("spacings")), float, count
        )
        steps[x], steps[y] = spacings[x] * np.eye(3)[0], spacings[y] * np.eye(3)[1]
    x_step, y_step = steps[x], steps[y]
    if x_step is None or y_step is None:
        raise InputError(f"{header.path}: its image axes {x} and {y} have no space direction")
    spacing, direction = plane_geometry(header.path, x_step, y_step, None if through is None else steps[through])
    origin = next(iter(_vectors(header, header.fields.get("space origin", "(0,0,0)"))), None)
    origin_x, origin_y, origin_z = np.zeros(3) if origin is None else to_lps(origin)
    return spacing, (origin_x, origin_y, origin_z), direction


def _times(header: NrrdHeader, axis: int, frames: int) -> tuple[np.ndarray | None, tuple[str, ...]]:
    # Slicer numbers the axes without the components, so in colour its entries are one axis off: any axis is accepted
    unit, label = (
        header.per_axis(name)[axis] or next(filter(None, header.per_axis(name)), None) for name in ("units", "labels")
    )
    values = next((value for key, value in header.pairs.items() if re.fullmatch(r"axis \d+ index values", key)), None)
    if values is None:
        spacing = header.per_axis("spacings")[axis]
        if spacing is None or unit not in _SECONDS:
            return None, ()
        times = np.arange(frames) * header_numbers(header.path, "spacings", spacing, float, 1)[0] * _SECONDS[unit]
    else:
        texts = [unquote(word) for word in values.split()]
        numeric = (
            next((value for key, value in header.pairs.items() if re.fullmatch(r"axis \d+ index type", key)), "numeric")
            == "numeric"
        )
        if not numeric or (unit not in _SECONDS and not (unit is None and label == "time")):
            index = f"{label or 'values'} in {unit or 'no unit'}"
            return None, (f"frame rate unknown: the sequence is indexed by {index}, not by time",)
        try:
            times = np.array([float(text) for text in texts]) * _SECONDS.get(unit or "s", 1.0)
        except ValueError:
            return None, ("frame rate unknown: the index values are not numbers",)
        if len(times) != frames:
            return None, (f"frame rate unknown: {len(times)} index values for {frames} frames",)
    return increasing_times(times, "the index values" if values else "the spacing of the time axis")
