"""`demo`: follow the left-ventricular wall of a real echocardiogram that comes with pydicom, and measure its strain."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

from UltrasoundMotionLib.atomic_output import write_text_file
from UltrasoundMotionLib.cli.strain import summarise_strain
from UltrasoundMotionLib.cli.strain_outputs import StrainOutputs
from UltrasoundMotionLib.cli.terminal_progress import print_notes
from UltrasoundMotionLib.cli.track import follow, list_outputs, summarise
from UltrasoundMotionLib.cli.tracking_outputs import TrackingOutputs
from UltrasoundMotionLib.errors import MissingPackageError, OutputError

DEFAULT_FOLDER = Path("ultrasound-motion-demo")

TRACKER = "lucas-kanade-wall"
QUERY_FRAME = 16
# Placed by hand on frame 16 (the heart is at rest there, the mitral valve half open), looking at the frame enlarged
# eight times with a grid of 5 pixels: the middle of the left-ventricular wall from the septal side of the mitral ring
# (W01) over the apex (W11) to the lateral side (W21).
WALL_POINTS_PX = (
    *((153, 128), (152, 118), (152, 108), (151, 98), (149, 88), (149, 79), (151, 70)),
    *((155, 62), (161, 56), (169, 53), (178, 53), (187, 56), (195, 62), (202, 70)),
    *((206, 79), (208, 89), (210, 99), (211, 109), (212, 119), (211, 129), (207, 138)),
)


def fill_parser(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of the verb."""
    parser.description = (
        "Follows 21 points along the left-ventricular wall of an apical four-chamber echocardiogram "
        "(30 frames, from the pydicom package; nothing is downloaded), measures its longitudinal strain, and writes "
        "a 3D Slicer scene, pictures, plots and tables."
    )
    parser.add_argument(
        "--registration",
        action="store_true",
        help="instead: put the end-systole of a simulated heart in MRI onto its end-diastole with a "
        "trained network; writes scene, picture, report",
    )
    parser.add_argument(
        "--out",
        metavar="DIR",
        type=Path,
        default=DEFAULT_FOLDER,
        help=f"folder for the results (default {DEFAULT_FOLDER})",
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Follows the wall, writes what the installed extras allow, and says where it is and what to do next."""
    folder = arguments.out
    make_folder(folder)
    if arguments.registration:
        from UltrasoundMotionLib.cli.demo_registration import run_registration_demo

        return run_registration_demo(folder)
    outputs, strain_outputs, left_out = choose_outputs(folder)

    from pydicom.examples import get_path

    from UltrasoundMotionLib.images import read_sequence
    from UltrasoundMotionLib.strain import measure_strain
    from UltrasoundMotionLib.tracking import TrackRequest, read_query_points
    from UltrasoundMotionLib.tracking.track import prepare_tracking

    clip = Path(get_path("ybr_color"))
    print("Reading an apical four-chamber echocardiogram that comes with pydicom ...", flush=True)
    sequence = replace(read_sequence(clip), name="Apical four-chamber")
    points_path = folder / "wall-points.csv"
    _write_points(points_path)
    points = read_query_points(points_path, sequence)
    request = TrackRequest(model=TRACKER, query_frame=QUERY_FRAME)
    prepared = prepare_tracking(sequence, points.points_px, labels=points.labels, request=request)
    print_notes([*sequence.notes, *prepared.notes])
    tracks, seconds = follow(prepared)
    strain = measure_strain(tracks, view="A4C").result
    outputs.write(sequence, tracks, strain=strain)
    strain_outputs.write(strain, sequence)
    print(summarise(tracks, seconds))
    print_notes(strain.notes)
    print(summarise_strain(strain))
    print(list_outputs(outputs))
    print("\n".join(f"  {name:<9}  {path}" for name, path in strain_outputs.named()))
    print(f"  {'points':<9}  {points_path} (what was followed)")
    for reason in left_out:
        print(f"Left out: {reason}")
    print("Next:")
    if outputs.scene:
        print(f"  open {outputs.scene} in 3D Slicer (drag it onto the window) and press play in the Sequences toolbar;")
    if strain_outputs.plot:
        print(f"  look at {strain_outputs.plot}, the page with wall, curves, bull's-eye and numbers;")
    if outputs.animation:
        print(f"  look at {outputs.animation}, which plays in any browser;")
    print("  run the same on your own clip:")
    print(
        "    ultrasound-motion track CLIP.dcm --points POINTS.csv --query-frame K --model "
        f"{TRACKER} --out tracks.csv --animation tracks.gif"
    )
    print("    ultrasound-motion strain tracks.csv --clip CLIP.dcm --out strain.csv --plot strain.png")
    return 0


def make_folder(folder: Path) -> None:
    """Creates the folder for the results.

    Raises:
        OutputError: it cannot be created, or the name is a file.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder}: cannot be made a folder: {error.strerror or error}") from error


def choose_outputs(folder: Path) -> tuple[TrackingOutputs, StrainOutputs, list[str]]:
    """Returns the outputs that the installed packages can write, and for the others the package that is missing."""
    TrackingOutputs(tracks=folder / "wall-tracks.csv").check()
    chosen: dict[str, Any] = {"tracks": folder / "wall-tracks.csv"}
    left_out: list[str] = []
    pictures: dict[str, Any] = {
        "overlay": folder / "wall-overlay.png",
        "animation": folder / "wall-animation.gif",
        "plot": folder / "wall-displacement.png",
    }
    for group in ({"scene": folder / "wall.mrb"}, pictures):
        try:
            replace(TrackingOutputs(), **group).check()
        except MissingPackageError as missing:
            left_out.append(str(missing))
        else:
            chosen |= group
    page = folder / "wall-strain.png" if "plot" in chosen else None
    strain = StrainOutputs(strain=folder / "wall-strain.csv", report=folder / "wall-strain.json", plot=page)
    strain.check()
    return replace(TrackingOutputs(connect=True), **chosen), strain, left_out


def _write_points(path: Path) -> None:
    """Writes the wall's points as `track --points` reads them."""
    lines = ["label,x,y", *(f"W{number:02d},{x},{y}" for number, (x, y) in enumerate(WALL_POINTS_PX, start=1))]
    write_text_file(path, "\n".join(lines) + "\n")
