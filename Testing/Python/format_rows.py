"""Inputs of every kind, drawn, read, and set down as the tables of Docs/reference/formats.md.

`python Testing/Python/format_rows.py` writes the page anew; a test compares it with what the readers do.
"""

from __future__ import annotations

import io
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from pydicom.encaps import encapsulate
from pydicom.uid import UID, ExplicitVRBigEndian, JPEG2000Lossless, JPEGBaseline8Bit, RLELossless

from dicom_samples import AXIAL, dicom_file, frame_groups, region, slice_files
from format_row import CLIP, GREY, VOLUME, Row
from format_rows_images import METAIMAGE, NIFTI, NRRD, VIDEO

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "Docs" / "reference" / "formats.md"
STILL = GREY[:1]
RGB = np.repeat(GREY[..., None], 3, axis=-1)
STACK = [(0, 0, 2.0 * k) for k in range(4)]


def _dicom(pixels: np.ndarray = GREY, *options: object, **attributes: object) -> Callable[[Path], Path]:
    return lambda folder: dicom_file(folder / "s.dcm", pixels, *options, **attributes)


def _slices(positions: list, **options: object) -> Callable[[Path], Path]:
    return lambda folder: slice_files(folder / "series", positions, **options)


def _palette(segmented: bool = False, **more: object) -> dict:
    table = (np.arange(256) << 8).astype("<u2").tobytes()
    if segmented:
        table = np.array([0, 1, 0, 1, 255, 255 << 8], dtype="<u2").tobytes()
    names = ("Red", "Green", "Blue")
    start = "Segmented" if segmented else ""
    return (
        {f"{name}PaletteColorLookupTableDescriptor": [256, 0, 16] for name in names}
        | {f"{start}{name}PaletteColorLookupTableData": table for name in names}
        | more
    )


def _compressed(kind: str, photometric: str, syntax: UID) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        from PIL import Image

        frames = np.repeat(np.repeat(RGB, 8, axis=1), 8, axis=2)
        streams = []
        for frame in frames:
            file = io.BytesIO()
            Image.fromarray(frame).save(file, kind, **({"mct": 1, "no_jp2": True} if kind == "JPEG2000" else {}))
            streams.append(file.getvalue())
        return dicom_file(folder / "s.dcm", np.zeros(frames.shape, np.uint8), photometric, syntax, encapsulate(streams))

    return make


def _run_lengths(folder: Path) -> Path:
    from pydicom.pixels.encoders import RLELosslessEncoder

    described = {"rows": 6, "columns": 8, "samples_per_pixel": 1, "bits_allocated": 8, "bits_stored": 8}
    described |= {"pixel_representation": 0, "photometric_interpretation": "MONOCHROME2", "number_of_frames": 1}
    streams = [RLELosslessEncoder.encode(frame, encoding_plugin="pydicom", **described) for frame in GREY]
    return dicom_file(folder / "s.dcm", GREY, syntax=RLELossless, data=encapsulate(streams))


def _of_syntax(syntax: str) -> Callable[[Path], Path]:
    """A file whose header names another transfer syntax."""

    def make(folder: Path) -> Path:
        path = dicom_file(folder / "s.dcm", GREY)
        whole = path.read_bytes()
        stored, longer = b"1.2.840.10008.1.2.1\0", (syntax + "\0" * (len(syntax) % 2)).encode()
        at = whole.index(stored, 144)
        length = int.from_bytes(whole[140:144], "little") + len(longer) - len(stored)
        head = whole[:140] + length.to_bytes(4, "little") + whole[144 : at - 2]
        path.write_bytes(head + len(longer).to_bytes(2, "little") + longer + whole[at + len(stored) :])
        return path

    return make


def _pictures(names: tuple[str, ...], mode: str = "L", **options: object) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        from PIL import Image

        (folder / "frames").mkdir()
        for name in names:
            array = GREY[0].astype(np.uint16) * 200 if mode == "I;16" else GREY[0]
            image = Image.fromarray(array)
            if mode not in ("L", "I;16"):
                image = image.convert(mode)
            image.save(folder / "frames" / name, **options)
        return folder / "frames" / names[0] if len(names) == 1 else folder / "frames"

    return make


