"""The command lines that repeat tracking and strain of a wall in a terminal."""

from __future__ import annotations

import shlex
from pathlib import Path

import slicer

from UltrasoundMotionLib.atomic_output import atomic_output
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
    strain = [
        "ultrasound-motion",
        "strain",
        "wall-tracks.csv",
        "--out",
        "strain.csv",
        "--plot",
        "strain.png",
        "--report",
        "strain.json",
    ]
    strain += ["--clip", track[2], "--view", parameters.view.value, "--layers", str(parameters.layers.value)]
    strain += ["--compensate-drift"] if parameters.compensateDrift else []
    for option, values in (
        ("--end-diastole", settings.end_diastole_frames),
        ("--end-systole", settings.end_systole_frames),
        ("--accept", settings.accept_segments),
        ("--reject", settings.reject_segments),
    ):
        strain += [option, *map(str, values)] if values else []
    return f"{shlex.join(track)} && {shlex.join(strain)}"
