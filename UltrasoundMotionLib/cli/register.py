"""`register`: put one image onto another and write the displacement that does it."""

from __future__ import annotations

import argparse
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from UltrasoundMotionLib.cli.output_files import weights_files
from UltrasoundMotionLib.cli.registration_outputs import RegistrationOutputs
from UltrasoundMotionLib.cli.request_arguments import add_arguments, from_arguments
from UltrasoundMotionLib.cli.terminal_progress import TerminalProgress, duration, print_notes
from UltrasoundMotionLib.errors import Cancelled, InputError
from UltrasoundMotionLib.progress import Progress
from UltrasoundMotionLib.registration.registry import available_methods, find_method
from UltrasoundMotionLib.registration.request import FIXED, MOVING, RegisterRequest
from UltrasoundMotionLib.settings import check_options, option
from UltrasoundMotionLib.text_table import format_number, text_table

if TYPE_CHECKING:
    from UltrasoundMotionLib.images.volume import Volume
    from UltrasoundMotionLib.registration import Registration

DESCRIPTION = """Finds where every point of FIXED lies in MOVING, 2D or 3D, and writes it as a displacement u on the
grid of FIXED in LPS mm: fixed(x) = moving(x + u(x)), ITK's convention, which 3D Slicer and SimpleITK read. The default
method needs no training; `models list` has those that were trained, on heart MRI and hippocampi, and the licences of
their weights."""

CANCELLED = 130


@dataclass(frozen=True)
class RegisterInputs:
    """The images to register, their labels and masks.

    Attributes:
        fixed, moving: the images.
        moving_labels, fixed_labels: their label maps.
        fixed_mask, moving_mask: where they count.
    """

    fixed: Path = option(
        flag="FIXED", metavar="FIXED", help="the image that stays: .nii(.gz), .nrrd, .mha, a DICOM folder ..."
    )
    moving: Path = option(flag="MOVING", metavar="MOVING", help="the image that is put onto it")
    moving_labels: Path | None = option(
        None,
        metavar="L",
        help="label map of MOVING, to be carried along (it influences the result only with --guide-labels)",
    )
    fixed_labels: Path | None = option(None, metavar="F", help="label map of FIXED: Dice and HD95 are then measured")
    fixed_mask: Path | None = option(None, metavar="M", help="where FIXED counts")
    moving_mask: Path | None = option(None, metavar="M", help="where MOVING counts")

    def __post_init__(self) -> None:
        check_options(self)

    def named(self) -> dict[str, Path]:
        """The files given, by name."""
        given = {one.name: getattr(self, one.name) for one in fields(self)}
        return {name: path for name, path in given.items() if path is not None}


