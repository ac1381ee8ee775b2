"""Reader of folders of image files, one per frame, in the natural order of their names (2 before 10)."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.images.colour import LUMINANCE_NOTE, luminance
from UltrasoundMotionLib.images.image_sequence import ImageSequence
from UltrasoundMotionLib.images.readers.frame_names import chosen_frames, picture_files
from UltrasoundMotionLib.images.readers.pictures import PICTURE_ENDINGS, picture_header, picture_pixels


def read_image_folder(path: Path) -> ImageSequence:
    """Reads a folder of image files as a sequence, or a single file as a sequence of one frame.

    A folder without image files but with a subfolder `Data` (the layout of CLUST) is read from there. Spacing and frame
    rate are unknown.

    Raises:
        InputError: no image files, two series of names, files of different sizes (naming the first that differs), or a
            file that cannot be read.
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
    files, choice_notes = chosen_frames(path, files)
    notes += choice_notes
    frames = _PictureFrames(files)
    if frames.components > 2:
        notes.append(LUMINANCE_NOTE)
    return ImageSequence(frames, name=path.stem if path.is_file() else path.name, path=path, notes=tuple(notes))


class _PictureFrames:
    """A frame source that opens one file at a time; the sizes are checked once, from the headers."""

    def __init__(self, files: list[Path]) -> None:
        self._files = files
        first = picture_header(files[0])
        kinds = []
        for file in files:
            header = picture_header(file)
            if header[:2] != first[:2]:
                raise InputError(
                    f"{file}: is {header[0]} x {header[1]} pixels, but {files[0].name} is {first[0]} x {first[1]}"
                )
            kinds.append(header[2:])
        self.components = max(components for components, _ in kinds)
        self.shape = (len(files), first[1], first[0])
        self.dtype = np.dtype(np.uint8) if all(dtype == np.uint8 for _, dtype in kinds) else np.dtype(np.float32)

    def __getitem__(self, index: int) -> np.ndarray:
        pixels = picture_pixels(self._files[index])
        return np.array(luminance(pixels), dtype=self.dtype)

    def colour_frame(self, index: int) -> np.ndarray | None:
        """Returns frame `index` as RGB (H, W, 3) uint8, or None if the files are not 8-bit colour."""
        if self.components < 3 or self.dtype != np.uint8:
            return None
        pixels = picture_pixels(self._files[index])
        return np.array(pixels[..., :3] if pixels.shape[2] >= 3 else np.repeat(pixels[..., :1], 3, axis=2))
