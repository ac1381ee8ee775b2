"""Reader of folders of image files, one per frame, in the natural order of their names (2 before 10)."""

from __future__ import annotations

import re
import struct
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.images.colour import LUMINANCE_NOTE, luminance
from UltrasoundMotionLib.images.image_sequence import ImageSequence

if TYPE_CHECKING:
    import SimpleITK as sitk

PICTURE_ENDINGS = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff")
_PNG_COLOUR_TYPES = {0: 1, 2: 3, 3: 3, 4: 2, 6: 4}


def read_image_folder(path: Path) -> ImageSequence:
    """Reads a folder of image files as a sequence, or a single file as a sequence of one frame.

    A folder without image files but with a subfolder `Data` (the layout of CLUST) is read from there. Spacing and frame
    rate are unknown.

    Raises:
        InputError: no image files, files of different sizes (naming the first that differs), or a file that cannot be
            read.
    """
    notes = [
        "spacing and frame rate unknown: pictures carry neither (give the spacing and the frame rate if they are known)"
    ]
    if path.is_file():
        files = [path]
    else:
        files = _picture_files(path)
        if not files and (path / "Data").is_dir():
            files = _picture_files(path / "Data")
        if not files:
            raise InputError(f"{path}: zero frames: the folder holds no pictures ({', '.join(PICTURE_ENDINGS)})")
    endings = Counter(file.suffix.lower() for file in files)
    if len(endings) > 1:
        ending = endings.most_common(1)[0][0]
        others = len(files) - endings[ending]
        notes.append(
            f"only the {endings[ending]} {ending} files are frames; {others} pictures of other types were left out"
        )
        files = [file for file in files if file.suffix.lower() == ending]
    frames = _PictureFrames(files)
    if frames.components > 2:
        notes.append(LUMINANCE_NOTE)
    return ImageSequence(frames, name=path.stem if path.is_file() else path.name, path=path, notes=tuple(notes))


def _picture_files(folder: Path) -> list[Path]:
    """Lists the image files of a folder in natural order, without hidden files."""
    files = [
        file
        for file in folder.iterdir()
        if file.suffix.lower() in PICTURE_ENDINGS and not file.name.startswith(".") and file.is_file()
    ]
    return sorted(files, key=_natural_order)


def _natural_order(path: Path) -> list[tuple[int, int, str]]:
    """Returns a sort key that compares numbers within names by value."""
    parts = re.split(r"(\d+)", path.name.lower())
    return [(0, int(part), part) if part.isdigit() else (1, 0, part) for part in parts]


class _PictureFrames:
    """A frame source that opens one file at a time; the sizes are checked once, from the headers."""

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
        """Returns frame `index` as RGB (H, W, 3) uint8, or None if the files are not 8-bit colour."""
        if self.components < 3 or self.dtype != np.uint8:
            return None
        pixels = _pixels(self._files[index])
        return np.array(pixels[..., :3] if pixels.shape[2] >= 3 else np.repeat(pixels[..., :1], 3, axis=2))


def _header(file: Path) -> tuple[int, int, int, np.dtype]:
    """Reads (width, height, components, dtype) of an image file; of PNG directly, for speed with thousands of files."""
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


def _reader(file: Path) -> sitk.ImageFileReader:
    import SimpleITK as sitk

    reader = sitk.ImageFileReader()
    reader.SetFileName(str(file))
    return reader


def _pixels(file: Path) -> np.ndarray:
    """Reads the pixels as stored, (H, W, C)."""
    import SimpleITK as sitk

    try:
        image = _reader(file).Execute()
    except RuntimeError:
        raise InputError(f"{file}: cannot be read: damaged or truncated") from None
    array = sitk.GetArrayFromImage(image)
    if image.GetDimension() > 2:
        array = array[0]
    return array if image.GetNumberOfComponentsPerPixel() > 1 else array[..., None]
