"""Displacement field files: vector images in LPS mm, ITK's convention fixed(x) = moving(x + u(x))."""

from __future__ import annotations

from pathlib import Path

from UltrasoundMotionLib.atomic_output import atomic_output
from UltrasoundMotionLib.errors import InputError, OutputError
from UltrasoundMotionLib.fields.displacement_field import DisplacementField
from UltrasoundMotionLib.images.readers.nifti import check_pixels_complete

_SUFFIXES = (".nrrd", ".mha", ".nii.gz", ".nii")


def _suffix(path: Path) -> str | None:
    return next((suffix for suffix in _SUFFIXES if path.name.lower().endswith(suffix)), None)


def write_displacement(path: str | Path, field: DisplacementField) -> None:
    """Writes a field as .nrrd, .mha, .nii.gz or .nii; all but .nii compressed.

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
    with atomic_output(path) as temporary:
        try:
            sitk.WriteImage(field.to_sitk(), str(temporary), useCompression=suffix != ".nii")
        except RuntimeError as error:
            raise OutputError(f"{path}: cannot be written: {_last_line(error)}") from error


def read_displacement(path: str | Path) -> DisplacementField:
    """Reads a vector image of displacements in LPS mm, 2D or 3D, in any format that ITK reads.

    Raises:
        InputError: no such file, not an image, or not as many components as dimensions.
    """
    import SimpleITK as sitk

    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    try:
        image = sitk.ReadImage(str(path))
    except RuntimeError as error:
        raise InputError(f"{path}: cannot be read as a displacement field: {_last_line(error)}") from error
    if _suffix(path) in (".nii", ".nii.gz"):
        check_pixels_complete(path)
    components, dimension = image.GetNumberOfComponentsPerPixel(), image.GetDimension()
    if components != dimension or dimension not in (2, 3):
        raise InputError(
            f"{path}: expected {dimension} components a voxel in {dimension}D, got {components}; "
            "this is not a displacement field"
        )
    return DisplacementField.from_sitk(image)


def _last_line(error: RuntimeError) -> str:
    """Returns SimpleITK's reason without the lines that name its source files."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else "unknown reason"
