"""A folder of pictures, one per frame, in the natural order of their names (2 before 10)."""

from __future__ import annotations

import re
import struct
from collections import Counter
from pathlib import Path

import numpy as np

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.images.colour import LUMINANCE_NOTE, luminance
from UltrasoundMotionLib.images.image_sequence import ImageSequence

PICTURE_ENDINGS = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff")
_PNG_COLOUR_TYPES = {0: 1, 2: 3, 3: 3, 4: 2, 6: 4}


def read_image_folder(path: Path) -> ImageSequence:
    """Reads a folder of pictures; when it has none itself but a subfolder `Data` (as CLUST lays its sequences out),
    reads that.

    A single picture is read as a sequence of one frame. Spacing and frame rate are unknown: pictures carry neither.

    Raises:
        InputError: no pictures, pictures of different sizes (naming the first that differs), or one that cannot be
            read.
    """
    notes = [
        "spacing and frame rate unknown: pictures carry neither (give the spacing and the frame rate if they are known)"
    ]
    if path.is_file():
        files = [path]
    else:
        files = picture_files(path)
        if not files and (path / "Data").is_dir():
            files = picture_files(path / "Data")
        if not files:
            raise InputError(f"{path}: zero frames: the folder holds no pictures ({', '.join(PICTURE_ENDINGS)})")
    endings = Counter(file.suffix.lower() for file in files)
    if len(endings) > 1:
        ending = endings.most_common(1)[0][0]
        notes.append(
            f"only the {endings[ending]} {ending} files are frames; {len(files) - endings[ending]} pictures of other types were left out"
        )
        files = [file for file in files if file.suffix.lower() == ending]
    frames = PictureFrames(files)
    if frames.components > 2:
        notes.append(LUMINANCE_NOTE)
    return ImageSequence(frames, name=path.stem if path.is_file() else path.name, path=path, notes=tuple(notes))


def picture_files(folder: Path) -> list[Path]:
    """The pictures of a folder in natural order; hidden files are left out."""
    files = [
        file
        for file in folder.iterdir()
        if file.suffix.lower() in PICTURE_ENDINGS and not file.name.startswith(".") and file.is_file()
    ]
    return sorted(files, key=natural_order)


def natural_order(path: Path) -> list[tuple[int, int, str]]:
    """A sort key by which numbers within names count as numbers."""
    parts = re.split(r"(\d+)", path.name.lower())
    return [(0, int(part), part) if part.isdigit() else (1, 0, part) for part in parts]


class PictureFrames:
    """A frame source that opens one picture at a time; the size of each is checked once, from its header."""

    def __init__(self, files: list[Path]) -> None:
        self._files = files
        first = _header(files[0])
        kinds = []
        for file in files:
            header = _header(file)
            if header[:2] != first[:2]:
                raise InputError(
                    f"{file}: is {header[0]} x {header[1]} pixels, but {files[0].name} is {first[0]} x {first[1]}"
                )
            kinds.append(header[2:])
        self.components = max(components for components, _ in kinds)
        self.shape = (len(files), first[1], first[0])
        self.dtype = np.dtype(np.uint8) if all(dtype == np.uint8 for _, dtype in kinds) else np.dtype(np.float32)

    def __getitem__(self, index: int) -> np.ndarray:
        pixels = _pixels(self._files[index])
        return np.array(luminance(pixels), dtype=self.dtype)

    def colour_frame(self, index: int) -> np.ndarray | None:
        if self.components < 3 or self.dtype != np.uint8:
            return None
        pixels = _pixels(self._files[index])
        return np.array(pixels[..., :3] if pixels.shape[2] >= 3 else np.repeat(pixels[..., :1], 3, axis=2))


def _header(file: Path) -> tuple[int, int, int, np.dtype]:
    """(width, height, components, dtype) of a picture. PNG is read directly: thousands are checked in a second."""
    if file.suffix.lower() == ".png":
        with file.open("rb") as stream:
            head = stream.read(26)
        if len(head) < 26 or head[:8] != b"\x89PNG\r\n\x1a\n":
            raise InputError(f"{file}: is not a PNG picture, or is truncated")
        width, height, bits, colour_type = struct.unpack(">IIBB", head[16:26])
        return width, height, _PNG_COLOUR_TYPES.get(colour_type, 1), np.dtype(np.uint16 if bits == 16 else np.uint8)
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


def _reader(file: Path):
    import SimpleITK as sitk

    reader = sitk.ImageFileReader()
    reader.SetFileName(str(file))
    return reader


def _pixels(file: Path) -> np.ndarray:
    """(H, W, C) as stored."""
    import SimpleITK as sitk

    try:
        image = _reader(file).Execute()
    except RuntimeError:
        raise InputError(f"{file}: cannot be read: damaged or truncated") from None
    array = sitk.GetArrayFromImage(image)
    if image.GetDimension() > 2:
        array = array[0]
    return array if image.GetNumberOfComponentsPerPixel() > 1 else array[..., None]
