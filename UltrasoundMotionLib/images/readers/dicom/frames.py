"""The frames of a DICOM file as grey levels and as colours, whichever way the file stores them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.images.colour import LUMINANCE_NOTE, luminance
from UltrasoundMotionLib.images.readers.codestream import ColourSpace
from UltrasoundMotionLib.images.readers.dicom.decoding import FrameDecoder
from UltrasoundMotionLib.images.readers.dicom.functional_groups import frame_value, text
from UltrasoundMotionLib.images.readers.dicom.palette import Palette, read_palette
from UltrasoundMotionLib.images.readers.dicom.pixel_layout import DicomFile

if TYPE_CHECKING:
    import pydicom

_GREY = ("MONOCHROME1", "MONOCHROME2")
_FULL_RANGE = ("YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT")
_VIDEO_RANGE = ("YBR_PARTIAL_422", "YBR_PARTIAL_420")
_PALETTE = "PALETTE COLOR"
_GREY_WITHIN, _MOSTLY, _LEAST_CONTRAST = 6, 0.5, 4.0


class DicomFrames:
    """The frames of a DICOM file, a `FrameSource` and `ColourFrameSource`.

    Grey frames: MONOCHROME1 is inverted, so that high is bright; a Modality LUT or rescale slope and intercept (of the
    file, or of the frame) is applied; windows (VOI) are not. Colour frames have 8 bits a component.

    Attributes:
        shape: (T, H, W).
        dtype: of the frames that indexing returns, uint8 or float32.
        notes: remarks for the user; that on the colour space is made from the middle frame.
    """

    def __init__(self, file: DicomFile) -> None:
        dataset = file.dataset
        self._file, self._decoder = file, FrameDecoder(file)
        samples = self._decoder.samples
        stated = text(dataset, "PhotometricInterpretation").upper()
        self.photometric = stated or ("MONOCHROME2" if samples == 1 else "RGB")
        self._check_photometric(samples)
        self._palette: Palette | None = None
        if self.photometric == _PALETTE:
            self._palette = read_palette(file.path, dataset)
        self._coloured = samples == 3 or self._palette is not None
        self._modality_lut = _modality_lut(dataset)
        self._rescale = [_rescale(dataset, index) for index in range(file.frames if _has_frame_rescale(dataset) else 1)]
        self._plain = self._modality_lut is None and all(pair is None for pair in self._rescale)
        self.shape = (file.frames, int(dataset.Rows), int(dataset.Columns))
        eight_bit = dataset.BitsAllocated == 8 and not self._decoder.signed and self._plain
        self.dtype = np.dtype(np.uint8) if eight_bit or self._coloured else np.dtype(np.float32)
        notes = [LUMINANCE_NOTE] if self._coloured else []
        self._range: Literal["full", "video"] = "video" if self.photometric in _VIDEO_RANGE else "full"
        self._contents: ColourSpace | None = None
        if samples == 3:
            self._contents, contents_notes = self._colour_space()
            notes += contents_notes
        elif not self._coloured and "RedPaletteColorLookupTableDescriptor" in dataset:
            notes.append("its supplemental palette is not applied: coloured pixels have the grey level of their index")
        self.notes = tuple(notes)

    def _check_photometric(self, samples: int) -> None:
        path = self._file.path
        known = {1: (*_GREY, _PALETTE), 3: ("RGB", *_FULL_RANGE, *_VIDEO_RANGE)}
        if self.photometric not in known[1] + known[3]:
            raise InputError(
                f"{path}: its photometric interpretation {self.photometric} is not supported; export as RGB"
            )
        if self.photometric not in known[samples]:
            raise InputError(f"{path}: its header is damaged: {self.photometric} with {samples} component(s) a pixel")
        if samples == 3 and self._decoder.signed:
            raise InputError(f"{path}: its header is damaged: colour with signed components")

    def __getitem__(self, index: int) -> np.ndarray:
        if self._coloured:
            return luminance(self._colour(index))
        return self.values(index).astype(self.dtype)

    def values(self, index: int) -> np.ndarray:
        """Returns frame `index` of a grey file (H, W) with its exact values: as stored, or float64 if rescaled."""
        if index < 0:
            index += self.shape[0]
        if self._coloured:
            return luminance(self._colour(index))
        pixels = self._decoder.decode(index)[0]
        if self._modality_lut is not None:
            first, table = self._modality_lut
            pixels = table[np.clip(pixels.astype(np.int64) - first, 0, len(table) - 1)]
            return table.max() - pixels if self.photometric == "MONOCHROME1" else pixels
        if self.photometric == "MONOCHROME1":
            highest = -1 if self._decoder.signed else 2**self._decoder.bits - 1
            pixels = (highest - pixels.astype(np.int64)).astype(pixels.dtype)
        rescale = self._rescale[index if len(self._rescale) > 1 else 0]
        return pixels if rescale is None else pixels * rescale[0] + rescale[1]

    def colour_frame(self, index: int) -> np.ndarray | None:
        """Returns frame `index` as RGB (H, W, 3) uint8, or None if the file is grey."""
        return self._colour(index) if self._coloured else None

    def _colour(self, index: int) -> np.ndarray:
        if index < 0:
            index += self.shape[0]
        pixels, stream_says = self._decoder.decode(index)
        if self._palette is not None:
            return self._palette.apply(pixels)
        eight_bit = self._eight_bit(pixels)
        if (self._contents or stream_says or self._stated_space()) == "RGB":
            return eight_bit
        return _rgb(eight_bit, self._range)

    def _eight_bit(self, pixels: np.ndarray) -> np.ndarray:
        return (pixels >> max(0, self._decoder.bits - 8)).astype(np.uint8)

    def _stated_space(self) -> ColourSpace:
        return "RGB" if self.photometric == "RGB" else "YBR"

    def _colour_space(self) -> tuple[ColourSpace | None, list[str]]:
        """Returns the colour space that the pixels of the middle frame have, if it is evident, and notes.

        Grey pictures show it: the second and third components of Y'CbCr are then near 128, while all of RGB are alike.
        Otherwise a mark in the compressed stream decides, and without one what the file says.
        """
        try:
            pixels, stream_says = self._decoder.decode(self.shape[0] // 2)
        except InputError:
            return None, []  # said when the frame is read
        stated = self._stated_space()
        assumed = stream_says or stated
        evident = _evident_space(self._eight_bit(pixels).astype(np.float32), assumed)
        contents = None if evident == assumed else evident
        named = {"RGB": "RGB", "YBR": "Y'CbCr"}[evident]
        if evident != stated:
            return contents, [
                f"the pixels are {named}, although the file says {self.photometric}; they were read as {named}"
            ]
        if contents is not None:
            return contents, [f"the pixels are {named}, although the mark of their compressed stream says another"]
        return None, []


def _evident_space(pixels: np.ndarray, stated: ColourSpace) -> ColourSpace:
    """Returns the colour space of components (H, W, 3) of 8 bits where it is beyond doubt, otherwise the stated one.

    Most of an ultrasound picture is grey. In Y'CbCr, grey pixels of every brightness have a second and third component
    of about 128; in RGB, their components are alike.
    """
    first, second, third = (pixels[..., part] for part in range(3))
    if stated == "RGB":
        grey = np.maximum(np.abs(second - 128), np.abs(third - 128)) <= _GREY_WITHIN
    else:
        grey = np.maximum(np.abs(second - first), np.abs(third - first)) <= _GREY_WITHIN
    if grey.mean() < _MOSTLY or first[grey].std() < _LEAST_CONTRAST:
        return stated
    return "YBR" if stated == "RGB" else "RGB"


def _rgb(pixels: np.ndarray, levels: Literal["full", "video"]) -> np.ndarray:
    """Converts Y'CbCr (H, W, 3) uint8 to RGB (Rec. 601; DICOM PS3.3 C.7.6.3.1.2), with luma from 0 or from 16."""
    luma, blue, red = (pixels[..., part].astype(np.float32) for part in range(3))
    blue, red = blue - 128, red - 128
    if levels == "video":
        luma, blue, red = (luma - 16) * (255 / 219), blue * (255 / 224), red * (255 / 224)
    rgb = np.stack([luma + 1.402 * red, luma - 0.344136 * blue - 0.714136 * red, luma + 1.772 * blue], axis=-1)
    return np.clip(np.rint(rgb), 0, 255).astype(np.uint8)


