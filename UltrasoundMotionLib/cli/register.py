"""`register`: put one image onto another and write the displacement that does it."""

from __future__ import annotations

import argparse
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from UltrasoundMotionLib.cli.itk_warnings import no_itk_warnings
from UltrasoundMotionLib.cli.registration_outputs import RegistrationOutputs
from UltrasoundMotionLib.cli.request_arguments import positive_number
from UltrasoundMotionLib.cli.terminal_progress import TerminalProgress, duration, print_notes
from UltrasoundMotionLib.errors import Cancelled, InputError
from UltrasoundMotionLib.text_table import format_number, text_table

if TYPE_CHECKING:
    from UltrasoundMotionLib.images.volume import Volume
    from UltrasoundMotionLib.registration import Registration

DESCRIPTION = """Finds where every point of FIXED lies in MOVING, 2D or 3D, and writes it as a displacement u on the grid of FIXED in LPS mm:
fixed(x) = moving(x + u(x)), ITK's convention, which 3D Slicer and SimpleITK read. The default method needs no training; `models list` has those
that were trained, on heart MRI and hippocampi, and the licences of their weights."""

CANCELLED = 130


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Adds the verb."""
    parser = subparsers.add_parser("register", help="put one image or volume onto another", description=DESCRIPTION)
    parser.add_argument(
        "fixed", metavar="FIXED", type=Path, help="the image that stays: .nii(.gz), .nrrd, .mha, a DICOM folder ..."
    )
    parser.add_argument("moving", metavar="MOVING", type=Path, help="the image that is put onto it")
    parser.add_argument(
        "--out-displacement",
        metavar="U.nrrd",
        type=Path,
        required=True,
        help="vector image on the grid of FIXED, LPS mm",
    )
    parser.add_argument(
        "--method",
        metavar="M",
        help="instance (default), semantic, ltnet, voxelmorph, demons ...; a wrong name lists all",
    )
    parser.add_argument(
        "--refine",
        action=argparse.BooleanOptionalAction,
        help="of a trained method: whether its answer is refined on this pair, which takes seconds more (default: as the method says)",
    )
    parser.add_argument("--out-warped", metavar="W", type=Path, help="also write MOVING on the grid of FIXED")
    parser.add_argument(
        "--moving-labels",
        metavar="L",
        type=Path,
        help="label map of MOVING, to be carried along (it never influences the result)",
    )
    parser.add_argument("--out-labels", metavar="L2", type=Path, help="where to write the carried labels")
    parser.add_argument(
        "--out-confidence",
        metavar="C",
        type=Path,
        help="with --method ltnet: how far each label can be trusted, 0 to 1",
    )
    parser.add_argument(
        "--fixed-labels", metavar="F", type=Path, help="label map of FIXED: Dice and HD95 are then measured"
    )
    parser.add_argument("--fixed-mask", metavar="M", type=Path, help="where FIXED counts")
    parser.add_argument("--moving-mask", metavar="M", type=Path, help="where MOVING counts")
    parser.add_argument(
        "--initial",
        choices=("auto", "rigid", "affine", "none"),
        default="auto",
        help="where to begin (default auto: rigid where the overlap is poor)",
    )
    parser.add_argument(
        "--working-spacing-mm",
        metavar="S",
        type=positive_number,
        help="search on a coarser grid; the result is on that of FIXED",
    )
    parser.add_argument("--device", metavar="D", default="auto", help="auto (default), cpu or cuda")
    parser.add_argument("--report", metavar="R.json", type=Path, help="also write all measures")
    parser.add_argument(
        "--picture",
        metavar="P.png",
        type=Path,
        help="also draw both images, their difference and the warped grid (extra plot)",
    )
    parser.add_argument("--scene", metavar="S.mrb", type=Path, help="also write a 3D Slicer scene (extra slicer)")
    parser.add_argument(
        "--keep-partial",
        action="store_true",
        help="when interrupted, write the best result so far (exit code 130 all the same)",
    )
    parser.add_argument("--quiet", action="store_true", help="say nothing but errors")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Checks everything, registers, writes the files and says what came out."""
    inputs = {
        name: getattr(arguments, name)
        for name in ("fixed", "moving", "fixed_labels", "moving_labels", "fixed_mask", "moving_mask")
    }
    outputs = RegistrationOutputs(
        displacement=arguments.out_displacement,
        warped=arguments.out_warped,
        labels=arguments.out_labels,
        confidence=arguments.out_confidence,
        report=arguments.report,
        picture=arguments.picture,
        scene=arguments.scene,
    )
    check_labels(arguments)
    outputs.check(inputs=tuple(path for path in inputs.values() if path is not None))

    from UltrasoundMotionLib.images.volume_files import read_volume

    with no_itk_warnings():
        volumes = {name: None if path is None else read_volume(path) for name, path in inputs.items()}
    fixed, moving = volumes.pop("fixed"), volumes.pop("moving")
    outputs.check_grid(fixed)
    if arguments.method == "ltnet" and volumes["moving_labels"] is not None:
        from UltrasoundMotionLib.registration.methods.ltnet.label_transfer import check_label_values

        check_label_values(volumes["moving_labels"], str(arguments.moving_labels))

    from UltrasoundMotionLib.registration import register

    options = {name: value for name in ("method", "refine") if (value := getattr(arguments, name)) is not None}
    initial = None if arguments.initial == "none" else arguments.initial
    with (
        TerminalProgress("registering", "steps", quiet=arguments.quiet) as progress,
        interruptible(progress, arguments.keep_partial) as report,
    ):
        registration = register(
            fixed,
            moving,
            **options,
            **volumes,
            device=arguments.device,
            initial_transform=initial,
            working_spacing_mm=arguments.working_spacing_mm,
            progress=report,
            keep_partial=arguments.keep_partial,
        )
    print_notes(registration.notes, quiet=arguments.quiet)
    confidence = None
    if outputs.confidence:
        from UltrasoundMotionLib.registration.methods.ltnet.label_transfer import label_confidence

        confidence = label_confidence(
            fixed, moving, volumes["moving_labels"], registration, initial_transform=initial, device=arguments.device
        )
    outputs.write(fixed, moving, registration, volumes["fixed_labels"], confidence=confidence, quiet=arguments.quiet)
    if not arguments.quiet:
        print(summarise(fixed, moving, registration))
        print("\n".join(["Wrote:", *(f"  {name:<12}  {path}" for name, path in outputs.named())]))
        print(f"Next: {what_next(outputs)}")
    return CANCELLED if registration.interrupted else 0


