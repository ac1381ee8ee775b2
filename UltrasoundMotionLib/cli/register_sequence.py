"""`register-sequence`: every frame of a clip, or every volume over time, registered to a reference frame."""

from __future__ import annotations

import argparse
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from UltrasoundMotionLib.cli.register import CANCELLED
from UltrasoundMotionLib.cli.request_arguments import add_arguments, from_arguments
from UltrasoundMotionLib.cli.sequence_outputs import SequenceOutputs
from UltrasoundMotionLib.cli.terminal_progress import TerminalProgress, duration, print_notes
from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.registration.request import MODES, TISSUE, SequenceRequest
from UltrasoundMotionLib.settings import check_options, option, options_of

if TYPE_CHECKING:
    from UltrasoundMotionLib.images import ImageSequence
    from UltrasoundMotionLib.images.volume_sequence import VolumeSequence
    from UltrasoundMotionLib.registration.sequences.sequence_registration import SequenceRegistration

DESCRIPTION = """Finds where every point of the reference frame is in each other frame, without drift, and writes it as
a displacement u for each frame, on the grid of the reference in LPS mm: reference(x) = frame(x + u(x)); or, with
--method rigid or affine, as a matrix for each frame. SEQUENCE is a clip (DICOM, video, pictures, NRRD, MetaImage,
NIfTI) or volumes over time (NIfTI or MetaImage of four dimensions, .seq.nrrd)."""


@dataclass(frozen=True)
class SequenceInputs:
    """The sequence to register, labels of its reference frame, and where it counts.

    Attributes:
        sequence: the clip, or volumes over time.
        reference_labels: label map of the reference frame, carried to every frame.
        mask: an image, above 0 where the reference counts, or "tissue".
        spacing_mm, frame_rate: in place of what a clip's file says.
    """

    sequence: Path = option(flag="SEQUENCE", metavar="SEQUENCE", help="the clip, or the volumes over time")
    reference_labels: Path | None = option(
        None, flag="--labels", metavar="L", help="label map of the reference frame, to be carried to each frame"
    )
    mask: Path | None = option(
        None,
        metavar=f"M|{TISSUE}",
        help=f"image, above 0 where the reference counts, or {TISSUE}: found by grey levels (default: the sector)",
    )
    spacing_mm: tuple[float, float] | None = option(
        None, above=0, metavar=("SX", "SY"), help="pixel size of a clip, in place of what it says"
    )
    frame_rate: float | None = option(
        None, above=0, metavar="FPS", help="frames per second of a clip, in place of what it says"
    )

    def __post_init__(self) -> None:
        check_options(self)


def fill_parser(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of the verb."""
    parser.description = DESCRIPTION
    add_arguments(parser, SequenceInputs)
    add_arguments(parser, SequenceRequest, only=[one.name for one in options_of(SequenceRequest) if one.name != "mask"])
    add_arguments(parser, SequenceOutputs)
    parser.add_argument("--quiet", action="store_true", help="print nothing but errors")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Checks everything, registers, writes the files and prints a summary."""
    inputs = from_arguments(SequenceInputs, arguments)
    request = from_arguments(SequenceRequest, arguments, mask=None)
    outputs = from_arguments(SequenceOutputs, arguments)
    _check_labels(inputs, request, outputs)
    given = [path for path in (inputs.sequence, inputs.reference_labels, _mask_file(inputs)) if path is not None]
    outputs.check(tuple(given), request)

    sequence = _read(inputs)
    outputs.check_sequence(sequence)
    request = replace(request, mask=_mask(inputs, sequence))
    labels = _labels(inputs, sequence)

    from UltrasoundMotionLib.registration import register_sequence

    with TerminalProgress("registering", "frames", quiet=arguments.quiet) as progress:
        registration = register_sequence(sequence, progress=progress, request=request)
    print_notes((*sequence.notes, *registration.notes), quiet=arguments.quiet)
    with TerminalProgress("writing", "frames", quiet=arguments.quiet) as progress:
        notes = outputs.write(sequence, registration, labels, progress=progress)
    print_notes(notes, quiet=arguments.quiet)
    if not arguments.quiet:
        print(summarise(inputs.sequence.name, sequence, registration, request))
        print("\n".join(["Wrote:", *(f"  {name:<13}  {path}" for name, path in outputs.named())]))
    return CANCELLED if registration.interrupted else 0


def _check_labels(inputs: SequenceInputs, request: SequenceRequest, outputs: SequenceOutputs) -> None:
    if outputs.labels is not None and inputs.reference_labels is None:
        raise InputError("--out-labels needs --labels, the label map of the reference frame")
    if inputs.reference_labels is not None and outputs.labels is None:
        raise InputError("--labels needs --out-labels, to write them")
    if request.mode != MODES[0]:
        for flag, path in (("--out-labels", outputs.labels), ("--out-warped", outputs.warped)):
            if path is not None:
                raise InputError(
                    f"{flag} needs --mode {MODES[0]}: motions from frame to frame do not lead to one frame"
                )


def _read(inputs: SequenceInputs) -> ImageSequence | VolumeSequence:
    from UltrasoundMotionLib.images import read_sequence
    from UltrasoundMotionLib.images.volume_sequence import VolumeSequence, read_frames

    found = read_frames(inputs.sequence)
    if inputs.spacing_mm is None and inputs.frame_rate is None:
        return found
    if isinstance(found, VolumeSequence):
        raise InputError("--spacing-mm and --frame-rate are those of a clip, and the sequence holds volumes")
    return read_sequence(inputs.sequence, spacing_mm=inputs.spacing_mm, frame_rate_hz=inputs.frame_rate)


def _labels(inputs: SequenceInputs, sequence: ImageSequence | VolumeSequence) -> np.ndarray | None:
    from UltrasoundMotionLib.registration.sequences.frame_images import read_frame_image

    path = inputs.reference_labels
    return None if path is None else read_frame_image(path, "labels", sequence)


def _mask_file(inputs: SequenceInputs) -> Path | None:
    return None if inputs.mask is None or str(inputs.mask) == TISSUE else inputs.mask


def _mask(inputs: SequenceInputs, sequence: ImageSequence | VolumeSequence) -> np.ndarray | str | None:
    from UltrasoundMotionLib.registration.sequences.frame_images import read_frame_image

    path = _mask_file(inputs)
    if path is None:
        return TISSUE if inputs.mask is not None else None
    return read_frame_image(path, "mask", sequence)


def summarise(
    name: str, sequence: ImageSequence | VolumeSequence, registration: SequenceRegistration, request: SequenceRequest
) -> str:
    """Returns a summary in a few lines."""
    mean = registration.mean_measures()
    to = f"to frame {registration.reference_frame}" if registration.mode == MODES[0] else "each to the one before"
    share = f"; {mean.share_nonpositive:.2%} of voxels fold" if request.method == "dense" else ""
    return (
        f"Registered {len(sequence)} frames of {name} {to} ({request.method}) in {duration(registration.seconds)} on"
        f" {registration.device}.\nLocal cross-correlation {mean.nlcc_before:.3f} before, {mean.nlcc:.3f} after; mean"
        f" squared difference {mean.mse_before:.4f} before, {mean.mse:.4f} after{share}."
    )
