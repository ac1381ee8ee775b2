"""ITK's transform files: .h5, .tfm, .txt, and the .mat of ANTs' affine transforms."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from UltrasoundMotionLib.atomic_output import atomic_output
from UltrasoundMotionLib.errors import InputError, OutputError
from UltrasoundMotionLib.exchange.motions.agreement import check_same_motion
from UltrasoundMotionLib.exchange.motions.motion import Motion, MotionContext
from UltrasoundMotionLib.exchange.motions.registry import MotionFile, MotionFormat, motion_format
from UltrasoundMotionLib.fields.image_grid import ImageGrid
from UltrasoundMotionLib.images.sitk_reasons import last_line

if TYPE_CHECKING:
    import SimpleITK as sitk

_LINEAR_ENDINGS = (".mat", ".txt")
_TEXT_START = b"#Insight Transform File"
_HDF5_START = b"\x89HDF\r\n\x1a\n"
_HDF5_GROUP = b"TransformGroup"
_MATLAB_NAME = b"_double_", b"_float_"


@motion_format
class ItkTransform(MotionFormat):
    """ITK's transform files."""

    name = "itk"
    summary = "ITK, ANTs, Slicer: transform (linear, B-spline, displacement field, composite)"
    convention = "points of fixed to points of moving, LPS mm"
    endings = (".h5", ".hdf5", ".tfm", ".mat", ".txt")
    rank = 10

    @property
    def by_default(self) -> tuple[str, ...]:
        """All endings but .txt, which other programs give to other matrices."""
        return (".h5", ".hdf5", ".tfm", ".mat")

    def recognises(self, file: MotionFile) -> bool:
        """Returns True for ITK's text, HDF5 and Matlab files."""
        if file.head.startswith(_TEXT_START):
            return True
        if file.head.startswith(_HDF5_START):
            return _HDF5_GROUP in file.head
        return file.name.endswith(".mat") and any(name in file.head for name in _MATLAB_NAME)

    def read(self, path: Path, context: MotionContext) -> Motion:
        """Reads a transform."""
        return read_itk_transform(path)

    def write(self, path: Path, motion: Motion, context: MotionContext) -> None:
        """Writes a transform: by the ending, as HDF5, text, or Matlab's binary.

        Raises:
            InputError: a motion that is not linear as .mat or .txt.
            OutputError: the file cannot be written.
        """
        import SimpleITK as sitk

        ending = path.suffix.lower()
        if ending in _LINEAR_ENDINGS and not motion.transform.IsLinear():
            raise InputError(f"{path}: {ending} holds linear transforms only and this motion is none; use .h5")
        with atomic_output(path, read_back=lambda one: check_same_motion(motion, read_itk_transform(one))) as file:
            try:
                sitk.WriteTransform(motion.transform, str(file))
            except RuntimeError as error:
                raise OutputError(f"{path}: cannot be written: {last_line(error)}") from error


def read_itk_transform(path: Path) -> Motion:
    """Reads a transform from fixed to moving points: linear, a B-spline, a displacement field, or a chain of them.

    Raises:
        InputError: ITK cannot read it.
    """
    import SimpleITK as sitk

    try:
        transform = sitk.ReadTransform(str(path))
    except RuntimeError as error:
        raise InputError(f"{path}: cannot be read as a transform: {last_line(error)}") from error
    if transform.GetDimension() not in (2, 3):
        raise InputError(f"{path}: a transform of {transform.GetDimension()}D; expected 2D or 3D")
    return Motion(transform, _grid_of(transform))


def _grid_of(transform: sitk.Transform) -> ImageGrid | None:
    """Returns the grid of the first displacement field in a transform."""
    import SimpleITK as sitk

    kind = transform.GetTransformEnum()
    if kind == sitk.sitkDisplacementField:
        return ImageGrid.of(sitk.DisplacementFieldTransform(transform).GetDisplacementField())
    if kind == sitk.sitkComposite:
        composite = sitk.CompositeTransform(transform)
        for number in reversed(range(composite.GetNumberOfTransforms())):  # the last one is applied first
            grid = _grid_of(composite.GetNthTransform(number))
            if grid is not None:
                return grid
    return None
