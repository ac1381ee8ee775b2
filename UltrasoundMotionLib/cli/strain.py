"""`strain`: from tracks along the wall to curves, segments, GLS and their quality."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from UltrasoundMotionLib import __version__
from UltrasoundMotionLib.cli.request_arguments import positive_number
from UltrasoundMotionLib.cli.strain_outputs import StrainOutputs
from UltrasoundMotionLib.cli.terminal_progress import print_notes
from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.strain.wall_layers import LAYER_NAMES
from UltrasoundMotionLib.tracking.files.tracks_csv import read_tracks_csv
from UltrasoundMotionLib.tracking.point_tracks import PointTracks

if TYPE_CHECKING:
    from UltrasoundMotionLib.images import ImageSequence
    from UltrasoundMotionLib.strain import CardiacEvents, LayeredStrain, LeftVentricleStrain, StrainResult

DESCRIPTION = """Computes strain from tracks of points along the wall of the left ventricle. The points' order along the wall is the order in which
the tracks' CSV first names them, that of the points file that was tracked: from one base over the apex to the other (apical views; either base may
come first) or once around (SAX views). With --layers 3 the CSV holds three such contours of equal number one after the other, the inner one first;
curves, picture and scene are then the middle one's, and the report has all three and the thickness. Strain is Lagrangian, in percent, from
end-diastole; definitions as in Voigt et al. 2015 (EACVI/ASE/Industry). Not for clinical use."""


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Adds the verb."""
    parser = subparsers.add_parser(
        "strain", help="strain curves, segments and GLS from tracks along the wall", description=DESCRIPTION
    )
    parser.add_argument(
        "tracks", metavar="TRACKS.csv", type=Path, help="what `track` wrote for points along the wall, in order"
    )
    parser.add_argument(
        "--out",
        metavar="STRAIN.csv",
        type=Path,
        required=True,
        help="a line for each frame: time, whole wall, segments (%%)",
    )
    parser.add_argument(
        "--plot",
        metavar="S.png",
        type=Path,
        help="also write the page with wall, curves, bull's-eye and table (extra plot)",
    )
    parser.add_argument(
        "--report",
        metavar="R.json",
        type=Path,
        help="also write measures with units and definitions, quality and all curves",
    )
    parser.add_argument(
        "--scene", metavar="S.mrb", type=Path, help="also write a 3D Slicer scene; needs --clip (extra slicer)"
    )
    parser.add_argument(
        "--clip",
        metavar="CLIP",
        type=Path,
        help="the clip that was tracked, for picture and scene, and for its pixel size",
    )
    parser.add_argument(
        "--view", metavar="V", default="A4C", help="A4C (default), A2C, APLAX, SAX-base, SAX-mid, SAX-apex"
    )
    parser.add_argument("--layers", type=int, choices=(1, 3), default=1, help="contours in the CSV (default 1)")
    parser.add_argument(
        "--also",
        metavar="TRACKS.csv",
        type=Path,
        nargs="+",
        default=[],
        help="the same wall followed by other trackers: the uncertainty is then at least their disagreement",
    )
    parser.add_argument(
        "--other-view",
        metavar=("V", "TRACKS.csv"),
        nargs=2,
        action="append",
        default=[],
        help="tracks of another apical view, for the bull's-eye and the strain of the whole ventricle; may be given again",
    )
    parser.add_argument(
        "--segments", type=int, choices=(16, 17, 18), default=18, help="of the ventricle with --other-view (default 18)"
    )
    parser.add_argument(
        "--end-diastole",
        metavar="K",
        nargs="+",
        type=frame_number,
        help="frames of end-diastole, from 0 (default: found)",
    )
    parser.add_argument(
        "--end-systole",
        metavar="K",
        nargs="+",
        type=frame_number,
        help="frames of end-systole, from 0 (default: found)",
    )
    parser.add_argument(
        "--cycle",
        metavar="N",
        type=frame_number,
        help="which cycle to measure, from 0 (default: the first complete one)",
    )
    parser.add_argument(
        "--compensate-drift",
        action="store_true",
        help="take drift out of the curves, linearly over the cycle (default: only shown)",
    )
    parser.add_argument(
        "--reject", metavar="SEGMENT", nargs="+", default=(), help="segments to leave out, as 'apical lateral'"
    )
    parser.add_argument(
        "--accept", metavar="SEGMENT", nargs="+", default=(), help="segments to keep whatever their quality"
    )
    parser.add_argument(
        "--spacing-mm",
        metavar=("SX", "SY"),
        nargs=2,
        type=positive_number,
        help="pixel size in mm (default: the clip's, if any)",
    )
    parser.add_argument("--title", metavar="T", default="", help="of the page (default: the clip's name)")
    parser.add_argument("--quiet", action="store_true", help="say nothing but errors")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Reads, computes, writes, and says what came out."""
    outputs = StrainOutputs(strain=arguments.out, report=arguments.report, plot=arguments.plot, scene=arguments.scene)
    inputs = (
        arguments.tracks,
        *arguments.also,
        *([arguments.clip] if arguments.clip else []),
        *(Path(path) for _, path in arguments.other_view),
    )
    outputs.check(inputs)
    if arguments.scene and not arguments.clip:
        raise InputError(f"--scene {arguments.scene} needs the clip: add --clip CLIP")
    tracks = read_tracks_csv(arguments.tracks)
    sequence = read_clip(arguments.clip, tracks, arguments.spacing_mm) if arguments.clip else None
    spacing = tuple(arguments.spacing_mm) if arguments.spacing_mm else None if sequence is None else sequence.spacing_mm
    tracks = replace(tracks, spacing_mm=spacing)
    result, layered = compute(arguments, tracks)
    ventricle = whole_ventricle(arguments, result) if arguments.other_view else None
    print_notes((*result.notes, *(ventricle.notes if ventricle is not None else ())), quiet=arguments.quiet)
    provenance: dict[str, Any] = {"software": f"ultrasound-motion {__version__}", "tracks": str(arguments.tracks)}
    provenance |= {"clip": str(arguments.clip)} if arguments.clip else {}
    if layered is not None:
        provenance["layers"] = layer_measures(layered)
    if ventricle is not None:
        provenance["ventricle"] = asdict(replace(ventricle, percent=ventricle.percent.tolist()))
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
    """The clip, which must have as many frames as the tracks.

    Raises:
        InputError: see `read_sequence`; another number of frames.
    """
    from UltrasoundMotionLib.images import read_sequence

    sequence = read_sequence(path, spacing_mm=spacing_mm)
    if len(sequence) != len(tracks.positions_px):
        raise InputError(
            f"{path}: {len(sequence)} frames, but the tracks have {len(tracks.positions_px)}; give the clip that was tracked"
        )
    return sequence


def compute(arguments: argparse.Namespace, tracks: PointTracks) -> tuple[StrainResult, LayeredStrain | None]:
    """The (middle) layer's strain, and that of all layers where there are three."""
    from UltrasoundMotionLib.strain import (
        StrainConfig,
        circumferential_strain,
        layered_strain,
        longitudinal_strain,
        segment_model,
    )

    model = segment_model(arguments.view)
    unknown = [name for name in (*arguments.reject, *arguments.accept) if name not in model.names]
    if unknown:
        raise InputError(f"{model.view} has no segment {unknown[0]!r}; there are {', '.join(model.names)}")
    config = StrainConfig(
        cycle=arguments.cycle,
        compensate_drift=arguments.compensate_drift,
        reject_segments=tuple(arguments.reject),
        accept_segments=tuple(arguments.accept),
    )
    layers = layer_order(tracks, arguments.layers)
    main = layers["mid"]
    events = chosen_events(arguments, tracks, main)
    if len(layers) > 1:
        if arguments.also:
            raise InputError("--also compares single contours; leave out --layers 3")
        layered = layered_strain(tracks, layers, view=model.view, events=events, config=config)
        return layered.layers["mid"], layered
    compute_one = circumferential_strain if model.closed else longitudinal_strain
    result = compute_one(tracks, view=model.view, events=events, config=config)
    if not arguments.also:
        return result, None
    trackers = {str(arguments.tracks): result.measures.end_systolic_percent}
    for path in arguments.also:
        other = replace(read_tracks_csv(path), spacing_mm=tracks.spacing_mm)
        try:
            trackers[str(path)] = compute_one(
                other, view=model.view, events=result.events, config=config
            ).measures.end_systolic_percent
        except InputError as error:
            raise InputError(f"{path}: {error}") from error
    agreed = {name: value for name, value in trackers.items() if value is not None}
    return compute_one(tracks, view=model.view, events=events, config=config, trackers=agreed), None


