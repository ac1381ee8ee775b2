"""The header of a DICOM file and the byte ranges of its frames, read without decoding a pixel."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Literal

import numpy as np

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.images.readers.dicom.functional_groups import text
from UltrasoundMotionLib.images.readers.dicom.transfer_syntaxes import check_can_be_decoded

if TYPE_CHECKING:
    import pydicom

DICOM_ENDINGS = (".dcm", ".dicom", ".ima")
_ITEM = b"\xfe\xff\x00\xe0"
_UNDEFINED = 0xFFFFFFFF
_STREAM_STARTS = (b"\xff\xd8\xff", b"\xff\x4f\xff\x51")
_MOST_WARNINGS = 3
_HALVED_CHROMA = ("YBR_FULL_422", "YBR_PARTIAL_422")


@dataclass(frozen=True)
class DicomFile:
    """A DICOM file whose frames have been located.

    Attributes:
        path: the file.
        dataset: its attributes before the pixel data.
        ranges: the byte ranges (offset, length) of each frame; one per frame unless it is fragmented.
        value_representation: of the pixel data, which decides the byte order of 8-bit pixels in big-endian files.
        halved_chroma: True if two neighbouring pixels share their colour in uncompressed pixel data.
        notes: remarks for the user, one line each.
    """

    path: Path
    dataset: pydicom.Dataset
    ranges: tuple[tuple[tuple[int, int], ...], ...]
    value_representation: str = "OB"
    halved_chroma: bool = False
    notes: tuple[str, ...] = ()

    @property
    def frames(self) -> int:
        """The number of frames."""
        return len(self.ranges)

    def frame_bytes(self, index: int) -> bytes:
        """Returns the stored bytes of a frame, its fragments joined."""
        parts = []
        with self.path.open("rb") as file:
            for offset, length in self.ranges[index]:
                file.seek(offset)
                parts.append(file.read(length))
        return b"".join(parts)


def is_dicom(path: Path) -> bool:
    """Returns True if the file has the DICOM prefix."""
    with path.open("rb") as file:
        return file.read(132)[128:] == b"DICM"


def open_dicom(path: Path) -> DicomFile:
    """Reads the attributes and locates the frames, without decoding them.

    Raises:
        InputError: not DICOM, no pixels, fewer or more than the header declares, or compressed in a way that nothing
            here decodes.
    """
    import pydicom
    from pydicom.errors import InvalidDicomError

    notes: list[str] = []
    try:
        with path.open("rb") as file, warnings_as_notes(notes):
            dataset = pydicom.dcmread(file, stop_before_pixels=True)
            start = file.tell()
            syntax = dataset.file_meta.get("TransferSyntaxUID")
            if syntax is None:
                raise InputError(f"{path}: is truncated, or names no transfer syntax by which its pixels could be read")
            rows, columns, bits = (dataset.get(name) for name in ("Rows", "Columns", "BitsAllocated"))
            if not rows or not columns or not bits:
                modality = text(dataset, "Modality") or "no modality"
                raise InputError(f"{path}: is DICOM ({modality}) but holds no picture, or is truncated")
            check_can_be_decoded(path, syntax)
            if bits not in (8, 16, 32):
                raise InputError(f"{path}: has {bits} bits a pixel, expected 8, 16 or 32")
            frames = _frame_count(path, dataset)
            value_representation, length = _read_element_header(path, file, start, dataset)
            if syntax.is_encapsulated:
                ranges = _encapsulated_frames(path, file, frames, dataset)
                return DicomFile(path, dataset, ranges, value_representation, notes=tuple(notes))
            ranges, halved = _native_frames(path, file, dataset, frames, stated=length, notes=notes)
            return DicomFile(path, dataset, ranges, value_representation, halved, tuple(notes))
    except InvalidDicomError:
        raise InputError(f"{path}: is not a DICOM file (it lacks the prefix DICM)") from None
    except InputError:
        raise
    except Exception as error:  # pydicom's parser raises EOFError, ValueError, KeyError, struct.error ...
        raise InputError(f"{path}: cannot be read as DICOM, damaged or truncated: {one_line(error)}") from None


def one_line(error: Exception) -> str:
    """Returns the message of an exception in one line of at most 200 characters."""
    return " ".join(str(error).split())[:200] or type(error).__name__


@contextmanager
def warnings_as_notes(notes: list[str]) -> Iterator[None]:
    """Appends the different warnings that pydicom gives inside the block to `notes`, at most three."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    lines = dict.fromkeys(f"pydicom: {' '.join(str(warning.message).split())[:200]}" for warning in caught)
    new = [line for line in lines if line not in notes]
    notes += new[:_MOST_WARNINGS]
    if len(new) > _MOST_WARNINGS:
        notes.append(f"pydicom: {len(new) - _MOST_WARNINGS} more warnings about the header")


def _frame_count(path: Path, dataset: pydicom.Dataset) -> int:
    value = dataset.get("NumberOfFrames", 1)
    frames = 1 if value in (None, "") else int(value)
    if frames < 1:
        raise InputError(f"{path}: zero frames: NumberOfFrames is {value}")
    return frames