def check_labels(arguments: argparse.Namespace) -> None:
    """Raises InputError where an option about labels lacks the one that it needs."""
    if arguments.moving_labels is None:
        for option, value in (
            ("--out-labels", arguments.out_labels),
            ("--out-confidence", arguments.out_confidence),
            ("--fixed-labels", arguments.fixed_labels),
        ):
            if value is not None:
                raise InputError(f"{option} needs --moving-labels")
    elif arguments.out_labels is None and arguments.fixed_labels is None:
        raise InputError("--moving-labels needs --out-labels (to write them) or --fixed-labels (to compare them)")
    if arguments.out_confidence is not None and arguments.method != "ltnet":
        raise InputError("--out-confidence needs --method ltnet, which learned to go both ways")


@contextmanager
def interruptible(progress: TerminalProgress, keep_partial: bool) -> Iterator[object]:
    """The same progress; with `keep_partial`, Ctrl-C waits for the next step and cancels there, so that the field so
    far is whole.
    """
    if not keep_partial:
        yield progress
        return
    asked = []

    def report(done: int, total: int, message: str) -> None:
        progress(done, total, message)
        if asked:
            raise Cancelled("interrupted")

    previous = signal.signal(signal.SIGINT, lambda number, frame: asked.append(number))
    try:
        yield report
    finally:
        signal.signal(signal.SIGINT, previous)


def summarise(fixed: Volume, moving: Volume, registration: Registration) -> str:
    """What came out, in four lines and a table of labels."""
    measures, jacobian = registration.measures, registration.measures.jacobian
    lengths = np.linalg.norm(registration.displacement.displacement_mm, axis=-1)
    size = " x ".join(map(str, fixed.array.shape[::-1]))
    lines = [
        f"{'Interrupted: the best so far of' if registration.interrupted else 'Registered'} {moving.name} onto {fixed.name} ({size} voxels)"
        f" with {registration.method} in {duration(measures.seconds)} on {measures.device}.",
        f"Local cross-correlation {measures.lncc_before:.3f} before, {measures.lncc:.3f} after;"
        f" mean squared difference {measures.mse_before:.4f} before, {measures.mse:.4f} after.",
        f"Displacement {lengths.mean():.2f} mm on average, {lengths.max():.2f} mm at most; volume changes by {jacobian.minimum:.2f} to"
        f" {jacobian.maximum:.2f} (std of the logarithm {jacobian.std_log:.3f}); {jacobian.share_nonpositive:.2%} of voxels fold.",
    ]
    if measures.labels:
        rows = [
            [
                str(label),
                *(
                    format_number(None if np.isnan(value) else value)
                    for value in (one.dice_before, one.dice, one.hd95_mm)
                ),
            ]
            for label, one in measures.labels.items()
        ]
        lines.append(text_table(["label", "Dice before", "Dice after", "HD95 mm"], rows))
    return "\n".join(lines)


def what_next(outputs: RegistrationOutputs) -> str:
    """One sentence on how to look at the result."""
    if outputs.scene:
        return f"open {outputs.scene} in 3D Slicer: the moving volume lies on the fixed one; take it out of its transform to see what was done."
    if outputs.picture:
        return f"look at {outputs.picture}; add --scene S.mrb to see it in 3D Slicer."
    return "see whether the images match: add --picture P.png, or --scene S.mrb for 3D Slicer."