def whole_ventricle(arguments: argparse.Namespace, result: StrainResult) -> LeftVentricleStrain:
    """This view's strain and that of the other views, put together.

    Raises:
        InputError: see `read_tracks_csv`, `longitudinal_strain` (the other view is named) and `ventricle_strain`.
    """
    from UltrasoundMotionLib.strain import longitudinal_strain, ventricle_strain

    results = [result]
    for view, path in arguments.other_view:
        tracks = replace(read_tracks_csv(path), spacing_mm=result.spacing_mm)
        try:
            results.append(longitudinal_strain(tracks, view=view))
        except InputError as error:
            raise InputError(f"{path}: {error}") from error
    return ventricle_strain(results, arguments.segments)


def layer_order(tracks: PointTracks, count: int) -> dict[str, tuple[str, ...]]:
    """Labels of each layer's points by its name; a single layer counts as the middle one.

    Raises:
        InputError: a number of points that three layers cannot share.
    """
    if count == 1:
        return {"mid": tracks.labels}
    if len(tracks.labels) % count:
        raise InputError(f"--layers {count}: {len(tracks.labels)} points cannot be shared evenly")
    each = len(tracks.labels) // count
    return {name: tracks.labels[number * each : (number + 1) * each] for number, name in enumerate(LAYER_NAMES)}


