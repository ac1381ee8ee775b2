"""Tracking of points through a clip of the scene, as a run in the background or as a call that waits."""

from __future__ import annotations

import numpy as np
import slicer
from slicer.i18n import tr as _

from UltrasoundMotionLib.jobs import run_job, track_job
from UltrasoundMotionLib.mrml.tracks_from_nodes import PlacedPoints
from UltrasoundMotionLib.progress import Progress, no_progress
from UltrasoundMotionLib.tracking import PointTracks
from UltrasoundMotionLib.tracking.request import TrackRequest
from UltrasoundMotionModuleLib.shared.background_job import Preparation, sharedProcess
from UltrasoundMotionModuleLib.shared.clip import Clip, loaded, loadInSteps
from UltrasoundMotionModuleLib.shared.licence_consent import checkConsent, weightsOfTracker

_FAR_MM = 1.0
"""Off the image plane: more than the thickness that Slicer gives to a slice."""


def trackInSteps(clip: Clip, points_px: np.ndarray, labels: tuple[str, ...], request: TrackRequest) -> Preparation:
    """The preparation of a run for a `BackgroundJob`; its result is `PointTracks` on the clip.

    Args:
        points_px: (N, 2), (x, y) in pixels of the clip.
    """
    sequence = yield from loadInSteps(clip.sequence)
    return track_job(sequence, points_px, labels=labels, request=request)


def trackAndWait(
    clip: Clip,
    points_px: np.ndarray,
    labels: tuple[str, ...],
    request: TrackRequest,
    progress: Progress | None = None,
) -> PointTracks:
    """Tracks in the shared child process and waits for it; see `trackInSteps`.

    Raises:
        InputError: points outside the image, an unknown tracker or device, a clip of one frame, weights under a licence
            that was not agreed to.
    """
    checkConsent(weightsOfTracker(request.model, request.weights))
    job = track_job(loaded(clip.sequence), points_px, labels=labels, request=request)
    return run_job(job, sharedProcess().process, progress=progress or no_progress)


def offPlaneNotes(points: PlacedPoints) -> list[str]:
    """Returns messages about points that do not lie on the clip's plane."""
    far = [
        (label, distance)
        for label, distance in zip(points.labels, points.distance_mm, strict=True)
        if abs(distance) > _FAR_MM
    ]
    text = _("{label} lies {distance} mm off the image plane and was followed from the point nearest to it there")
    return [text.format(label=label, distance=f"{abs(distance):.1f}") for label, distance in far]


def summary(tracks: PointTracks, seconds: float) -> str:
    """`6 points through 40 frames in 1.2 s (33 frames/s); visible in 98 % of all positions; farthest 12.3 mm`."""
    reached = tracks.reached
    spacing, unit = (tracks.spacing_mm, "mm") if tracks.spacing_mm else ((1.0, 1.0), "px")
    moved = np.linalg.norm(tracks.displacement_px[reached] * spacing, axis=2)
    points, frames = len(tracks.labels), int(reached.sum())
    text = _(
        "{points} through {frames} in {seconds} s; visible in {visible} of all positions; "
        "largest displacement {distance}"
    )
    return text.format(
        points=_("1 point") if points == 1 else _("{count} points").format(count=points),
        frames=_("1 frame") if frames == 1 else _("{count} frames").format(count=frames),
        seconds=f"{seconds:.1f}",
        visible=f"{np.mean(tracks.visible[reached]):.0%}",
        distance=f"{np.nanmax(moved):.1f} {unit}",
    )


def trackCommand(
    clip: Clip,
    points_px: np.ndarray,
    labels: tuple[str, ...],
    pointsNode: slicer.vtkMRMLMarkupsNode,
    request: TrackRequest,
) -> tuple[str, ...]:
    """The command line that repeats the run; it names the files that clip and points were loaded from or saved to,
    where there are any.
    """
    return track_job(
        clip.sequence,
        points_px,
        labels=labels,
        input_path=fileOf(clip.nodes.sequence),
        points_path=fileOf(pointsNode) or _pointsFile(pointsNode),
        request=request,
    ).command


def unsavedFiles(clip: slicer.vtkMRMLSequenceNode, points: slicer.vtkMRMLMarkupsNode | None = None) -> str:
    """Returns the files that the command of `trackCommand` needs and that are not saved yet, as a step for the user;
    empty where none is missing.
    """
    names = {clip: f"{clip.GetName().removesuffix(' sequence')}.seq.nrrd"} | (
        {} if points is None else {points: _pointsFile(points)}
    )
    missing = [(node.GetName(), name) for node, name in names.items() if fileOf(node) is None]
    parts = [_("\u201c{node}\u201d as {file}").format(node=node, file=name) for node, name in missing]
    return _("First save (File, Save) {files}.").format(files=", ".join(parts)) if parts else ""


def _pointsFile(node: slicer.vtkMRMLMarkupsNode) -> str:
    return f"{node.GetName()}.mrk.json"


def fileOf(node: slicer.vtkMRMLStorableNode) -> str | None:
    """The file that a node was loaded from or saved to, or None."""
    storage = node.GetStorageNode()
    return (storage.GetFileName() or None) if storage is not None else None