_FOUR = tuple(f"{k:03d}.png" for k in range(4))
DICOM_PLACES = (
    Row("several frames, US or IVUS", _dicom(FrameTime=20), CLIP, "frames, times and pixel size"),
    Row("several frames, US, with a calibrated region",
        _dicom(SequenceOfUltrasoundRegions=[region(7, 5, RegionDataType=2)]), CLIP,
        "the pixel size of the 2D region in cm, of tissue or of colour flow"),
    Row("calibrated region and PixelSpacing that differ",
        _dicom(SequenceOfUltrasoundRegions=[region(7, 5)], PixelSpacing=[1.2, 1.2]), CLIP,
        "the pixel size is unknown, with a note"),
    Row("another modality, one file", _dicom(Modality="MR"), CLIP),
    Row("a folder with times of one slice, any modality", _slices([STACK[0]] * 3, each={"TriggerTime": [0, 30, 60]}),
        CLIP, "frames in the order of their times"),
    Row("a folder with the slices of a volume", _slices(STACK), CLIP),
    Row("frames that lie at several positions (3D ultrasound)",
        lambda folder: dicom_file(folder / "s.dcm", GREY, **frame_groups(STACK[:3], volume=True)), CLIP),
    Row("more pixels than the header says (3D + time of some vendors)",
        lambda folder: dicom_file(folder / "s.dcm", np.repeat(GREY, 4, axis=0), NumberOfFrames=3), CLIP),
    Row("a folder with the slices of a volume", _slices(STACK), VOLUME, "every slice where its own position says"),
    Row("several frames, each with its position", lambda folder: dicom_file(
        folder / "s.dcm", GREY, Modality="MR", **frame_groups(STACK[:3])), VOLUME, "the same"),
    Row("a still ultrasound image", _dicom(STILL, SequenceOfUltrasoundRegions=[region(7, 5)]), VOLUME,
        "2D, with the pixel size of the calibrated region"),
    Row("SpacingBetweenSlices that differs from the positions", _slices(STACK, SpacingBetweenSlices=5), VOLUME,
        "the positions count, with a note"),
    Row("a slice is missing", _slices([*STACK[:2], *STACK[3:], (0, 0, 8)]), VOLUME),
    Row("slices that are not evenly spaced", _slices([(0, 0, 0), (0, 0, 2), (0, 0, 5)]), VOLUME),
    Row("a tilted gantry", _slices([(0, k, 2.0 * k) for k in range(4)]), VOLUME),
    Row("several volumes in one series", _slices(STACK * 2, each={"TriggerTime": [0] * 4 + [40] * 4}), VOLUME),
    Row("a slice that is there twice", _slices([*STACK, STACK[1]]), VOLUME),
    Row("slices of several orientations (a localizer)",
        _slices(STACK, orientation=[AXIAL, AXIAL, (0, 1, 0, 0, 0, -1), (0, 1, 0, 0, 0, -1)]), VOLUME),
    Row("slices without a position", _slices([None] * 3), VOLUME),
    Row("slices of several sizes", _slices(STACK[:2], each={"pixels": [STILL, STILL[:, :5]]}), VOLUME),
    Row("a clip", _dicom(), VOLUME),
)  # fmt: skip
DICOM_PIXELS = (
    Row("MONOCHROME2 of 8, 16 or 32 bits, signed or not", _dicom(GREY.astype(np.int16)), CLIP, "values as stored"),
    Row("MONOCHROME1", _dicom(GREY, "MONOCHROME1"), CLIP, "inverted: high is bright"),
    Row("10 bits in 16, overlays in the others", _dicom(GREY.astype(np.uint16), BitsStored=10, HighBit=9), CLIP,
        "the stored bits only"),
    Row("rescale slope and intercept, Modality LUT", _dicom(RescaleSlope=2, RescaleIntercept=-10), CLIP,
        "applied, of each frame its own; windows (VOI) are not"),
    Row("big endian", _dicom(GREY.astype(np.uint16), syntax=ExplicitVRBigEndian,
                             data=GREY.astype(">u2").tobytes()), CLIP, "the same values"),
    Row("PALETTE COLOR, whole or segmented tables", _dicom(GREY, "PALETTE COLOR", **_palette(True)), CLIP,
        "the luminance of the colours"),
    Row("RGB, YBR_FULL, YBR_FULL_422, YBR_PARTIAL_422", _dicom(RGB, "YBR_FULL"), CLIP, "the luminance of the colours"),
    Row("JPEG, lossy or lossless, JPEG-LS", _compressed("JPEG", "RGB", JPEGBaseline8Bit), CLIP,
        "colours as the stream's own marker or subsampling says, with a note where the file says another"),
    Row("JPEG 2000", _compressed("JPEG2000", "YBR_RCT", JPEG2000Lossless), CLIP, "the same"),
    Row("RLE", _run_lengths, CLIP, "the same values"),
    Row("HSV, CMYK, ARGB", _dicom(RGB, "HSV"), CLIP),
    Row("MPEG-2", _of_syntax("1.2.840.10008.1.2.4.100"), CLIP),
    Row("H.264", _of_syntax("1.2.840.10008.1.2.4.102"), CLIP),
    Row("HEVC", _of_syntax("1.2.840.10008.1.2.4.107"), CLIP),
    Row("JPEG XL", _of_syntax("1.2.840.10008.1.2.4.110"), CLIP),
    Row("pixels on a server (JPIP)", _of_syntax("1.2.840.10008.1.2.4.94"), CLIP),
    Row("a transfer syntax of a vendor", _of_syntax("1.2.840.113619.5.2"), CLIP),
)  # fmt: skip
PICTURES = (
    Row("PNG, grey, 8 bits", _pictures(_FOUR), CLIP, "values as stored"),
    Row("PNG, grey, 16 bits", _pictures(_FOUR, "I;16"), CLIP, "values as stored"),
    Row("PNG, grey with opacity", _pictures(_FOUR, "LA"), CLIP, "the grey levels"),
    Row("PNG, colours or a palette, with or without opacity", _pictures(_FOUR, "RGBA"), CLIP,
        "the luminance of the colours"),
    Row("JPEG, BMP, TIFF", _pictures(tuple(name.replace("png", "jpg") for name in _FOUR)), CLIP,
        "values as decoded"),
    Row("JPEG for print (CMYK)", _pictures(("a.jpg",), "CMYK"), CLIP),
    Row("a number is missing among the names", _pictures((*_FOUR[:2], "003.png")), CLIP, "with a note that names it"),
    Row("a picture without a number among frames with numbers", _pictures((*_FOUR, "mask.png")), CLIP,
        "without that picture, with a note"),
    Row("names of two patterns", _pictures((*_FOUR, "000_mask.png")), CLIP),
    Row("a picture with a print resolution (dpi)", _pictures(("a.tif",), dpi=(300, 300)), VOLUME,
        "2D, pixel size unknown: lengths are in pixels"),
)  # fmt: skip
TABLES = (
    ("## DICOM: which frames and slices", DICOM_PLACES),
    ("## DICOM: which pixels", DICOM_PIXELS),
    ("## Pictures and folders of pictures", PICTURES),
    ("## NIfTI", NIFTI),
    ("## NRRD", NRRD),
    ("## MetaImage", METAIMAGE),
    ("## Videos, and other files", VIDEO),
)
INTRODUCTION = """# Reference: what is read, and what is refused

Every line is an input that the tests draw and read; the words in italics are the message. *As a clip* is how `track`
and `register-sequence` read, *as a volume* how `register` reads. DICOM pixels are compared with pydicom and GDCM over
pydicom's own collections of files, places with ITK and highdicom. Before ITK reads a volume, its length, its checksums
and its values are checked, since ITK takes half a file for a whole one.
"""


def page() -> str:
    """Reads every input and returns the page."""
    parts = [INTRODUCTION]
    for title, rows in TABLES:
        parts.append(f"{title}\n\n| input | used | outcome |\n| --- | --- | --- |")
        for row in rows:
            with tempfile.TemporaryDirectory() as folder:
                parts[-1] += f"\n| {row.name} | {row.use} | {row.outcome(Path(folder))} |"
        parts[-1] += "\n"
    return "\n".join(parts)


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    PAGE.write_text(page(), encoding="utf-8")
