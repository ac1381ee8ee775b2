"""The files that a strain computation writes: checked before it, written after it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from UltrasoundMotionLib.cli.output_files import check_outputs, named_paths
from UltrasoundMotionLib.cli.terminal_progress import TerminalProgress
from UltrasoundMotionLib.settings import check_options, option

if TYPE_CHECKING:
    from UltrasoundMotionLib.images import ImageSequence
    from UltrasoundMotionLib.strain import LeftVentricleStrain, StrainResult

ENDINGS = {"strain": (".csv",), "report": (".json",), "plot": (".png",), "scene": (".mrb",)}


@dataclass(frozen=True)
class StrainOutputs:
    """Files to write the results to; None is not written.

    Attributes:
        strain: curves (.csv).
        report: measures with units, definitions, quality, and all curves (.json).
        plot: the page with wall, curves, bull's-eye and table (.png); needs the extra `plot`.
        scene: 3D Slicer scene (.mrb); needs the extra `slicer` and the clip.
    """

    strain: Path | None = option(
        None,
        flag="--out",
        metavar="STRAIN.csv",
        required=True,
        help="a line for each frame: time, whole wall, segments (%)",
    )
    plot: Path | None = option(
        None, metavar="S.png", help="also write the page with wall, curves, bull's-eye and table (extra plot)"
    )
    report: Path | None = option(
        None, metavar="R.json", help="also write measures with units and definitions, quality and all curves"
    )
    scene: Path | None = option(None, metavar="S.mrb", help="also write a 3D Slicer scene; needs --clip (extra slicer)")

    def __post_init__(self) -> None:
        check_options(self)

    def named(self) -> Iterator[tuple[str, Path]]:
        """Returns (name, path) of every file to write."""
        return named_paths(self, ENDINGS)

    def check(self, inputs: tuple[Path, ...] = ()) -> None:
        """Checks before the computation whether everything can be written.

        Raises:
            OutputError: a file cannot be written, see `check_outputs`.
            MissingPackageError: a package that an output needs is not installed.
        """
        check_outputs(self.named(), ENDINGS, inputs)
        if self.plot:
            from UltrasoundMotionLib.pictures import require_plot_packages

            require_plot_packages()
        if self.scene:
            import UltrasoundMotionLib.mrml  # noqa: F401  says what is missing

    def write(
        self,
        result: StrainResult,
        sequence: ImageSequence | None,
        *,
        ventricle: LeftVentricleStrain | None = None,
        title: str = "",
        provenance: Mapping[str, Any] | None = None,
        quiet: bool = False,
    ) -> None:
        """Writes every file, the tables first; a scene needs the clip.

        The page's bull's-eye shows the `ventricle` where several views are given.
        """
        from UltrasoundMotionLib.strain.strain_files import write_strain_csv, write_strain_json

        if self.strain:
            write_strain_csv(self.strain, result)
        if self.report:
            write_strain_json(self.report, result, provenance)
        if self.plot:
            from UltrasoundMotionLib.pictures.strain_report import write_strain_report

            write_strain_report(self.plot, result, sequence, ventricle=ventricle, title=title)
        if self.scene:
            assert sequence is not None, "a scene needs the clip"
            from UltrasoundMotionLib.mrml.strain_nodes import write_strain_scene

            with TerminalProgress("scene", quiet=quiet) as progress:
                write_strain_scene(self.scene, sequence, result, progress=progress)
