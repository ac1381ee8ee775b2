"""Vector images of displacements in LPS mm, which ITK, ANTs (1Warp.nii.gz) and 3D Slicer share."""

from __future__ import annotations

from pathlib import Path

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.exchange.motions.motion import Motion, MotionContext
from UltrasoundMotionLib.exchange.motions.registry import MotionFile, MotionFormat, motion_format
from UltrasoundMotionLib.fields.displacement_field import DisplacementField
from UltrasoundMotionLib.fields.displacement_files import read_displacement, write_displacement
from UltrasoundMotionLib.images.readers.nifti import stored_header
from UltrasoundMotionLib.images.readers.nrrd import nrrd_header

_NIFTI = (".nii", ".nii.gz")
_NIFTYREG = b"NREG"
SLICER_KEY, MODELING = "displacement field type", "modeling"
"""Slicer's field of the header that tells which of a transform node's two directions was stored (5.10 and later)."""


@motion_format
class DisplacementImage(MotionFormat):
    """Displacement images."""

    name = "image"
    summary = "ITK, ANTs (1Warp.nii.gz), Slicer (grid transform): displacement image"
    convention = "displacement on the grid of fixed: moving(x + u(x)), LPS mm"
    endings = (".nrrd", ".mha", ".nii", ".nii.gz")
    rank = 60

    def recognises(self, file: MotionFile) -> bool:
        """Returns True for a vector image with as many components as axes in space."""
        if file.name.endswith(_NIFTI):
            dim = stored_header(file.path)[0]["dim"]
            return int(dim[0]) == 5 and int(dim[4]) == 1 and int(dim[5]) in (2, 3)
        if file.name.endswith((".nrrd", ".nhdr")):
            header = nrrd_header(file.path)
            kinds, sizes = header.per_axis("kinds"), header.sizes
            vectors = kinds.count("vector") + kinds.count("covariant-vector")
            return vectors == 1 and "list" not in kinds and len(sizes) in (3, 4) and sizes[0] == len(sizes) - 1
        if file.name.endswith((".mha", ".mhd")):
            fields = dict(line.split(b"=", 1) for line in file.head.split(b"\n") if b"=" in line)
            plain = {name.strip(): value.strip() for name, value in fields.items()}
            return plain.get(b"NDims") == plain.get(b"ElementNumberOfChannels", b"1")
        return False

    def read(self, path: Path, context: MotionContext) -> Motion:
        """Reads a displacement image.

        Raises:
            InputError: none; one of NiftyReg, which holds other numbers; one of Slicer's in the direction that carries
                points, where it is not said which is wanted.
        """
        name = path.name.lower()
        if name.endswith(_NIFTI) and bytes(stored_header(path)[0]["intent_name"]).startswith(_NIFTYREG):
            raise InputError(
                f"{path}: is a field of NiftyReg, which holds positions in another convention; convert it with"
                " `reg_transform -disp`, then with a program that writes ITK's fields"
            )
        if name.endswith((".nrrd", ".nhdr")) and context.invert is None:
            check_direction(path, nrrd_header(path).pairs.get(SLICER_KEY, ""))
        return Motion.of_field(read_displacement(path))

    def write(self, path: Path, motion: Motion, context: MotionContext) -> None:
        """Writes a displacement image of float32, on the fixed image's grid, else on the motion's own.

        Raises:
            InputError: no grid is known; NIfTI for a 2D field.
            OutputError: the file cannot be written.
        """
        field = motion.field(context.fixed)
        write_displacement(path, DisplacementField(field.displacement_mm.astype("float32"), field.grid))


def check_direction(path: Path, stored: str) -> None:
    """Raises InputError where Slicer stored the direction that carries points and models to the parent."""
    if stored == MODELING:
        raise InputError(
            f"{path}: Slicer stored it as a transform that carries points (displacement field type: modeling); give"
            " --no-invert if it stood over points of the fixed image, or --invert if over the moving image"
        )
