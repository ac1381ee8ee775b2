"""Header and pixels of one picture: PNG, JPEG, BMP or TIFF.

SimpleITK decodes them. It reads no grey PNG with opacity, so that is written again as one that it reads, without
decoding it.
"""

from __future__ import annotations

import struct
import tempfile
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.images.colour import luminance
from UltrasoundMotionLib.images.readers.codestream import read_codestream
from UltrasoundMotionLib.images.readers.picture_structure import check_bmp, check_tiff

if TYPE_CHECKING:
    import SimpleITK as sitk

PICTURE_ENDINGS = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff")
_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_PNG_COMPONENTS = {0: 1, 2: 3, 3: 3, 4: 2, 6: 4}
_GREY, _GREY_AND_OPACITY, _COLOUR_AND_OPACITY = 0, 4, 6
TIFF_ENDINGS = (".tif", ".tiff")
_JPEG_ENDINGS = (".jpg", ".jpeg")


def picture_header(file: Path) -> tuple[int, int, int, np.dtype]:
    """Reads (width, height, components, dtype) of a picture; of PNG directly, for speed with thousands of files."""
    if file.suffix.lower() == ".png":
        with file.open("rb") as stream:
            head = stream.read(26)
        if len(head) < 26 or head[:8] != _SIGNATURE:
            raise InputError(f"{file}: is not a PNG picture, or is truncated")
        width, height, bits, colour_type = struct.unpack(">IIBB", head[16:26])
        return width, height, _PNG_COMPONENTS.get(colour_type, 1), np.dtype(np.uint16 if bits == 16 else np.uint8)
    reader = _reader(file)
    try:
        reader.ReadImageInformation()
    except RuntimeError:
        raise InputError(f"{file}: cannot be read as a picture") from None
    size = reader.GetSize()
    if reader.GetDimension() > 2 and size[2] > 1:
        raise InputError(f"{file}: holds {size[2]} pictures, expected one per file")
    import SimpleITK as sitk

    grey8 = reader.GetPixelID() in (sitk.sitkUInt8, sitk.sitkVectorUInt8)
    return size[0], size[1], reader.GetNumberOfComponents(), np.dtype(np.uint8 if grey8 else np.float32)


def _reader(file: Path) -> sitk.ImageFileReader:
    import SimpleITK as sitk

    reader = sitk.ImageFileReader()
    reader.SetFileName(str(file))
    return reader


def picture_pixels(file: Path) -> np.ndarray:
    """Reads the pixels as stored, (H, W, C).

    Raises:
        InputError: damaged, truncated, or with the four components of a print.
    """
    if file.suffix.lower() == ".png":
        layout = _grey_png(file)
        if layout is not None:
            return layout
    if file.suffix.lower() in _JPEG_ENDINGS:
        _check_jpeg(file)
    elif file.suffix.lower() in TIFF_ENDINGS:
        check_tiff(file)
    elif file.suffix.lower() == ".bmp":
        check_bmp(file)
    return _decoded(file, file)


def picture_values(file: Path) -> tuple[bool, np.ndarray]:
    """Reads the grey levels (H, W) of a picture in the type of its file, and True if it is in colour."""
    picture_header(file)  # refuses a file of several pictures
    pixels = picture_pixels(file)
    return pixels.shape[-1] > 2, luminance(pixels, exact=True)


def _decoded(file: Path, named: Path) -> np.ndarray:
    import SimpleITK as sitk

    try:
        image = _reader(file).Execute()
    except RuntimeError:
        raise InputError(f"{named}: cannot be read: damaged or truncated") from None
    array = sitk.GetArrayFromImage(image)
    if image.GetDimension() > 2:
        array = array[0]
    return array if image.GetNumberOfComponentsPerPixel() > 1 else array[..., None]


def _grey_png(file: Path) -> np.ndarray | None:
    """Reads a PNG picture (H, W, 1) that is grey with opacity; None if it is another kind.

    Two bytes of grey and opacity are laid out as one of 16 bits, and four as those of colour with opacity: only the
    header is written anew. A transparent grey level is left out.
    """
    data = file.read_bytes()
    chunks = _png_chunks(data)
    if chunks is None:
        raise InputError(f"{file}: cannot be read: damaged or truncated")
    bits, colour = chunks[0][1][8], chunks[0][1][9]
    transparent_level = colour == _GREY and any(kind == b"tRNS" for kind, _ in chunks)
    if colour != _GREY_AND_OPACITY and not transparent_level:
        return None
    header = bytearray(chunks[0][1])
    if colour == _GREY_AND_OPACITY:
        header[8:10] = bytes((16, _GREY)) if bits == 8 else bytes((8, _COLOUR_AND_OPACITY))
    kept = [(b"IHDR", bytes(header)), *(chunk for chunk in chunks[1:] if chunk[0] in (b"IDAT", b"IEND"))]
    with tempfile.TemporaryDirectory(prefix="ultrasound-motion-") as folder:
        path = Path(folder) / "picture.png"
        path.write_bytes(_SIGNATURE + b"".join(_png_chunk(*chunk) for chunk in kept))
        pixels = _decoded(path, file)
    if colour == _GREY:
        return pixels
    if bits == 8:
        return (pixels >> 8).astype(np.uint8)
    return (pixels[..., :1].astype(np.uint16) << 8) | pixels[..., 1:2]


def _png_chunks(data: bytes) -> list[tuple[bytes, bytes]] | None:
    """Lists the chunks (kind, content) of a PNG file; None if it is damaged."""
    found, at = [], len(_SIGNATURE)
    while at + 12 <= len(data):
        length = int.from_bytes(data[at : at + 4], "big")
        chunk = data[at + 4 : at + 8 + length]
        if zlib.crc32(chunk).to_bytes(4, "big") != data[at + 8 + length : at + 12 + length]:
            return None
        found.append((chunk[:4], chunk[4:]))
        if chunk[:4] == b"IEND":
            break
        at += 12 + length
    whole = data.startswith(_SIGNATURE) and len(found) > 1 and found[0][0] == b"IHDR" and len(found[0][1]) == 13
    return found if whole and found[-1][0] == b"IEND" else None


def _png_chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + zlib.crc32(kind + content).to_bytes(4, "big")


def _check_jpeg(file: Path) -> None:
    stream = read_codestream(file.read_bytes())
    if stream is None or not stream.complete:
        raise InputError(f"{file}: is not a JPEG picture, or is damaged or truncated")
    if stream.components == 4:
        raise InputError(f"{file}: has the four colours of a print (CMYK), which are not supported; save it as PNG")
