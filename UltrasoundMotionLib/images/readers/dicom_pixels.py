"""Pixel data of a DICOM file, one frame at a time: its byte ranges, and their decoding to grey or colour."""

from __future__ import annotations

import tempfile
import warnings
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Literal

import numpy as np

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.images.colour import LUMINANCE_NOTE, luminance

if TYPE_CHECKING:
    import pydicom

_ITEM, _SEQUENCE_END = b"\xfe\xff\x00\xe0", b"\xfe\xff\xdd\xe0"
_UNDEFINED = 0xFFFFFFFF
_COPIED = (
    "SamplesPerPixel", "PhotometricInterpretation", "PlanarConfiguration", "Rows", "Columns", "BitsAllocated",
    "BitsStored", "HighBit", "PixelRepresentation", "RedPaletteColorLookupTableDescriptor",
    "GreenPaletteColorLookupTableDescriptor", "BluePaletteColorLookupTableDescriptor",
    "RedPaletteColorLookupTableData", "GreenPaletteColorLookupTableData", "BluePaletteColorLookupTableData",
)  # fmt: skip


@dataclass(frozen=True)
class PixelLayout:
    """The byte ranges (offset, length) of each frame; one per frame unless it is fragmented."""

    ranges: tuple[tuple[tuple[int, int], ...], ...]
    encapsulated: bool
    value_representation: str = "OB"

    @property
    def frames(self) -> int:
        """The number of frames."""
        return len(self.ranges)


def locate_pixels(path: Path) -> tuple[pydicom.Dataset, PixelLayout]:
    """Reads the dataset without its pixel data, and locates the frames without decoding them.

    Raises:
        InputError: not DICOM, no pixels, or fewer than the header declares.
    """
    import pydicom
    from pydicom.errors import InvalidDicomError

    try:
        with path.open("rb") as file, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            dataset = pydicom.dcmread(file, stop_before_pixels=True)
            start = file.tell()
            syntax = dataset.file_meta.get("TransferSyntaxUID")
            if syntax is None:
                raise InputError(f"{path}: is truncated, or names no transfer syntax by which its pixels could be read")
            if syntax.is_deflated:
                raise InputError(
                    f"{path}: is a deflated DICOM file, which is not supported; write it again uncompressed"
                )
            rows, columns, bits = (dataset.get(name) for name in ("Rows", "Columns", "BitsAllocated"))
            if not rows or not columns or not bits:
                raise InputError(
                    f"{path}: is DICOM ({dataset.get('Modality', 'no modality')}) but holds no picture, or is truncated"
                )
            if bits not in (8, 16, 32):
                raise InputError(f"{path}: has {bits} bits a pixel, expected 8, 16 or 32")
            frames = _frame_count(path, dataset)
            value_representation = _skip_element_header(path, file, start, dataset)
            if syntax.is_encapsulated:
                return dataset, PixelLayout(_encapsulated_frames(path, file, frames), True)
            return dataset, PixelLayout(_native_frames(path, file, dataset, frames), False, value_representation)
    except InvalidDicomError:
        raise InputError(f"{path}: is not a DICOM file") from None
    except InputError:
        raise
    except Exception as error:  # pydicom's parser raises EOFError, ValueError, KeyError, struct.error ...
        raise InputError(f"{path}: cannot be read as DICOM, damaged or truncated: {_one_line(error)}") from None


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__


def _frame_count(path: Path, dataset: pydicom.Dataset) -> int:
    value = dataset.get("NumberOfFrames", 1)
    frames = 1 if value in (None, "") else int(value)
    if frames < 1:
        raise InputError(f"{path}: zero frames: NumberOfFrames is {value}")
    return frames


def _skip_element_header(path: Path, file: BinaryIO, start: int, dataset: pydicom.Dataset) -> str:
    """Moves `file` from the tag of Pixel Data to its value, and returns its value representation."""
    file.seek(start)
    head = file.read(8)
    implicit, little_endian = dataset.original_encoding
    order: Literal["little", "big"] = "little" if little_endian else "big"
    if len(head) < 8 or (int.from_bytes(head[:2], order), int.from_bytes(head[2:4], order)) != (0x7FE0, 0x0010):
        raise InputError(f"{path}: holds no pixel data, or is truncated")
    if implicit:  # detected by pydicom: some files contradict their own transfer syntax
        return "OW"
    file.read(4)
    return head[4:6].decode("latin-1")


