"""Reading and writing of volumes through SimpleITK."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np

from UltrasoundMotionLib.arguments import as_path, of_kind
from UltrasoundMotionLib.atomic_output import atomic_output
from UltrasoundMotionLib.errors import InputError, OutputError
from UltrasoundMotionLib.images.colour import LUMINANCE_NOTE
from UltrasoundMotionLib.images.itk_warnings import itk_warnings_as_notes
from UltrasoundMotionLib.images.readers.dicom.pixel_layout import is_dicom
from UltrasoundMotionLib.images.readers.dicom.volume import read_dicom_volume
from UltrasoundMotionLib.images.readers.integrity import check_image_file
from UltrasoundMotionLib.images.readers.picture_structure import check_tiff
from UltrasoundMotionLib.images.readers.pictures import PICTURE_ENDINGS, TIFF_ENDINGS, picture_values
from UltrasoundMotionLib.images.sitk_reasons import last_line
from UltrasoundMotionLib.images.volume import Volume
from UltrasoundMotionLib.input_files import check_regular_file, is_folder


def read_volume(path: str | Path) -> Volume:
    """Reads a 2D or 3D image with one component per voxel, in LPS, with the pixel type of the file.

    NIfTI, NRRD, MetaImage, HDF5, MINC, a picture, or a folder with one DICOM series.

    Raises:
        InputError: missing, empty, damaged, several series, several components, more than three dimensions, or values
            that are not finite.
    """
    import SimpleITK as sitk

    path = as_path(path)
    if not is_folder(path):
        check_regular_file(path)
    if is_folder(path) or is_dicom(path):
        return dataclasses.replace(read_dicom_volume(path), name=path.name.split(".")[0] or path.name)
    if path.name.lower().endswith(PICTURE_ENDINGS):
        return _read_picture(path)
    check_image_file(path)
    notes: list[str] = []
    try:
        with itk_warnings_as_notes(notes):
            image = sitk.ReadImage(str(path))
    except RuntimeError as error:
        raise InputError(f"{path}: cannot be read as an image: {last_line(error)}") from None
    while image.GetDimension() > 3 and image.GetSize()[-1] == 1:
        image = image[(slice(None),) * (image.GetDimension() - 1) + (0,)]
    if image.GetDimension() > 3:
        raise InputError(f"{path}: expected a 2D or 3D image, got one of {' x '.join(map(str, image.GetSize()))}")
    volume = Volume.from_sitk(image, name=str(path))
    if volume.array.dtype.kind == "f" and not np.all(np.isfinite(volume.array)):
        raise InputError(f"{path}: holds {int((~np.isfinite(volume.array)).sum())} values that are not finite")
    return dataclasses.replace(volume, name=path.name.split(".")[0] or path.name, notes=tuple(notes))


def _read_picture(path: Path) -> Volume:
    """Reads a picture, or a TIFF file of several, in pixels: its resolution is that of a print, not of tissue."""
    note = (
        "spacing unknown: a picture does not say the size of its pixels; lengths are in pixels, and options in mm "
        "count a pixel as 1 mm"
    )
    pages = _pages(path)
    if pages is not None:
        return Volume(pages, (1.0, 1.0, 1.0), (0.0, 0.0, 0.0), np.eye(3), path.stem, False, (note,))
    colour, pixels = picture_values(path)
    notes = (note, LUMINANCE_NOTE) if colour else (note,)
    return Volume(pixels, (1.0, 1.0), (0.0, 0.0), np.eye(2), path.stem, False, notes)


def _pages(path: Path) -> np.ndarray | None:
    """Reads the pictures (D, H, W) of a TIFF file, or None if it holds one."""
    import SimpleITK as sitk

    if path.suffix.lower() not in TIFF_ENDINGS:
        return None
    check_tiff(path)
    try:
        image = sitk.ReadImage(str(path))
    except RuntimeError:
        return None  # reported when its picture is read
    if image.GetDimension() < 3 or image.GetSize()[2] < 2:
        return None
    if image.GetNumberOfComponentsPerPixel() != 1:
        raise InputError(f"{path}: holds {image.GetSize()[2]} pictures in colour; only grey ones are read as a volume")
    return sitk.GetArrayFromImage(image)


def write_volume(path: str | Path, volume: Volume, *, with_unknown: bool = False) -> None:
    """Writes a volume as .nii, .nii.gz, .nrrd or .mha (compressed), by its suffix.

    Args:
        with_unknown: values may be NaN, where nothing is known. `read_volume` refuses such a file.

    Raises:
        OutputError: an unknown suffix, or a path that cannot be written to.
    """
    import SimpleITK as sitk

    path = as_path(path)
    of_kind(volume, Volume, "volume")
    endings = (".nii", ".nii.gz", ".nrrd", ".mha")
    if not path.name.lower().endswith(endings):
        raise OutputError(
            f"{path}: {path.suffix or 'no ending'} is not a format for volumes; known are {', '.join(endings)}"
        )

    def check(written: Path) -> None:
        found = sitk.GetArrayFromImage(sitk.ReadImage(str(written))) if with_unknown else read_volume(written).array
        if not np.array_equal(found, np.asarray(volume.array), equal_nan=with_unknown):
            raise OutputError("other values than were written")

    with atomic_output(path, read_back=check) as temporary:
        try:
            sitk.WriteImage(volume.to_sitk(), str(temporary), useCompression=True)
        except RuntimeError as error:
            raise OutputError(f"{path}: cannot be written: {last_line(error)}") from None