def _has_frame_rescale(dataset: pydicom.Dataset) -> bool:
    return "PerFrameFunctionalGroupsSequence" in dataset


def _rescale(dataset: pydicom.Dataset, index: int) -> tuple[float, float] | None:
    """Returns the slope and intercept of a frame, or None if they change nothing."""
    slope, intercept = (
        frame_value(dataset, index, name, "PixelValueTransformationSequence")
        for name in ("RescaleSlope", "RescaleIntercept")
    )
    pair = (1.0 if slope in (None, "") else float(slope), 0.0 if intercept in (None, "") else float(intercept))
    if pair[0] == 0 or not np.all(np.isfinite(pair)):
        raise ValueError(f"RescaleSlope is {pair[0]:g} and RescaleIntercept {pair[1]:g}")
    return None if pair == (1.0, 0.0) else pair


def _modality_lut(dataset: pydicom.Dataset) -> tuple[int, np.ndarray] | None:
    """Returns the first index and the entries (N,) of the Modality LUT, if there is one (PS3.3 C.11.1)."""
    for item in list(dataset.get("ModalityLUTSequence") or [])[:1]:
        count, first, _ = (int(value) for value in item.LUTDescriptor)
        count = count % 2**16 or 2**16
        if dataset.get("PixelRepresentation"):
            first = (first + 2**15) % 2**16 - 2**15
        data = item.LUTData
        if isinstance(data, bytes):
            order = "<" if dataset.original_encoding[1] else ">"
            table = np.frombuffer(data, dtype=f"{order}u2").astype(np.uint16)
        else:
            table = np.atleast_1d(np.array(data, dtype=np.uint16))
        if len(table) < count:
            raise ValueError(f"its Modality LUT holds {len(table)} entries, too few for {count}")
        return first, table[:count]
    return None
