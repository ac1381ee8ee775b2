"""Displacement field files: vector images in LPS mm, ITK's convention fixed(x) = moving(x + u(x))."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from UltrasoundMotionLib.atomic_output import atomic_output
from UltrasoundMotionLib.errors import InputError, OutputError
from UltrasoundMotionLib.fields.displacement_field import DisplacementField
from UltrasoundMotionLib.fields.image_grid import ImageGrid
from UltrasoundMotionLib.images.readers.integrity import check_image_file
from UltrasoundMotionLib.images.sitk_reasons import last_line

_SUFFIXES = (".nrrd", ".mha", ".nii.gz", ".nii")
_PLANE_KEY = "UltrasoundMotion.plane"
"""Header field of a 2D field that is stored as one slice, since 3D Slicer reads a vector of two components as a grey
level with its opacity: all three components become their product."""


def _suffix(path: Path) -> str | None:
    return next((suffix for suffix in _SUFFIXES if path.name.lower().endswith(suffix)), None)


def write_displacement(path: str | Path, field: DisplacementField, *, in_pixels: bool = False) -> None:
    """Writes a field as .nrrd, .mha, .nii.gz or .nii; all but .nii compressed.

    A 2D field is written as one slice in the plane z = 0 with a third component of 0, which 3D Slicer reads as the same
    motion; `read_displacement` returns it in 2D.

    Args:
        in_pixels: the size of a pixel is not known: a 2D field is then written as a 2D image of two components, which
            is no motion in millimetres for 3D Slicer.

    Raises:
        InputError: another file ending; NIfTI for a 2D or single-slice field, which ITK does not read back unchanged.
        OutputError: the file cannot be written.
    """
    import SimpleITK as sitk

    path = Path(path)
    suffix = _suffix(path)
    if suffix is None:
        raise InputError(f"{path}: expected a name that ends in {', '.join(_SUFFIXES)}")
    if suffix.startswith(".nii") and (field.grid.dimension == 2 or field.grid.shape[0] == 1):
        raise InputError(
            f"{path}: NIfTI drops the third axis of a displacement field of one slice, so it could not be read back; "
            "use .nrrd"
        )
    flat = in_pixels or field.grid.dimension == 3
    image = (field if flat else field.as_single_slice()).to_sitk()
    if not flat:
        image.SetMetaData(_PLANE_KEY, "2D")

    def check(written: Path) -> None:
        if not np.array_equal(read_displacement(written).displacement_mm, field.displacement_mm):
            raise OutputError("other displacements than were written")

    with atomic_output(path, read_back=check) as temporary:
        try:
            sitk.WriteImage(image, str(temporary), useCompression=suffix != ".nii")
        except RuntimeError as error:
            raise OutputError(f"{path}: cannot be written: {last_line(error)}") from error


def read_displacement(path: str | Path) -> DisplacementField:
    """Reads a vector image of displacements in LPS mm, 2D or 3D, in any format that ITK reads.

    Raises:
        InputError: no such file, not an image, damaged, or not as many components as dimensions.
    """
    import SimpleITK as sitk

    path = Path(path)
    check_image_file(path)
    try:
        image = sitk.ReadImage(str(path))
    except RuntimeError as error:
        raise InputError(f"{path}: cannot be read as a displacement field: {last_line(error)}") from error
    components, dimension = image.GetNumberOfComponentsPerPixel(), image.GetDimension()
    if components != dimension or dimension not in (2, 3):
        raise InputError(
            f"{path}: expected {dimension} components a voxel in {dimension}D, got {components}; "
            "this is not a displacement field"
        )
    field = DisplacementField.from_sitk(image)
    in_plane = image.HasMetaDataKey(_PLANE_KEY) and image.GetMetaData(_PLANE_KEY) == "2D"
    return _plane(field) if in_plane and field.grid.dimension == 3 and field.grid.shape[0] == 1 else field


def _plane(field: DisplacementField) -> DisplacementField:
    """Returns the 2D field that `DisplacementField.as_single_slice` made into a slice."""
    grid = field.grid
    plane = ImageGrid(grid.shape[1:], grid.spacing_mm[:2], grid.origin_mm[:2], grid.direction[:2, :2])
    return DisplacementField(field.displacement_mm[0, ..., :2], plane)