def _read_element_header(path: Path, file: BinaryIO, start: int, dataset: pydicom.Dataset) -> tuple[str, int]:
    """Moves `file` from the tag of Pixel Data to its value; returns its value representation and its length."""
    file.seek(start)
    head = file.read(8)
    implicit, little_endian = dataset.original_encoding
    order: Literal["little", "big"] = "little" if little_endian else "big"
    tag = (int.from_bytes(head[:2], order), int.from_bytes(head[2:4], order))
    if tag in ((0x7FE0, 0x0008), (0x7FE0, 0x0009)):
        raise InputError(f"{path}: holds floating-point pixel data, which are not supported; convert it to .nrrd")
    if len(head) < 8 or tag != (0x7FE0, 0x0010):
        raise InputError(f"{path}: holds no pixel data, or is truncated")
    # some files contradict their own transfer syntax
    if implicit or head[4:6] not in (b"OB", b"OW", b"UN"):
        return "OW", int.from_bytes(head[4:], order)
    return head[4:6].decode("latin-1"), int.from_bytes(file.read(4), order)


def _native_frames(
    path: Path, file: BinaryIO, dataset: pydicom.Dataset, frames: int, *, stated: int, notes: list[str]
) -> tuple[tuple, bool]:
    """Returns the byte ranges of uncompressed frames, and True if two pixels share their colour.

    Raises:
        InputError: fewer bytes than the header declares, or so many more that whole frames would be passed over.
    """
    whole = dataset.Rows * dataset.Columns * int(dataset.get("SamplesPerPixel") or 1) * (dataset.BitsAllocated // 8)
    start = file.tell()
    available = max(0, path.stat().st_size - start)
    stored = available if stated == _UNDEFINED else stated
    photometric = text(dataset, "PhotometricInterpretation")
    halved = photometric in _HALVED_CHROMA and stored < whole * frames
    length = whole // 3 * 2 if halved else whole
    if min(available, stored) < length * frames:
        raise InputError(f"{path}: truncated: {min(available, stored) // length} of {frames} frames found")
    if photometric in _HALVED_CHROMA and not halved:
        notes.append(f"the pixel data hold a colour for every pixel, although {photometric} means one for two")
    extra = stored - length * frames
    if extra >= length:
        raise InputError(
            f"{path}: its pixel data hold {stored / length:.4g} pictures of {dataset.Columns} x {dataset.Rows}, "
            f"but NumberOfFrames is {frames}: {volume_hint(dataset, stored // length, frames)}"
        )
    if extra > 1:
        notes.append(f"{extra} bytes after the last frame were not read")
    return tuple(((start + frame * length, length),) for frame in range(frames)), halved


def volume_hint(dataset: pydicom.Dataset, pictures: int, volumes: int) -> str:
    """Says which volumes a file holds whose frames are volumes, as far as that is known."""
    if pictures % volumes == 0 and pictures > volumes > 1:
        return (
            f"it seems to hold volumes ({volumes} x {pictures // volumes} slices of {dataset.Columns} x "
            f"{dataset.Rows}), not frames of one plane; export a two-dimensional clip"
        )
    return "which of them are the frames is not known; export the clip again"


def _encapsulated_frames(path: Path, file: BinaryIO, frames: int, dataset: pydicom.Dataset) -> tuple:
    """Returns the byte ranges of every frame of compressed pixel data.

    With as many fragments as frames, each fragment is a frame; otherwise the basic or extended offset table assigns
    them.
    """
    items: list[tuple[int, int]] = []
    end = path.stat().st_size
    while len(head := file.read(8)) == 8 and head[:4] == _ITEM:
        length = int.from_bytes(head[4:], "little")
        if length == _UNDEFINED or file.tell() + length > end:
            raise InputError(
                f"{path}: truncated: the pixels of frame {max(0, len(items) - 1)} of {frames} are cut short"
            )
        items.append((file.tell(), length))
        file.seek(length, 1)
    if not items:
        raise InputError(f"{path}: truncated: 0 of {frames} frames found")
    table_at, table_length = items[0]
    fragments = items[1:]
    if len(fragments) == frames:
        return tuple((fragment,) for fragment in fragments)
    if len(fragments) < frames:
        raise InputError(f"{path}: truncated: {len(fragments)} of {frames} frames found")
    if frames == 1:
        ranges: list[tuple] = [tuple(fragments)]
    else:
        starts = _frame_starts(file, table_at, table_length, frames, dataset)
        if starts is None:
            raise InputError(
                f"{path}: has {len(fragments)} fragments for {frames} frames and no offset table that assigns them"
            )
        first = fragments[0][0] - 8
        bounds = [first + offset for offset in starts]
        ranges = [
            tuple(item for item in fragments if low <= item[0] - 8 < high)
            for low, high in zip(bounds, [*bounds[1:], end], strict=True)
        ]
    if not all(ranges):
        raise InputError(f"{path}: its table of frame offsets does not fit its fragments")
    _check_one_picture_each(path, file, ranges, dataset)
    return tuple(ranges)


def _frame_starts(
    file: BinaryIO, table_at: int, table_length: int, frames: int, dataset: pydicom.Dataset
) -> list[int] | None:
    if table_length == 4 * frames:
        file.seek(table_at)
        return np.frombuffer(file.read(table_length), dtype="<u4").tolist()
    extended = dataset.get("ExtendedOffsetTable")
    if extended is not None and len(extended) == 8 * frames:
        return np.frombuffer(extended, dtype="<u8").tolist()
    return None


def _check_one_picture_each(path: Path, file: BinaryIO, ranges: list[tuple], dataset: pydicom.Dataset) -> None:
    """Raises InputError if the fragments of a frame hold several compressed pictures: decoders return the first."""
    pictures = 0
    for parts in ranges:
        for offset, _ in parts:
            file.seek(offset)
            pictures += file.read(4).startswith(_STREAM_STARTS)
    if pictures > len(ranges):
        raise InputError(
            f"{path}: its pixel data hold {pictures} compressed pictures, but NumberOfFrames is {len(ranges)}: "
            f"{volume_hint(dataset, pictures, len(ranges))}"
        )
