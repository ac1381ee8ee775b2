"""FSL's motions: FLIRT's matrices and the displacement fields of FNIRT, convertwarp and applywarp.

FSL's coordinates of an image are voxel index times voxel size in mm, the first axis counted backwards where the
voxel-to-world matrix of the image has a positive determinant (FLIRT FAQ, "What is the format of the matrix used by
FLIRT?"). A FLIRT matrix takes moving to fixed coordinates. A displacement field lies on the fixed image's grid and
takes fixed to moving coordinates: relative ones add to the coordinates, absolute ones replace them.
"""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np

from UltrasoundMotionLib.atomic_output import atomic_output, write_text_file
from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.exchange.motions.agreement import check_same_motion
from UltrasoundMotionLib.exchange.motions.motion import Motion, MotionContext
from UltrasoundMotionLib.exchange.motions.registry import MotionFile, MotionFormat, motion_format
from UltrasoundMotionLib.fields.displacement_field import DisplacementField
from UltrasoundMotionLib.fields.image_grid import ImageGrid
from UltrasoundMotionLib.fields.linear_maps import mapped
from UltrasoundMotionLib.images.readers.nifti import HEADER, check_nifti, stored_header
from UltrasoundMotionLib.images.sitk_reasons import last_line
from UltrasoundMotionLib.images.writers.nifti import header_of_grid
from UltrasoundMotionLib.input_files import check_regular_file

DISPLACEMENT_INTENT = 2006
COEFFICIENT_INTENTS = (2007, 2008, 2009, 2016)
_FLOAT32 = 16
_LACKS = "FSL's coordinates are voxels of the two images in mm, without a place in space"
_CLEARLY = 2.0


@motion_format
class Flirt(MotionFormat):
    """FLIRT's matrices."""

    name = "flirt"
    summary = "FSL FLIRT: matrix (.mat, .txt)"
    convention = "points of moving to points of fixed, voxels in mm, x backwards where the determinant is positive"
    endings = (".mat", ".txt")
    rank = 40

    @property
    def by_default(self) -> tuple[str, ...]:
        """None: the endings are also those of others."""
        return ()

    def recognises(self, file: MotionFile) -> bool:
        """Returns False: four rows of four numbers may be any matrix, in any units and either direction."""
        return False

    def read(self, path: Path, context: MotionContext) -> Motion:
        """Reads a FLIRT matrix, a text of four rows.

        Raises:
            InputError: no such text, an image that was not given or is not 3D, a singular matrix.
        """
        fixed, moving = _images(path, context)
        check_regular_file(path)
        try:
            matrix = np.loadtxt(path, ndmin=2)
        except ValueError:
            matrix = np.empty(0)
        if matrix.shape != (4, 4) or not np.isfinite(matrix).all():
            raise InputError(f"{path}: expected a matrix of four rows of four numbers, as FLIRT writes it")
        if not np.allclose(matrix[3], [0, 0, 0, 1]) or abs(np.linalg.det(matrix)) < np.finfo(np.float64).tiny:
            raise InputError(f"{path}: expected an invertible matrix whose last row is 0 0 0 1")
        return Motion.of_matrix(np.linalg.inv(fsl_from_lps(moving)) @ np.linalg.inv(matrix) @ fsl_from_lps(fixed))

    def write(self, path: Path, motion: Motion, context: MotionContext) -> None:
        """Writes a FLIRT matrix.

        Raises:
            InputError: a motion that is not linear, an image that was not given or is not 3D.
            OutputError: the file cannot be written.
        """
        fixed, moving = _images(path, context)
        if motion.matrix is None:
            raise InputError(f"{path}: FLIRT's matrices are linear and this motion is not; use .nii.gz for a field")
        inverse = fsl_from_lps(moving) @ motion.matrix @ np.linalg.inv(fsl_from_lps(fixed))
        rows = np.linalg.inv(inverse)
        write_text_file(path, "\n".join("  ".join(f"{value:.12g}" for value in row) for row in rows) + "\n")


