"""Linear transforms in files: ITK's (.tfm, .h5, .txt, .mat), as Slicer and ANTs write them, and plain 4 x 4 numbers.

An ITK file holds the way from the reference to what is moved, in LPS mm: ITK resamples a moving image by it, and Slicer
stores "transform from parent". The way here is the other one, from the clip to the volume, in RAS mm. Plain numbers are
taken as they stand, as Slicer's Transforms module shows "transform to parent".
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from UltrasoundMotionLib.atomic_output import atomic_output
from UltrasoundMotionLib.errors import InputError, OutputError
from UltrasoundMotionLib.exchange.motions.formats.itk import read_itk_transform
from UltrasoundMotionLib.fields.linear_maps import affine_transform, matrix_of
from UltrasoundMotionLib.images.sitk_reasons import last_line
from UltrasoundMotionLib.input_files import check_regular_file, read_json_file, read_text_file
from UltrasoundMotionLib.placement.placement import MIRROR, check_affine

_ITK_ENDINGS = (".tfm", ".h5", ".hdf5", ".xfm")
_ITK_TEXT = "#Insight Transform File"
_LARGEST_TEXT = 2**20


def read_linear_transform(path: str | Path, *, lps: bool = False) -> np.ndarray:
    """Reads the matrix (4, 4) from what is moved to the reference, in RAS mm.

    Args:
        lps: the plain numbers of a file are in LPS mm, not in RAS.

    Raises:
        InputError: a missing or unreadable file, a transform that bends, or not 4 x 4 numbers.
    """
    path = Path(path)
    check_regular_file(path)
    name = path.name.lower()
    if name.endswith(_ITK_ENDINGS) or (name.endswith(".txt") and _begins_as_itk(path)):
        return _read_itk(path)
    if name.endswith(".mat"):
        return _read_mat(path, lps=lps)
    if name.endswith(".json"):
        content = read_json_file(path)
        numbers = content.get("matrix") if isinstance(content, dict) else content
    elif name.endswith(".npy"):
        numbers = _read_npy(path)
    elif name.endswith((".txt", ".csv")):
        text = read_text_file(path, encoding="utf-8-sig", longest=_LARGEST_TEXT)
        numbers = [word for word in re.split(r"[\s,;\[\]]+", text) if word]
    else:
        raise InputError(f"{path}: expected a transform as .tfm, .h5, .txt, .csv, .json, .npy or .mat")
    return _plain(path, numbers, lps=lps)


def write_linear_transform(path: str | Path, to_reference_ras: np.ndarray) -> None:
    """Writes a matrix (4, 4), from what is moved to the reference in RAS mm, as an ITK transform that Slicer reads.

    Raises:
        InputError: a matrix that cannot be inverted.
        OutputError: an ending other than .tfm, .h5 or .txt, or the file cannot be written.
    """
    import SimpleITK as sitk

    path = Path(path)
    if not path.name.lower().endswith((".tfm", ".h5", ".txt")):
        raise OutputError(f"{path}: a linear transform is written as .tfm, .h5 or .txt")
    check_affine(np.asarray(to_reference_ras), "the transform")
    transform = affine_transform(MIRROR @ np.linalg.inv(to_reference_ras) @ MIRROR)

    def check(written: Path) -> None:
        if not np.allclose(_read_itk(written), to_reference_ras, rtol=1e-6, atol=1e-6):
            raise OutputError("other numbers than were written")

    with atomic_output(path, read_back=check) as temporary:
        try:
            sitk.WriteTransform(transform, str(temporary))
        except RuntimeError as error:
            raise OutputError(f"{path}: cannot be written: {last_line(error)}") from None


def _begins_as_itk(path: Path) -> bool:
    with path.open("rb") as stream:
        return stream.read(len(_ITK_TEXT)).decode("latin-1") == _ITK_TEXT


def _read_itk(path: Path) -> np.ndarray:
    transform = read_itk_transform(path).transform
    if transform.GetDimension() != 3:
        raise InputError(f"{path}: is a transform of {transform.GetDimension()} dimensions, expected 3")
    from_reference = matrix_of(transform)
    if from_reference is None:
        raise InputError(f"{path}: holds a transform that bends ({transform.GetName()}); a place needs a linear one")
    check_affine(from_reference, str(path))
    return MIRROR @ np.linalg.inv(from_reference) @ MIRROR


def _read_mat(path: Path, *, lps: bool) -> np.ndarray:
    """Reads ITK's .mat, as ANTs writes it (`0GenericAffine.mat`), or a MATLAB file with one 4 x 4 matrix."""
    from scipy.io import loadmat

    try:
        return _read_itk(path)
    except InputError as itk_error:
        try:
            held = loadmat(path)
        except (ValueError, TypeError, NotImplementedError, OSError):
            raise itk_error from None
    found = {name: value for name, value in held.items() if np.shape(value) == (4, 4)}
    if len(found) != 1:
        raise InputError(f"{path}: holds {len(found)} matrices of 4 x 4, expected one")
    return _plain(path, next(iter(found.values())), lps=lps)


def _read_npy(path: Path) -> np.ndarray:
    try:
        return np.load(path, allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise InputError(f"{path}: is no numpy array: {str(error).splitlines()[0]}") from error


def _plain(path: Path, numbers: object, *, lps: bool) -> np.ndarray:
    try:
        matrix = np.array(numbers, dtype=np.float64)
    except (TypeError, ValueError):
        matrix = np.empty(0)
    if matrix.size != 16:
        raise InputError(f"{path}: expected a matrix of 4 x 4 numbers, found {matrix.size or 'other'} values")
    matrix = matrix.reshape(4, 4)
    check_affine(matrix, str(path))
    return MIRROR @ matrix @ MIRROR if lps else matrix