def chosen_events(arguments: argparse.Namespace, tracks: PointTracks, order: tuple[str, ...]) -> CardiacEvents | None:
    """The events that were given; where only one kind was, the other as found; None where neither was."""
    if arguments.end_diastole is None and arguments.end_systole is None:
        return None
    from UltrasoundMotionLib.strain import CardiacEvents, find_events

    if arguments.end_diastole is not None and arguments.end_systole is not None:
        return with_heart_rate(CardiacEvents(tuple(arguments.end_diastole), tuple(arguments.end_systole)), tracks)
    found = find_events(tracks, view=arguments.view, order=order)
    diastoles = found.end_diastole_frames if arguments.end_diastole is None else tuple(arguments.end_diastole)
    systoles = found.end_systole_frames if arguments.end_systole is None else tuple(arguments.end_systole)
    return with_heart_rate(CardiacEvents(diastoles, systoles), tracks)


def with_heart_rate(events: CardiacEvents, tracks: PointTracks) -> CardiacEvents:
    """The events with the heart rate between their end-diastoles, where the times are known."""
    from UltrasoundMotionLib.strain.cardiac_events import heart_rate

    frames = [frame for frame in events.end_diastole_frames if frame < len(tracks.positions_px)]
    if tracks.times_s is None or len(frames) < len(events.end_diastole_frames):
        return events
    return replace(events, heart_rate_bpm=heart_rate(np.asarray(tracks.times_s)[frames]))


def layer_measures(layered: LayeredStrain) -> dict[str, Any]:
    """The measures of every layer and of the thickness, for the report."""
    results = {**layered.layers, "thickness": layered.thickness}
    return {
        name: {
            "kind": result.kind,
            "measures": asdict(result.measures),
            "segments": {one.name: asdict(one) for one in result.segment_measures},
        }
        for name, result in results.items()
    }


def summarise_strain(result: StrainResult) -> str:
    """What came out: global strain with its uncertainty, a line for each segment, the events."""
    name = "GLS" if result.kind == "longitudinal" else f"Global {result.kind} strain"
    value, sure = result.measures.end_systolic_percent, result.uncertainty
    if value is None:
        lines = [f"{name}: not given, too few segments were tracked."]
    else:
        interval = (
            ""
            if sure is None
            else f" +- {sure.standard_deviation_percent:.1f} (95 %: {sure.low_percent:.1f} to {sure.high_percent:.1f})"
        )
        events = (
            f"end-diastole frame {result.cycle.reference_frame}, end-systole frame {result.cycle.end_systole_frame}"
        )
        lines = [f"{name} {value:.1f}{interval} %, {result.view}, {events}."]
    for measures, quality in zip(result.segment_measures, result.quality, strict=True):
        strain = "    -" if measures.end_systolic_percent is None else f"{measures.end_systolic_percent:5.1f}"
        verdict = f"confidence {quality.confidence:.2f}" if quality.accepted else f"rejected: {quality.reason}"
        lines.append(f"  {quality.name:<22} {strain} %  {verdict}")
    return "\n".join(lines)


def frame_number(text: str) -> int:
    """An argument that must be a whole number from 0."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"expected a whole number from 0, got {text!r}")
    return int(text)