@motion_format
class FslField(MotionFormat):
    """FSL's displacement fields."""

    name = "fsl"
    summary = "FSL FNIRT, convertwarp, applywarp: displacement field (.nii, .nii.gz)"
    convention = "displacement (or position) on the grid of fixed to moving, voxels in mm, x backwards as FLIRT's"
    endings = (".nii", ".nii.gz")
    rank = 30

    @property
    def by_default(self) -> tuple[str, ...]:
        """None: the endings are those of ANTs' fields."""
        return ()

    def recognises(self, file: MotionFile) -> bool:
        """Returns True for a NIfTI file that FSL marked as a field or as the coefficients of one."""
        if not file.name.endswith(self.endings):
            return False
        header, _ = stored_header(file.path)
        return int(header["intent_code"]) in (DISPLACEMENT_INTENT, *COEFFICIENT_INTENTS)

    def read(self, path: Path, context: MotionContext) -> Motion:
        """Reads a displacement field of FSL, (X, Y, Z, 3) on the grid of the fixed image.

        Args:
            context: the moving image; `fsl_relative` None finds out as FSL itself does whether the field holds
                displacements or positions: by which of the two varies less.

        Raises:
            InputError: coefficients rather than displacements, no moving image, a fixed image of another grid,
                positions and displacements that cannot be told apart.
        """
        import SimpleITK as sitk

        check_nifti(path)
        header, _ = stored_header(path)
        if int(header["intent_code"]) in COEFFICIENT_INTENTS:
            raise InputError(
                f"{path}: holds the coefficients of a spline; give fnirt --fout, or run fnirtfileutils on it"
            )
        try:
            image = sitk.ReadImage(str(path))
        except RuntimeError as error:
            raise InputError(f"{path}: cannot be read as a displacement field: {last_line(error)}") from error
        if image.GetDimension() != 4 or image.GetSize()[3] != 3:
            raise InputError(f"{path}: expected X x Y x Z x 3 as a displacement field of FSL, got {image.GetSize()}")
        direction = np.reshape(image.GetDirection(), (4, 4))[:3, :3]
        grid = ImageGrid(image.GetSize()[2::-1], image.GetSpacing()[:3], image.GetOrigin()[:3], direction)
        if context.fixed is not None and not context.fixed.matches(grid, tolerance_mm=1e-2):
            raise InputError(f"{path}: lies on another grid than the fixed image")
        (moving,) = context.needed(path, _LACKS, "moving")
        _check_3d(path, moving)
        values = np.moveaxis(sitk.GetArrayFromImage(image).astype(np.float64), 0, -1)
        points = grid.points_lps_mm()
        place = mapped(fsl_from_lps(grid), points)
        notes: tuple[str, ...] = ()
        relative = context.fsl_relative
        if relative is None:
            relative, notes = _is_relative(path, values, place)
        target = mapped(np.linalg.inv(fsl_from_lps(moving)), values + place if relative else values)
        return Motion.of_field(DisplacementField(target - points, grid), notes)

    def write(self, path: Path, motion: Motion, context: MotionContext) -> None:
        """Writes a relative displacement field of FSL, float32, on the grid of the fixed image.

        Args:
            context: the moving image, and the fixed one unless the motion has a grid of its own.

        Raises:
            InputError: no moving image, no grid, 2D images.
            OutputError: the file cannot be written.
        """
        (moving,) = context.needed(path, _LACKS, "moving")
        field = motion.field(context.fixed)
        _check_3d(path, field.grid, moving)
        points = field.grid.points_lps_mm()
        place = mapped(fsl_from_lps(field.grid), points)
        values = mapped(fsl_from_lps(moving), points + field.displacement_mm) - place
        header = bytearray(header_of_grid(field.grid.spacing_mm, field.grid.origin_mm, field.grid.direction))
        fields = np.frombuffer(header, dtype=HEADER.newbyteorder("<"), count=1)
        fields["dim"][0] = (4, *field.grid.shape[::-1], 3, 1, 1, 1)
        fields["datatype"], fields["bitpix"], fields["intent_code"] = _FLOAT32, 32, DISPLACEMENT_INTENT
        given = MotionContext(field.grid, moving, fsl_relative=True)
        largest = float(np.abs(values).max(initial=0.0))

        def check(written: Path) -> None:
            found = self.read(written, given)
            check_same_motion(Motion.of_field(field), found, 1e-4 + 1e-5 * largest)

        compressed = path.name.lower().endswith(".gz")
        with (
            atomic_output(path, read_back=check) as temporary,
            gzip.open(temporary, "wb", 4) if compressed else temporary.open("wb") as file,
        ):
            file.write(header)
            for axis in range(3):
                file.write(np.ascontiguousarray(values[..., axis], dtype="<f4").tobytes())


def fsl_from_lps(grid: ImageGrid) -> np.ndarray:
    """Returns the (4, 4) matrix from LPS mm to FSL's coordinates of an image."""
    scaled = np.diag([*grid.spacing_mm, 1.0])
    if np.linalg.det(grid.direction) > 0:  # as that of the RAS matrix: two axes change their sign
        flip = np.diag([-1.0, 1.0, 1.0, 1.0])
        flip[0, 3] = (grid.shape[-1] - 1) * grid.spacing_mm[0]
        scaled = flip @ scaled
    return scaled @ np.linalg.inv(grid.index_to_lps_mm)


def _is_relative(path: Path, values: np.ndarray, place: np.ndarray) -> tuple[bool, tuple[str, ...]]:
    """Decides between displacements and positions: what a field holds varies less than the other reading of it."""
    held, positions = float(values.std(axis=(0, 1, 2)).sum()), float((values - place).std(axis=(0, 1, 2)).sum())
    if max(held, positions) < _CLEARLY * min(held, positions):
        raise InputError(
            f"{path}: does not tell whether it holds displacements or positions; give --fsl-warp relative or"
            " --fsl-warp absolute"
        )
    relative = held < positions
    return relative, () if relative else (f"{path.name}: read as positions (absolute), by its values",)


def _images(path: Path, context: MotionContext) -> tuple[ImageGrid, ImageGrid]:
    fixed, moving = context.needed(path, _LACKS, "fixed", "moving")
    _check_3d(path, fixed, moving)
    return fixed, moving


def _check_3d(path: Path, *grids: ImageGrid) -> None:
    if any(grid.dimension != 3 for grid in grids):
        raise InputError(f"{path}: FSL's motions are those of 3D images, and an image is 2D")
