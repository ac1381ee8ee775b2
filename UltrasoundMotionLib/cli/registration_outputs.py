"""The files that a registration writes: checked before the run, written after it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from UltrasoundMotionLib.cli.output_files import check_outputs, named_paths
from UltrasoundMotionLib.cli.terminal_progress import TerminalProgress
from UltrasoundMotionLib.errors import OutputError
from UltrasoundMotionLib.json_output import finite, write_json
from UltrasoundMotionLib.settings import check_options, option

if TYPE_CHECKING:
    from UltrasoundMotionLib.images.volume import Volume
    from UltrasoundMotionLib.registration import Registration

VOLUME_ENDINGS = (".nii", ".nii.gz", ".nrrd", ".mha")
ENDINGS = {
    "displacement": (*VOLUME_ENDINGS, ".h5", ".tfm", ".npz"),
    "warped": VOLUME_ENDINGS,
    "labels": VOLUME_ENDINGS,
    "confidence": VOLUME_ENDINGS,
    "report": (".json",),
    "picture": (".png",),
    "scene": (".mrb",),
}


@dataclass(frozen=True)
class RegistrationOutputs:
    """The files of the results; those that are None are not written.

    Attributes:
        displacement: vector image on the fixed grid, LPS mm; or an ITK transform (.h5, .tfm), or VoxelMorph's warp
            (.npz).
        warped: the moving image on the fixed grid.
        labels: the moving labels there.
        confidence: how far each of them can be trusted, from a method that transfers labels or has class maps.
        report: measures (.json).
        picture: both images, their difference and the warped grid (.png); needs the extra `plot`.
        scene: 3D Slicer scene (.mrb); needs the extra `slicer`.
    """

    displacement: Path = option(
        flag="--out-displacement", metavar="U.nrrd", help="vector image on the grid of FIXED, LPS mm; or .h5, .npz"
    )
    warped: Path | None = option(None, flag="--out-warped", metavar="W", help="also write MOVING on the grid of FIXED")
    labels: Path | None = option(None, flag="--out-labels", metavar="L2", help="where to write the carried labels")
    confidence: Path | None = option(
        None,
        flag="--out-confidence",
        metavar="C",
        help="how far each carried label can be trusted, 0 to 1 (label-transfer, anatomy-guided, pyramid)",
    )
    report: Path | None = option(None, metavar="R.json", help="also write all measures")
    picture: Path | None = option(
        None,
        metavar="P.png",
        help="also draw both images, their difference and the warped grid (extra plot)",
    )
    scene: Path | None = option(None, metavar="S.mrb", help="also write a 3D Slicer scene (extra slicer)")

    def __post_init__(self) -> None:
        check_options(self)

    def named(self) -> Iterator[tuple[str, Path]]:
        """Returns (name, path) of every file to write."""
        return named_paths(self, ENDINGS)

    def check(self, inputs: tuple[Path, ...]) -> None:
        """Checks before the long work that everything can be written.

        Raises:
            OutputError: a wrong ending, a folder that is missing or cannot be written to, one name for two files or for
                an input.
            MissingPackageError: a package that an output needs is not installed.
        """
        check_outputs(self.named(), ENDINGS, inputs)
        if self.picture:
            from UltrasoundMotionLib.pictures import require_plot_packages

            require_plot_packages()
        if self.scene:
            import UltrasoundMotionLib.mrml  # noqa: F401  its error names the missing package

    def check_grid(self, fixed: Volume) -> None:
        """Raises OutputError where NIfTI was asked for a displacement of one slice, which cannot be read back."""
        flat = fixed.array.ndim == 2 or fixed.array.shape[0] == 1
        if flat and self.displacement.name.lower().endswith((".nii", ".nii.gz")):
            raise OutputError(f"{self.displacement}: NIfTI cannot hold the displacement of a 2D image; use .nrrd")

    def write(
        self,
        fixed: Volume,
        moving: Volume,
        registration: Registration,
        fixed_labels: Volume | None,
        *,
        confidence: Volume | None = None,
        quiet: bool = False,
    ) -> None:
        """Writes every file, the displacement first: the others can be made from it again."""
        from UltrasoundMotionLib.exchange.motions import Motion, MotionContext, write_motion
        from UltrasoundMotionLib.fields import ImageGrid, write_displacement
        from UltrasoundMotionLib.images.volume_files import write_volume

        if self.displacement.name.lower().endswith(VOLUME_ENDINGS):
            write_displacement(self.displacement, registration.displacement, in_pixels=not fixed.spacing_known)
        else:
            context = MotionContext(ImageGrid.of(fixed), ImageGrid.of(moving))
            write_motion(self.displacement, Motion.of_field(registration.displacement), context=context)
        if self.warped:
            write_volume(self.warped, registration.warped)
        if self.labels and registration.warped_labels is not None:
            write_volume(self.labels, registration.warped_labels)
        if self.confidence and confidence is not None:
            write_volume(self.confidence, confidence, with_unknown=True)
        if self.report:
            write_json(self.report, _report_of(fixed, moving, registration))
        if self.picture:
            from UltrasoundMotionLib.pictures.registration_picture import write_registration_picture

            write_registration_picture(self.picture, fixed, moving, registration, fixed_labels=fixed_labels)
        if self.scene:
            from UltrasoundMotionLib.mrml.registration_scene import write_registration_scene

            with TerminalProgress("scene", quiet=quiet) as progress:
                write_registration_scene(
                    self.scene,
                    fixed,
                    moving,
                    registration,
                    fixed_labels=fixed_labels,
                    confidence=confidence,
                    progress=progress,
                )


def _report_of(fixed: Volume, moving: Volume, registration: Registration) -> dict:
    """The report as JSON holds it: similarity before and after, labels, Jacobian, seconds, device.

    Null where a number is not defined (a label that is missing).
    """
    measures = registration.measures
    content = {
        "fixed": fixed.name,
        "moving": moving.name,
        "method": registration.method,
        "similarity": {
            "lncc_before": measures.lncc_before,
            "lncc": measures.lncc,
            "mse_before": measures.mse_before,
            "mse": measures.mse,
            "alike_before": measures.alike_before,
            "alike": measures.alike,
        },
        "labels": {label: asdict(one) for label, one in measures.labels.items()},
        "label_doubts": {label: asdict(one) for label, one in measures.label_doubts.items()},
        "jacobian": asdict(measures.jacobian),
        "jacobian_inside": None if measures.jacobian_inside is None else asdict(measures.jacobian_inside),
        "inside": measures.inside,
        "seconds": measures.seconds,
        "device": measures.device,
        "interrupted": registration.interrupted,
        "notes": (*fixed.notes, *moving.notes, *registration.notes),
    }
    return finite(content)
