"""Writer of folders of PNG files, one per frame."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from UltrasoundMotionLib.atomic_output import atomic_output
from UltrasoundMotionLib.errors import OutputError
from UltrasoundMotionLib.images.image_sequence import ImageSequence
from UltrasoundMotionLib.images.readers.image_folder import read_image_folder
from UltrasoundMotionLib.images.sitk_reasons import last_line
from UltrasoundMotionLib.images.writers.streamed_pixels import FrameChecksum
from UltrasoundMotionLib.progress import Progress


def write_image_folder(path: Path, sequence: ImageSequence, *, progress: Progress) -> None:
    """Writes 00000.png, 00001.png ... (8-bit grey) into a new folder; spacing and times are lost.

    Raises:
        OutputError: the folder exists and is not empty, or a frame has values that are not 8-bit.
    """
    import SimpleITK as sitk

    if path.is_dir() and not any(path.iterdir()):
        path.rmdir()
    checksum = FrameChecksum(sequence, np.dtype(np.uint8))
    with atomic_output(path, read_back=lambda written: checksum.check(read_image_folder(written))) as temporary:
        temporary.mkdir()
        for index, frame in sequence.iterate():
            pixels = frame.astype(np.uint8)
            if not np.array_equal(pixels, frame):
                raise OutputError(
                    f"{path}: frame {index} has values that 8-bit PNG cannot hold "
                    f"({frame.min():g} to {frame.max():g}); write .nrrd"
                )
            checksum.add(np.ascontiguousarray(pixels).tobytes())
            try:
                sitk.WriteImage(sitk.GetImageFromArray(pixels), str(temporary / f"{index:05d}.png"))
            except RuntimeError as error:
                raise OutputError(f"{path}: cannot be written: {last_line(error)}") from error
            progress(index + 1, len(sequence), "writing frames")


def write_picture(path: Path, pixels: np.ndarray) -> None:
    """Writes a picture (H, W, 3) uint8 as PNG.

    Raises:
        OutputError: the file cannot be written.
    """
    import SimpleITK as sitk

    def check(written: Path) -> None:
        whole = written.read_bytes().endswith(b"IEND\xaeB`\x82")  # ITK does not say that the disk is full
        if not whole or not np.array_equal(sitk.GetArrayFromImage(sitk.ReadImage(str(written))), pixels):
            raise OutputError("other pixels than were written")

    with atomic_output(path, read_back=check) as temporary:
        try:
            sitk.WriteImage(sitk.GetImageFromArray(pixels, isVector=True), str(temporary))
        except RuntimeError as error:
            raise OutputError(f"{path}: cannot be written: {str(error).strip().splitlines()[-1]}") from None
