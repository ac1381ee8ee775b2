"""Reading and writing of sequences; chooses the reader or writer of a format."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from UltrasoundMotionLib.arguments import as_number, as_numbers, as_path, of_kind
from UltrasoundMotionLib.errors import InputError, OutputError
from UltrasoundMotionLib.images.image_sequence import ImageSequence
from UltrasoundMotionLib.images.readers.dicom.clip import read_dicom, read_dicom_phases
from UltrasoundMotionLib.images.readers.dicom.pixel_layout import DICOM_ENDINGS, is_dicom
from UltrasoundMotionLib.images.readers.image_folder import read_image_folder
from UltrasoundMotionLib.images.readers.metaimage import read_metaimage
from UltrasoundMotionLib.images.readers.nifti import read_nifti
from UltrasoundMotionLib.images.readers.nrrd import read_nrrd
from UltrasoundMotionLib.images.readers.pictures import PICTURE_ENDINGS
from UltrasoundMotionLib.images.readers.video import VIDEO_ENDINGS, read_video
from UltrasoundMotionLib.images.writers.image_folder import write_image_folder
from UltrasoundMotionLib.images.writers.metaimage import write_metaimage
from UltrasoundMotionLib.images.writers.nifti import write_nifti
from UltrasoundMotionLib.images.writers.nrrd import write_nrrd
from UltrasoundMotionLib.input_files import check_regular_file, is_folder
from UltrasoundMotionLib.progress import Progress, no_progress

_FRAME_RATES_HZ = (1e-4, 1e7)
_READERS: dict[tuple[str, ...], Callable[[Path], ImageSequence]] = {
    (".nrrd", ".nhdr"): read_nrrd,
    (".mha", ".mhd"): read_metaimage,
    (".nii", ".nii.gz"): read_nifti,
    DICOM_ENDINGS: read_dicom,
    VIDEO_ENDINGS: read_video,
    PICTURE_ENDINGS: read_image_folder,
}
SEQUENCE_ENDINGS = tuple(ending for endings in _READERS for ending in endings)
"""Endings of the files that `read_sequence` reads; DICOM is read whatever its name."""

_WRITERS: dict[tuple[str, ...], Callable] = {
    (".nrrd",): write_nrrd,
    (".mha",): write_metaimage,
    (".nii", ".nii.gz"): write_nifti,
}


def read_sequence(
    path: str | Path, *, spacing_mm: Sequence[float] | None = None, frame_rate_hz: float | None = None
) -> ImageSequence:
    """Reads a sequence of 2D frames lazily: frames are decoded on access, and memory does not grow with their number.

    Formats: DICOM (detected by content), video (extra `video`), a folder of image files, NRRD (.nrrd, .seq.nrrd),
    MetaImage (.mha, .mhd, PLUS' .igs.mha) and NIfTI (.nii, .nii.gz). In the last three the time axis is the one marked
    as a list, otherwise the last: a volume is read as a stack of frames, with a note. DICOM volumes are refused; a
    folder with the DICOM files of one slice at several times is a sequence. Colour becomes luminance (see `luminance`).
    8-bit frames stay uint8; other types become float32 with unchanged values. The sequence's `notes` name what was
    guessed or is unknown.

    Args:
        path: a file or a folder.
        spacing_mm: (x, y) in mm, or one value for both; overrides the file's.
        frame_rate_hz: frames per second; overrides the file's.

    Raises:
        InputError: missing, empty, truncated, of an unknown format, or not a sequence of 2D frames.
        MissingPackageError: a video, without the extra `video`.
    """
    path = as_path(path)
    sequence = _find_reader(path)(path)
    changes: dict = {"notes": sequence.notes}
    if spacing_mm is not None:
        values = tuple(as_numbers(spacing_mm, "spacing_mm").ravel().tolist())
        spacing = values * 2 if len(values) == 1 else values
        if len(spacing) != 2 or not all(np.isfinite(value) and value > 0 for value in spacing):
            raise InputError(f"spacing must be one or two positive numbers in mm, got {spacing_mm}")
        changes["spacing_mm"] = spacing
        notes = [note for note in changes["notes"] if not note.startswith("spacing")]
        stored = "unknown" if sequence.spacing_mm is None else "{:.4g} x {:.4g} mm".format(*sequence.spacing_mm)
        changes["notes"] = (*notes, f"spacing {spacing[0]:.4g} x {spacing[1]:.4g} mm as given (in the file: {stored})")
    if frame_rate_hz is not None:
        frame_rate_hz = as_number(frame_rate_hz, "frame_rate_hz")
        if not np.isfinite(frame_rate_hz) or frame_rate_hz <= 0:
            raise InputError(f"frame rate must be a positive number in Hz, got {frame_rate_hz}")
        if not _FRAME_RATES_HZ[0] <= frame_rate_hz <= _FRAME_RATES_HZ[1]:
            raise InputError(
                f"frame rate {frame_rate_hz:g} Hz is none of a clip, expected {_FRAME_RATES_HZ[0]:g} to"
                f" {_FRAME_RATES_HZ[1]:g} Hz; is it in another unit?"
            )
        changes["times_s"] = np.arange(len(sequence)) / float(frame_rate_hz)
        notes = [note for note in changes["notes"] if not note.startswith("frame rate")]
        stored = "unknown" if sequence.frame_rate_hz is None else f"{sequence.frame_rate_hz:.4g} Hz"
        changes["notes"] = (*notes, f"frame rate {frame_rate_hz:.4g} Hz as given (in the file: {stored})")
    return dataclasses.replace(sequence, **changes) if len(changes) > 1 else sequence


def _find_reader(path: Path) -> Callable[[Path], ImageSequence]:
    if is_folder(path):
        return _read_folder
    check_regular_file(path)
    if is_dicom(path):
        return read_dicom
    reader = _by_ending(path, _READERS)
    if reader is None:
        ending = path.suffix or "a file without an ending"
        raise InputError(
            f"{path}: {ending} is not a format that can be read; known are {_endings(_READERS)}, "
            "and DICOM whatever its name"
        )
    return reader


def _read_folder(folder: Path) -> ImageSequence:
    """Reads the one DICOM file of a folder, its DICOM files as the times of one slice, or its pictures."""
    try:
        files = sorted(file for file in folder.iterdir() if file.is_file() and not file.name.startswith("."))
        dicom_files = [] if any(_is_picture(file) for file in files) else [file for file in files if is_dicom(file)]
    except OSError as error:
        raise InputError(f"{folder}: cannot be read: {error.strerror or error}") from error
    if len(dicom_files) > 1:
        return read_dicom_phases(folder)
    return read_dicom(dicom_files[0]) if dicom_files else read_image_folder(folder)


def _is_picture(file: Path) -> bool:
    return file.suffix.lower() in PICTURE_ENDINGS


def write_sequence(
    path: str | Path, sequence: ImageSequence, *, compress: bool = True, progress: Progress = no_progress
) -> None:
    """Writes a sequence, one frame at a time, in the format of the path's suffix.

    .nrrd keeps everything; named .seq.nrrd, 3D Slicer opens it as a sequence. .mha keeps everything, with times
    relative to the first frame and the normal as x cross y. .nii and .nii.gz keep geometry and evenly spaced times. A
    path without a suffix is a new folder of PNG files 00000.png, 00001.png ..., which keep 8-bit pixels only: spacing
    and times are lost.

    Args:
        path: the file or folder.
        sequence: the frames.
        compress: for .nrrd and .mha; NIfTI is compressed if its name ends in .gz. Uncompressed files are larger, and
            are read without decompression.
        progress: called after every frame.

    Raises:
        OutputError: cannot be written, the ending is not known, or the format cannot hold the sequence (uneven times,
            pixels).
    """
    path = as_path(path)
    of_kind(sequence, ImageSequence, "sequence")
    writer = _by_ending(path, _WRITERS)
    if writer is not None:
        writer(path, sequence, compress=compress, progress=progress)
    elif path.suffix == "":
        write_image_folder(path, sequence, progress=progress)
    else:
        raise OutputError(
            f"{path}: {path.suffix} is not a format that can be written; known are {_endings(_WRITERS)}, "
            "and a folder for PNG files"
        )


def _by_ending(path: Path, table: dict[tuple[str, ...], Callable]) -> Callable | None:
    name = path.name.lower()
    return next((entry for endings, entry in table.items() if name.endswith(endings)), None)


def _endings(table: dict[tuple[str, ...], Callable]) -> str:
    return ", ".join(ending for endings in table for ending in endings)