def fill_parser(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of the verb."""
    parser.description = DESCRIPTION
    for kind in (RegisterInputs, RegisterRequest, RegistrationOutputs):
        add_arguments(parser, kind)
    parser.add_argument(
        "--keep-partial",
        action="store_true",
        help="when interrupted, write the best result so far (exit code 130 all the same)",
    )
    parser.add_argument("--quiet", action="store_true", help="print nothing but errors")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Checks everything, registers, writes the files and prints a summary."""
    inputs = from_arguments(RegisterInputs, arguments)
    request = from_arguments(RegisterRequest, arguments)
    outputs = from_arguments(RegistrationOutputs, arguments)
    _check_labels(inputs, request, outputs)
    outputs.check(inputs=(*inputs.named().values(), *weights_files(request.weights)))

    from UltrasoundMotionLib.images.volume_files import read_volume

    volumes = {name: read_volume(path) for name, path in inputs.named().items()}
    fixed, moving = volumes.pop("fixed"), volumes.pop("moving")
    outputs.check_grid(fixed)

    from UltrasoundMotionLib.registration import register
    from UltrasoundMotionLib.registration.label_transfer import check_label_values, label_confidence

    if inputs.moving_labels is not None and find_method(request.method).transfers_labels:
        check_label_values(volumes["moving_labels"], str(inputs.moving_labels), request)
    with (
        TerminalProgress("registering", "steps", quiet=arguments.quiet) as progress,
        _interruptible(progress, arguments.keep_partial) as report,
    ):
        registration = register(
            fixed, moving, **volumes, progress=report, keep_partial=arguments.keep_partial, request=request
        )
    read_notes = [f"{image.name}: {note}" for image in (fixed, moving, *volumes.values()) for note in image.notes]
    print_notes((*read_notes, *registration.notes), quiet=arguments.quiet)
    confidence = registration.label_confidence if outputs.confidence else None
    if outputs.confidence and find_method(request.method).transfers_labels:
        confidence = label_confidence(fixed, moving, volumes["moving_labels"], registration, request=request)
    outputs.write(
        fixed, moving, registration, volumes.get("fixed_labels"), confidence=confidence, quiet=arguments.quiet
    )
    if not arguments.quiet:
        print(summarise(fixed, moving, registration))
        print("\n".join(["Wrote:", *(f"  {name:<12}  {path}" for name, path in outputs.named())]))
        print(f"Next: {what_next(outputs)}")
    return CANCELLED if registration.interrupted else 0


def _check_labels(inputs: RegisterInputs, request: RegisterRequest, outputs: RegistrationOutputs) -> None:
    """Raises InputError where an option about labels lacks the one that it needs, or a method that transfers them."""
    if inputs.moving_labels is None:
        for flag, path in (
            ("--out-labels", outputs.labels),
            ("--out-confidence", outputs.confidence),
            ("--fixed-labels", inputs.fixed_labels),
        ):
            if path is not None and not (flag == "--fixed-labels" and FIXED in request.guides):
                raise InputError(f"{flag} needs --moving-labels")
    elif outputs.labels is None and inputs.fixed_labels is None and MOVING not in request.guides:
        raise InputError("--moving-labels needs --out-labels (to write them) or --fixed-labels (to compare them)")
    if outputs.confidence is None:
        return
    method = find_method(request.method)
    if not method.gives_confidence:
        names = " or ".join(one.name for one in available_methods() if one.gives_confidence)
        raise InputError(f"--out-confidence needs --method {names}, which learned what the labels are of")
    if not method.transfers_labels and outputs.confidence.name.lower().endswith((".nii", ".nii.gz")):
        raise InputError(
            f"--out-confidence {outputs.confidence}: holds NaN where nothing is known, which readers of NIfTI take for"
            " 0; write .nrrd or .mha"
        )
    if method.guided_by_labels and (request.refine is False or FIXED in request.guides):
        raise InputError(
            "--out-confidence: needs the class map of FIXED that guides the refinement; leave out --no-refine and"
            f" --guide-labels {request.guide_labels if FIXED in request.guides else FIXED}"
        )


@contextmanager
def _interruptible(progress: TerminalProgress, keep_partial: bool) -> Iterator[Progress]:
    """Yields the progress; with `keep_partial`, Ctrl-C waits for the next step and cancels there, so that the field so
    far is whole.
    """
    if not keep_partial:
        yield progress
        return
    asked: list[int] = []

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
    """Returns a summary in a few lines and a table of labels."""
    measures, jacobian = registration.measures, registration.measures.jacobian
    lengths = np.linalg.norm(registration.displacement.displacement_mm, axis=-1)
    unit = "mm" if fixed.spacing_known else "px"
    size = " x ".join(map(str, fixed.array.shape[::-1]))
    lines = [
        f"{'Interrupted: the best so far of' if registration.interrupted else 'Registered'} {moving.name} onto"
        f" {fixed.name} ({size} voxels) with {registration.method} in {duration(measures.seconds)} on"
        f" {measures.device}.",
        f"Local cross-correlation {measures.lncc_before:.3f} before, {measures.lncc:.3f} after;"
        f" mean squared difference {measures.mse_before:.4f} before, {measures.mse:.4f} after.",
        *(
            []
            if measures.alike is None
            else [f"Likeness of coarse copies {measures.alike_before:.2f} before, {measures.alike:.2f} after."]
        ),
        f"Displacement {lengths.mean():.2f} {unit} on average, {lengths.max():.2f} {unit} at most; volume changes by"
        f" {jacobian.minimum:.2f} to {jacobian.maximum:.2f} (std of the logarithm {jacobian.std_log:.3f});"
        f" {jacobian.share_nonpositive:.2%} of voxels fold.",
    ]
    if measures.jacobian_inside is not None:
        inside = measures.jacobian_inside
        lines.append(
            f"Inside the {measures.inside}: volume changes by {inside.minimum:.2f} to {inside.maximum:.2f} (std of the"
            f" logarithm {inside.std_log:.3f}); {inside.share_nonpositive:.2%} of voxels fold."
        )
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
    """Returns one sentence on how to look at the result."""
    if outputs.scene:
        return (
            f"open {outputs.scene} in 3D Slicer: the moving volume lies on the fixed one; take it out of its transform"
            " to see it as it was."
        )
    if outputs.picture:
        return f"look at {outputs.picture}; add --scene S.mrb to see it in 3D Slicer."
    return "see whether the images match: add --picture P.png, or --scene S.mrb for 3D Slicer."
