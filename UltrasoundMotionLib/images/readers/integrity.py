"""The check of an image file before ITK reads it: ITK takes half a file for a whole one, and says so on no channel."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.images.readers.metaimage import check_metaimage
from UltrasoundMotionLib.images.readers.nifti import check_nifti
from UltrasoundMotionLib.images.readers.nrrd import check_nrrd
from UltrasoundMotionLib.input_files import check_regular_file

_CHECKS: dict[tuple[str, ...], Callable[[Path], None]] = {
    (".nii", ".nii.gz"): check_nifti,
    (".nrrd", ".nhdr"): check_nrrd,
    (".mha", ".mhd"): check_metaimage,
}
_CHECKED_BY_ITS_READER = (".h5", ".hdf5", ".hdf", ".he5", ".mnc")
"""Formats whose library refuses a file that is cut or damaged."""
CHECKED_ENDINGS = (*(ending for endings in _CHECKS for ending in endings), *_CHECKED_BY_ITS_READER)


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