def _native_frames(path: Path, file: BinaryIO, dataset: pydicom.Dataset, frames: int) -> tuple:
    samples = int(dataset.get("SamplesPerPixel", 1))
    length = dataset.Rows * dataset.Columns * samples * (dataset.BitsAllocated // 8)
    if dataset.get("PhotometricInterpretation") == "YBR_FULL_422":
        length = length // 3 * 2
    start = file.tell()
    available = max(0, path.stat().st_size - start)
    if available < length * frames:
        raise InputError(f"{path}: truncated: {available // length} of {frames} frames found")
    return tuple(((start + frame * length, length),) for frame in range(frames))


def _encapsulated_frames(path: Path, file: BinaryIO, frames: int) -> tuple:
    """Returns the byte ranges of every frame.

    With as many fragments as frames, each fragment is a frame; otherwise the basic offset table assigns them.
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
    if frames == 1 and fragments:
        return (tuple(fragments),)
    if len(fragments) < frames:
        raise InputError(f"{path}: truncated: {len(fragments)} of {frames} frames found")
    if table_length != 4 * frames:
        raise InputError(
            f"{path}: has {len(fragments)} fragments for {frames} frames and no offset table that assigns them"
        )
    file.seek(table_at)
    first = fragments[0][0] - 8
    starts = [first + offset for offset in np.frombuffer(file.read(table_length), dtype="<u4").tolist()]
    ranges = [
        tuple(item for item in fragments if low <= item[0] - 8 < high)
        for low, high in zip(starts, [*starts[1:], end], strict=True)
    ]
    if not all(ranges):
        raise InputError(f"{path}: its table of frame offsets does not fit its fragments")
    return tuple(ranges)


class DicomFrames:
    """The frames of a DICOM file, a `FrameSource` and `ColourFrameSource`."""

    def __init__(self, path: Path, dataset: pydicom.Dataset, layout: PixelLayout) -> None:
        self._path, self._layout = path, layout
        self._syntax = dataset.file_meta.TransferSyntaxUID
        self._elements = {name: dataset[name] for name in _COPIED if name in dataset}
        self._little_endian = self._syntax.is_little_endian
        self.photometric = str(dataset.get("PhotometricInterpretation", "") or "MONOCHROME2")
        slope, intercept = (
            float(dataset.get(name) or default) for name, default in (("RescaleSlope", 1.0), ("RescaleIntercept", 0.0))
        )
        self._rescale = None if (slope, intercept) == (1.0, 0.0) else (slope, intercept)
        self._bits = int(dataset.get("BitsStored") or dataset.BitsAllocated)
        self._signed = bool(dataset.get("PixelRepresentation"))
        self._coloured = int(dataset.get("SamplesPerPixel", 1)) >= 3 or self.photometric == "PALETTE COLOR"
        self.shape = (layout.frames, int(dataset.Rows), int(dataset.Columns))
        eight_bit = dataset.BitsAllocated == 8 and not self._signed and self._rescale is None
        self.dtype = np.dtype(np.uint8) if eight_bit or self._coloured else np.dtype(np.float32)
        self.notes = (LUMINANCE_NOTE,) if self._coloured else ()

    def __getitem__(self, index: int) -> np.ndarray:
        if self._coloured:
            return luminance(self._colour(index))
        pixels = self._decode(index)
        if self.photometric == "MONOCHROME1":
            pixels = (-1 if self._signed else 2**self._bits - 1) - pixels.astype(np.int64)
        if self._rescale is not None:
            pixels = pixels * self._rescale[0] + self._rescale[1]
        return pixels.astype(self.dtype)

    def colour_frame(self, index: int) -> np.ndarray | None:
        """Returns frame `index` as RGB (H, W, 3) uint8, or None if the file is grey."""
        return self._colour(index) if self._coloured else None

    def _colour(self, index: int) -> np.ndarray:
        pixels = self._decode(index)
        bits = self._bits
        if self.photometric == "PALETTE COLOR" and pixels.ndim == 2:  # GDCM applies the palette itself
            from pydicom.pixels import apply_color_lut

            pixels = apply_color_lut(pixels, self._dataset(b""))
            bits = 8 * pixels.dtype.itemsize
        if pixels.dtype != np.uint8:
            pixels = (pixels >> max(0, bits - 8)).astype(np.uint8)
        return pixels[..., :3]

    def _dataset(self, pixel_bytes: bytes) -> pydicom.Dataset:
        """Returns a dataset of one frame."""
        import pydicom
        from pydicom.dataset import FileMetaDataset

        dataset = pydicom.Dataset()
        dataset.file_meta = FileMetaDataset()
        dataset.file_meta.TransferSyntaxUID = self._syntax
        dataset.set_original_encoding(self._syntax.is_implicit_VR, self._little_endian)
        for name, element in self._elements.items():
            dataset[name] = element
        dataset.add_new("PixelData", self._layout.value_representation, pixel_bytes)
        dataset["PixelData"].is_undefined_length = self._layout.encapsulated
        return dataset

    def _decode(self, index: int) -> np.ndarray:
        """Decodes frame `index` as stored, (H, W) or RGB (H, W, 3)."""
        from pydicom.encaps import encapsulate
        from pydicom.pixels import get_decoder

        if index < 0:
            index += self.shape[0]
        with self._path.open("rb") as file:
            parts = []
            for offset, length in self._layout.ranges[index]:
                file.seek(offset)
                parts.append(file.read(length))
        data = b"".join(parts)
        dataset = self._dataset(encapsulate([data], has_bot=False) if self._layout.encapsulated else data)
        # pydicom's plugins raise any exception; GDCM then decodes the frame or reports the error
        with warnings.catch_warnings(), suppress(Exception):
            warnings.simplefilter("ignore")
            return get_decoder(self._syntax).as_array(dataset, index=0)[0]
        return self._decode_with_gdcm(index, dataset)

    def _decode_with_gdcm(self, index: int, dataset: pydicom.Dataset) -> np.ndarray:
        """Decodes a frame with GDCM, through SimpleITK and a temporary single-frame DICOM file."""
        import SimpleITK as sitk
        from pydicom.uid import SecondaryCaptureImageStorage, generate_uid

        dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = SecondaryCaptureImageStorage
        dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid()
        with tempfile.TemporaryDirectory(prefix="ultrasound-motion-") as folder:
            path = Path(folder) / "frame.dcm"
            dataset.save_as(path, enforce_file_format=True)
            try:
                image = sitk.ReadImage(str(path))
            except RuntimeError:
                name = self._syntax.name
                raise InputError(
                    f"{self._path}: frame {index} cannot be decoded: {name} is damaged or not supported"
                ) from None
        array = sitk.GetArrayFromImage(image)
        return array[0] if image.GetDimension() == 3 else array
