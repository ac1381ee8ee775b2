"""The check of an image file before ITK reads it: ITK takes half a file for a whole one, and says so on no channel."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.images.readers.metaimage import check_metaimage
from UltrasoundMotionLib.images.readers.nifti import check_nifti
from UltrasoundMotionLib.images.readers.nrrd import check_nrrd

_CHECKS: dict[tuple[str, ...], Callable[[Path], None]] = {
    (".nii", ".nii.gz"): check_nifti,
    (".nrrd", ".nhdr"): check_nrrd,
    (".mha", ".mhd"): check_metaimage,
}
_CHECKED_BY_ITS_READER = (".h5", ".hdf5", ".hdf", ".he5", ".mnc")
"""Formats whose library refuses a file that is cut or damaged."""
CHECKED_ENDINGS = (*(ending for endings in _CHECKS for ending in endings), *_CHECKED_BY_ITS_READER)


def is_folder(path: Path) -> bool:
    """Returns True for a folder; False where the system does not say."""
    try:
        return path.is_dir()
    except OSError:  # a name that is too long
        return False


def check_regular_file(path: Path) -> None:
    """Checks that a path is a file with content, without opening it: a pipe would wait for its writer.

    Raises:
        InputError: missing, a pipe or a device, empty, or one that may not be read.
    """
    try:
        status = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        raise InputError(f"{path}: no such file or folder") from None
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from error
    if stat.S_ISDIR(status.st_mode):
        raise InputError(f"{path}: is a folder, expected a file")
    if not stat.S_ISREG(status.st_mode):
        raise InputError(f"{path}: is a pipe or a device, expected a file")
    if status.st_size == 0:
        raise InputError(f"{path}: is empty")
    if not os.access(path, os.R_OK):
        raise InputError(f"{path}: cannot be read: permission denied")


def check_image_file(path: Path) -> None:
    """Checks that an image file is whole, undamaged as far as its format tells, and finite.

    Raises:
        InputError: it is not, or a format whose wholeness cannot be checked.
    """
    check_regular_file(path)
    name = path.name.lower()
    for endings, check in _CHECKS.items():
        if name.endswith(endings):
            check(path)
            return
    if not name.endswith(_CHECKED_BY_ITS_READER):
        raise InputError(
            f"{path}: {path.suffix or 'a file without an ending'} is not a format that can be read: half of such a file"
            f" could not be told from a whole one; convert it to .nrrd (known are {', '.join(CHECKED_ENDINGS)})"
        )
