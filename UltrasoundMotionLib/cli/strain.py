"""`strain`: from tracks along the wall to curves, segments, GLS and their quality."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from UltrasoundMotionLib import __version__
from UltrasoundMotionLib.cli.request_arguments import add_arguments, from_arguments, positive_number
from UltrasoundMotionLib.cli.strain_outputs import StrainOutputs
from UltrasoundMotionLib.cli.terminal_progress import print_notes
from UltrasoundMotionLib.errors import InputError, OptionError
from UltrasoundMotionLib.settings import check_options, option
from UltrasoundMotionLib.strain.measure import measure_strain
from UltrasoundMotionLib.strain.mirrored_view import with_mirror_doubt
from UltrasoundMotionLib.strain.request import StrainRequest
from UltrasoundMotionLib.strain.strain_config import StrainConfig
from UltrasoundMotionLib.strain.ventricle_segments import ventricle_strain
from UltrasoundMotionLib.tracking.files.tracks_csv import read_tracks_csv

if TYPE_CHECKING:
    from UltrasoundMotionLib.images.image_sequence import ImageSequence
    from UltrasoundMotionLib.strain.layered_strain import LayeredStrain
    from UltrasoundMotionLib.strain.strain_result import StrainResult
    from UltrasoundMotionLib.strain.ventricle_segments import LeftVentricleStrain
    from UltrasoundMotionLib.tracking.point_tracks import PointTracks

DESCRIPTION = """Computes strain from tracks of points along the wall of the left ventricle. The points' order along the
wall is the order in which the tracks' CSV first names them, that of the points file that was tracked: from one base
over the apex to the other (apical views; either base may come first) or once around (SAX views). With --layers 3 the
CSV holds three such contours of equal number one after the other, the inner one first; curves, picture and scene are
then the middle one's, and the report has all three and the thickness. Strain is Lagrangian, in percent, from
end-diastole; definitions as in Voigt et al. 2015 (EACVI/ASE/Industry). Not for clinical use."""


@dataclass(frozen=True)
class StrainInputs:
    """Files to measure strain from, and corrections to what they say.

    Attributes:
        tracks: tracks of the wall.
        clip: the clip that was tracked, for picture, scene and pixel size.
        also: tracks of the same wall by other trackers.
        spacing_mm: (x, y) pixel size; None: the clip's.
    """

    tracks: Path = option(
        flag="TRACKS.csv", metavar="TRACKS.csv", help="what `track` wrote for points along the wall, in order"
    )
    clip: Path | None = option(
        None, metavar="CLIP", help="the clip that was tracked, for picture and scene, and for its pixel size"
    )
    also: tuple[Path, ...] = option(
        (),
        metavar="TRACKS.csv",
        help="the same wall followed by other trackers: the uncertainty is then at least their disagreement",
    )
    spacing_mm: tuple[float, float] | None = option(
        None,
        above=0,
        metavar=("SX", "SY"),
        parse=positive_number,
        help="pixel size in mm (default: the clip's, if any)",
    )

    def __post_init__(self) -> None:
        check_options(self)


def fill_parser(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of the verb."""
    parser.description = DESCRIPTION
    for kind in (StrainInputs, StrainOutputs, StrainRequest):
        add_arguments(parser, kind)
    parser.add_argument(
        "--other-view",
        metavar=("V", "TRACKS.csv"),
        nargs=2,
        action="append",
        default=[],
        help="tracks of another apical view, for the bull's-eye and the strain of the whole ventricle; may be given"
        " again",
    )
    parser.add_argument("--title", metavar="T", default="", help="of the page (default: the clip's name)")
    parser.add_argument("--quiet", action="store_true", help="print nothing but errors")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Reads the files, measures, writes the results and prints a summary."""
    inputs = from_arguments(StrainInputs, arguments)
    outputs = from_arguments(StrainOutputs, arguments)
    request = from_arguments(StrainRequest, arguments)
    others = [(view, Path(path)) for view, path in arguments.other_view]
    clips = (inputs.clip,) if inputs.clip else ()
    outputs.check((inputs.tracks, *inputs.also, *clips, *(path for _, path in others)))
    if outputs.scene and not inputs.clip:
        raise InputError(f"--scene {outputs.scene} needs the clip: add --clip CLIP")
    tracks = read_tracks_csv(inputs.tracks)
    sequence = read_clip(inputs.clip, tracks, inputs.spacing_mm) if inputs.clip else None
    spacing = inputs.spacing_mm or (None if sequence is None else sequence.spacing_mm)
    tracks = replace(tracks, spacing_mm=spacing)
    trackers = {str(path): replace(read_tracks_csv(path), spacing_mm=spacing) for path in inputs.also}
    if trackers:
        trackers = {str(inputs.tracks): tracks, **trackers}
    try:
        measured = measure_strain(tracks, request=request, trackers=trackers)
    except OptionError as error:
        flag = f"--{error.option.replace('_', '-')}"
        raise InputError(f"{flag} {getattr(request, error.option)}: {error.reason}") from error
    except InputError as error:
        raise error if str(inputs.tracks) in str(error) else InputError(f"{inputs.tracks}: {error}") from error
    result, layered = measured.result, measured.layered
    if sequence is not None:
        result = with_mirror_doubt(result, sequence)
    ventricle = _whole_ventricle(result, others, request.segments) if others else None
    print_notes((*result.notes, *(ventricle.notes if ventricle is not None else ())), quiet=arguments.quiet)
    provenance: dict[str, Any] = {"software": f"ultrasound-motion {__version__}", "tracks": str(inputs.tracks)}
    provenance |= {"clip": str(inputs.clip)} if inputs.clip else {}
    if layered is not None:
        provenance["layers"] = _layer_measures(layered)
    if ventricle is not None:
        provenance["ventricle"] = {**asdict(ventricle), "percent": ventricle.percent.tolist()}
    outputs.write(
        result, sequence, ventricle=ventricle, title=arguments.title, provenance=provenance, quiet=arguments.quiet
    )
    if not arguments.quiet:
        print(summarise_strain(result))
        if ventricle is not None and ventricle.gls_percent is not None:
            print(f"Whole ventricle ({', '.join(ventricle.views)}): GLS {ventricle.gls_percent:.1f} %")
        print("\n".join(["Wrote:", *(f"  {name:<9}  {path}" for name, path in outputs.named())]))
    return 0


def read_clip(path: Path, tracks: PointTracks, spacing_mm: Sequence[float] | None) -> ImageSequence:
    """Reads the clip, which must have as many frames as the tracks.

    Raises:
        InputError: the clip cannot be read, or has another number of frames.
    """
    from UltrasoundMotionLib.images import read_sequence

    sequence = read_sequence(path, spacing_mm=spacing_mm)
    if len(sequence) != len(tracks.positions_px):
        raise InputError(
            f"{path}: {len(sequence)} frames, but the tracks have {len(tracks.positions_px)};"
            " give the clip that was tracked"
        )
    return sequence


def _whole_ventricle(
    result: StrainResult, others: Sequence[tuple[str, Path]], segment_count: int
) -> LeftVentricleStrain:
    """Combines a view's strain with that of other views, given as (view, tracks file).

    Raises:
        InputError: tracks that cannot be read or measured (the file is named), or views that cannot be combined.
    """
    from UltrasoundMotionLib.strain.contour_strain import longitudinal_strain

    results = [result]
    for view, path in others:
        tracks = replace(read_tracks_csv(path), spacing_mm=result.spacing_mm)
        try:
            config = StrainConfig(orientation=result.config.orientation)
            results.append(longitudinal_strain(tracks, view=view, config=config))
        except InputError as error:
            raise InputError(f"{path}: {error}") from error
    return ventricle_strain(results, segment_count)


def _layer_measures(layered: LayeredStrain) -> dict[str, Any]:
    """Returns the measures of every layer and of the thickness, for the report."""
    results = {**layered.layers, "thickness": layered.thickness}
    return {
        name: {
            "kind": result.kind,
            "measures": asdict(result.measures),
            "segments": {segment.name: asdict(segment) for segment in result.segment_measures},
        }
        for name, result in results.items()
    }


def summarise_strain(result: StrainResult) -> str:
    """Returns a summary: global strain with its uncertainty and events, and a line for each segment."""
    name = "GLS" if result.kind == "longitudinal" else f"Global {result.kind} strain"
    value, uncertainty = result.measures.end_systolic_percent, result.uncertainty
    if value is None:
        lines = [f"{name}: not given, too few segments were tracked."]
    else:
        interval = ""
        if uncertainty is not None:
            low, high = uncertainty.low_percent, uncertainty.high_percent
            interval = f" +- {uncertainty.standard_deviation_percent:.1f} (95 %: {low:.1f} to {high:.1f})"
        events = (
            f"end-diastole frame {result.cycle.reference_frame}, end-systole frame {result.cycle.end_systole_frame}"
        )
        lines = [f"{name} {value:.1f}{interval} %, {result.view}, {events}."]
    for measures, quality in zip(result.segment_measures, result.quality, strict=True):
        strain = "    -" if measures.end_systolic_percent is None else f"{measures.end_systolic_percent:5.1f}"
        verdict = f"confidence {quality.confidence:.2f}" if quality.accepted else f"rejected: {quality.reason}"
        lines.append(f"  {quality.name:<22} {strain} %  {verdict}")
    return "\n".join(lines)
