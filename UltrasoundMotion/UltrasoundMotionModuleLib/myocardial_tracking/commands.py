"""The command lines that repeat tracking and strain of a wall in a terminal."""

from __future__ import annotations

import shlex
from pathlib import Path

import slicer

from UltrasoundMotionLib.atomic_output import atomic_output
from UltrasoundMotionLib.cli.request_arguments import command
from UltrasoundMotionLib.cli.strain import StrainInputs
from UltrasoundMotionLib.cli.strain_outputs import StrainOutputs
from UltrasoundMotionLib.jobs import track_job
from UltrasoundMotionLib.mrml.tracked_wall import TrackedWall
from UltrasoundMotionLib.mrml.wall_strain import StrainSettings
from UltrasoundMotionLib.tracking.request import TrackRequest
from UltrasoundMotionModuleLib.myocardial_tracking.logic import MarkedWall
from UltrasoundMotionModuleLib.shared.tracking import fileOf


def commandText(marked: MarkedWall, request: TrackRequest, parameters: object, wall: TrackedWall | None) -> str:
    """`ultrasound-motion track ... && ultrasound-motion strain ...`.

    The points of the wall, which no file holds yet, are written into the application's temporary folder; the clip is
    named by its file.

    Args:
        request: of tracking.
        parameters: the panel's other choices.
        wall: the tracked wall whose events and segments were changed, if there is one.

    Raises:
        OutputError: the temporary folder cannot be written to.
    """
    points = Path(slicer.app.temporaryPath) / "wall-points.csv"
    with atomic_output(points) as temporary:
        lines = (f"{label},{x:.6f},{y:.6f}\n" for label, (x, y) in zip(marked.labels, marked.points_px, strict=True))
        temporary.write_text("label,x,y\n" + "".join(lines), encoding="utf-8")
    track = track_job(
        marked.clip.sequence,
        marked.points_px,
        labels=marked.labels,
        input_path=fileOf(marked.clip.nodes.sequence),
        points_path=points,
        out_path="wall-tracks.csv",
        request=request,
    ).command
    settings = StrainSettings.of_wall(wall) if wall is not None else StrainSettings()
    settings = settings.with_choices(
        compensate_drift=parameters.compensateDrift, landmarks=parameters.addLandmarks, mirrored=parameters.mirrored
    )
    outputs = StrainOutputs(strain=Path("strain.csv"), plot=Path("strain.png"), report=Path("strain.json"))
    inputs = StrainInputs(tracks=Path("wall-tracks.csv"), clip=Path(track[2]))
    strain = command("strain", [], inputs, outputs, settings.request(parameters.view.value, parameters.layers.value))
    return f"{shlex.join(track)} && {shlex.join(strain)}"
