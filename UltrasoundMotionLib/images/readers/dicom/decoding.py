"""Decoding of one frame of a DICOM file to the components that it stores, before any conversion of colour.

Uncompressed frames are decoded here; compressed ones by the packages that pydicom uses, if they are installed, else by
GDCM, which comes with SimpleITK. Every decoder is asked for the stored components, so that all give the same.
"""

from __future__ import annotations

import tempfile
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.images.readers.codestream import (
    Codestream,
    ColourSpace,
    read_codestream,
    without_colour_transform,
)
from UltrasoundMotionLib.images.readers.dicom.pixel_layout import DicomFile, one_line
from UltrasoundMotionLib.images.readers.dicom.transfer_syntaxes import ENCAPSULATED_UNCOMPRESSED, RLE

if TYPE_CHECKING:
    import pydicom

_COPIED = ("PlanarConfiguration", "Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation")


class FrameDecoder:
    """Decodes the frames of a DICOM file.

    Attributes:
        samples: the number of components of a pixel, 1 or 3.
        bits: the number of bits that are used.
        signed: True if the pixels are signed.
    """

    def __init__(self, file: DicomFile) -> None:
        dataset = file.dataset
        self._file, self._syntax = file, dataset.file_meta.TransferSyntaxUID
        self._rows, self._columns = int(dataset.Rows), int(dataset.Columns)
        self._allocated = int(dataset.BitsAllocated)
        self._planar = int(dataset.get("PlanarConfiguration") or 0)
        self._elements = {name: dataset[name] for name in _COPIED if name in dataset}
        self.samples = int(dataset.get("SamplesPerPixel") or 1)
        self.signed = bool(dataset.get("PixelRepresentation"))
        self.bits = int(dataset.get("BitsStored") or self._allocated)
        high_bit = dataset.get("HighBit")
        self._lowest_bit = 0 if high_bit in (None, "") else int(high_bit) + 1 - self.bits
        if self.samples not in (1, 3):
            raise InputError(f"{file.path}: has {self.samples} components a pixel, expected 1 (grey) or 3 (colour)")
        if dataset.get("PixelRepresentation") not in (None, "", 0, 1):
            raise InputError(
                f"{file.path}: its header is damaged: PixelRepresentation is {dataset.PixelRepresentation}, expected 0"
                " (without sign) or 1 (with)"
            )
        if not 0 < self.bits <= self._allocated or not 0 <= self._lowest_bit <= self._allocated - self.bits:
            raise InputError(
                f"{file.path}: its header is damaged: {self.bits} bits up to bit {high_bit} do not fit into "
                f"{self._allocated}"
            )

    def decode(self, index: int) -> tuple[np.ndarray, ColourSpace | None]:
        """Decodes frame `index`: (H, W) or (H, W, 3) as stored, and the colour space that its own header names, if any.

        Raises:
            InputError: damaged, of another size than the file says, or not supported by any decoder.
        """
        data = self._file.frame_bytes(index)
        if not self._syntax.is_encapsulated or self._syntax == ENCAPSULATED_UNCOMPRESSED:
            return self._native(data, self._file.ranges[index][0][0]), None
        stream = read_codestream(data)
        if stream is not None:
            self._check(stream, index)
            if stream.kind == "JPEG" and stream.components == 3:
                data = without_colour_transform(data)
        pixels = self._compressed(data, index)
        expected = (self._rows, self._columns) if self.samples == 1 else (self._rows, self._columns, 3)
        if pixels.shape != expected:
            raise InputError(
                f"{self._file.path}: frame {index} has the shape {pixels.shape}, but the header says {expected}"
            )
        return pixels, stream.colour if stream else None

    def _check(self, stream: Codestream, index: int) -> None:
        where = f"{self._file.path}: frame {index}"
        if (stream.width, stream.height) != (self._columns, self._rows):
            raise InputError(
                f"{where} is {stream.width} x {stream.height} pixels, but the header says {self._columns} x "
                f"{self._rows}: frames of different sizes are no clip"
            )
        if stream.components != self.samples:
            raise InputError(f"{where} has {stream.components} components a pixel, but the header says {self.samples}")
        if not stream.complete:
            raise InputError(f"{where} cannot be decoded: its {stream.kind} stream is truncated")

    def _native(self, data: bytes, offset: int) -> np.ndarray:
        little_endian = self._file.dataset.original_encoding[1]
        if self._allocated == 8 and not little_endian and self._file.value_representation == "OW":
            data = self._swapped_bytes(data, offset)
        container = f"{'<' if little_endian else '>'}u{self._allocated // 8}"
        values = np.frombuffer(data, dtype=container).astype(container[1:], copy=False)
        if self._file.halved_chroma:
            return _whole_chroma(values, self._rows, self._columns)
        count = self._rows * self._columns * self.samples
        if len(values) < count:
            raise InputError(f"{self._file.path}: truncated: a frame holds {len(values)} of {count} values")
        values = values[:count]
        if self.samples == 1:
            return self._used_bits(values.reshape(self._rows, self._columns))
        if self._planar:
            return self._used_bits(np.moveaxis(values.reshape(3, self._rows, self._columns), 0, -1))
        return self._used_bits(values.reshape(self._rows, self._columns, 3))

    def _swapped_bytes(self, data: bytes, offset: int) -> bytes:
        """Returns 8-bit pixels that were stored as big-endian words of two pixels; a frame may start within a word."""
        first = (offset - self._file.ranges[0][0][0]) % 2
        length = first + len(data) + (first + len(data)) % 2
        with self._file.path.open("rb") as file:
            file.seek(offset - first)
            words = file.read(length).ljust(length, b"\0")
        return np.frombuffer(words, dtype="u1").reshape(-1, 2)[:, ::-1].tobytes()[first : first + len(data)]

    def _used_bits(self, values: np.ndarray) -> np.ndarray:
        """Removes the bits that are not used (overlays, for one), and gives signed pixels their sign."""
        if self.bits == self._allocated:
            return values.view(f"i{values.dtype.itemsize}") if self.signed else values
        top = self._allocated - self.bits
        values = values << (top - self._lowest_bit)
        return (values.view(f"i{values.dtype.itemsize}") if self.signed else values) >> top

    def _compressed(self, data: bytes, index: int) -> np.ndarray:
        from pydicom.encaps import encapsulate
        from pydicom.pixels import get_decoder

        dataset = self._single_frame(encapsulate([data], has_bot=False))
        reason = ""
        decoder = get_decoder(self._syntax)
        if decoder.is_available:
            # pydicom's plugins raise any exception; GDCM then decodes the frame, or both are reported
            with warnings.catch_warnings():
                # the warnings are about attributes that contradict the stream, which `_check` and the colour settle
                warnings.simplefilter("ignore")
                try:
                    return decoder.as_array(dataset, index=0, raw=True)[0]
                except Exception as error:
                    reason = one_line(error)
            if self._syntax == RLE:  # pydicom always decodes it, and GDCM takes damaged segments for whole ones
                raise InputError(f"{self._file.path}: frame {index} cannot be decoded: {reason}")
        return self._decode_with_gdcm(index, dataset, reason)

    def _single_frame(self, pixel_bytes: bytes) -> pydicom.Dataset:
        """Returns a dataset of one frame, whose colours no decoder converts."""
        import pydicom
        from pydicom.dataset import FileMetaDataset

        dataset = pydicom.Dataset()
        dataset.file_meta = FileMetaDataset()
        dataset.file_meta.TransferSyntaxUID = self._syntax
        dataset.set_original_encoding(self._syntax.is_implicit_VR, self._syntax.is_little_endian)
        for name, element in self._elements.items():
            dataset[name] = element
        dataset.SamplesPerPixel = self.samples
        dataset.PhotometricInterpretation = "MONOCHROME2" if self.samples == 1 else "RGB"
        if self.samples == 3 and "PlanarConfiguration" not in dataset:
            dataset.PlanarConfiguration = 0
        dataset.add_new("PixelData", "OB", pixel_bytes)
        dataset["PixelData"].is_undefined_length = True
        return dataset

    def _decode_with_gdcm(self, index: int, dataset: pydicom.Dataset, reason: str) -> np.ndarray:
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
                    f"{self._file.path}: frame {index} cannot be decoded: {name} is damaged or not supported"
                    f"{f' ({reason})' if reason else ''}"
                ) from None
        array = sitk.GetArrayFromImage(image)
        return array[0] if image.GetDimension() == 3 else array


def _whole_chroma(values: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """Returns (H, W, 3) of pixels stored as two luma samples and the colour of both (PS3.3 C.7.6.3.1.2)."""
    if columns % 2:
        raise InputError(f"an odd number of columns, {columns}, cannot share colour between two pixels")
    pairs = values.reshape(rows, columns // 2, 4)
    pixels = np.empty((rows, columns, 3), dtype=values.dtype)
    pixels[:, 0::2, 0], pixels[:, 1::2, 0] = pairs[..., 0], pairs[..., 1]
    pixels[..., 1], pixels[..., 2] = np.repeat(pairs[..., 2], 2, axis=1), np.repeat(pairs[..., 3], 2, axis=1)
    return pixels
