"""Points followed through a sequence in the child process, each frame's result visible as soon as it is found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from UltrasoundMotionLib.cli.request_arguments import command
from UltrasoundMotionLib.images.colour import SampledColour, WithSampledColour
from UltrasoundMotionLib.images.image_sequence import FrameSource, ImageSequence
from UltrasoundMotionLib.jobs.job import JobRequest
from UltrasoundMotionLib.jobs.job_folder import JobFolder
from UltrasoundMotionLib.settings import from_plain, takes_request, to_plain
from UltrasoundMotionLib.tracking.online_tracker import FrameTracks
from UltrasoundMotionLib.tracking.point_tracks import PointTracks
from UltrasoundMotionLib.tracking.query import PointQuery
from UltrasoundMotionLib.tracking.request import AUTO, TrackRequest

if TYPE_CHECKING:
    from UltrasoundMotionLib.jobs.running_job import RunningJob


@takes_request(TrackRequest)
def track_job(
    sequence: ImageSequence,
    query_points: np.ndarray,
    *,
    labels: Sequence[str] | None = None,
    input_path: str | Path | None = None,
    points_path: str | Path = "points.csv",
    out_path: str | Path = "tracks.csv",
    request: TrackRequest,
) -> JobRequest:
    """Makes the job of `track_points` with these arguments; its result is the same `PointTracks`.

    Args:
        sequence: frames that are a numpy array must not change until the job has started.
        input_path, points_path, out_path: the files to name in the job's command: the clip (that of the sequence when
            None), the points as CSV or markups, and the command line's output.

    Raises:
        InputError: see `PointQuery.on`.
    """
    frame = 0 if request.query_frame == AUTO else int(request.query_frame)
    query = PointQuery.on(sequence, query_points, labels=labels, frame=frame, direction=request.direction)
    arrays: dict[str, Any] = {"frames": sequence.frames, "query_points": query.points_px}
    colour = SampledColour.of(sequence) if request.hide_graphics else None
    if colour is not None:
        arrays["colour"] = colour
    clip = input_path or sequence.path or f"{sequence.name}.seq.nrrd"
    return JobRequest(
        capability=__name__,
        options={"request": to_plain(request), "device": request.device, "name": sequence.name, "path": sequence.path},
        arrays=arrays,
        context={"labels": query.labels, "sequence": sequence},
        command=command("track", [clip, "--points", points_path, "--out", out_path], request),
    )


def choose_device(options: Mapping[str, Any]) -> str:
    """The device to track on."""
    from UltrasoundMotionLib.device import choose_device as choose
    from UltrasoundMotionLib.tracking.registry import find_tracker

    entry = find_tracker(options["request"]["model"])
    return choose(options["device"], supported=entry.devices, name=entry.name)


def run(job: RunningJob, device: str) -> dict[str, Any]:
    """Tracks in the child process, and writes every frame at once where the application sees it."""
    from UltrasoundMotionLib.tracking.track import prepare_tracking

    options, path = job.options, job.options["path"]
    frames: FrameSource = job.folder.required("frames", in_memory=False)
    colour = job.folder.open("colour") if job.folder.has("colour") else None
    if colour is not None:
        frames = WithSampledColour(frames, colour)
    sequence = ImageSequence(frames=frames, name=options["name"], path=None if path is None else Path(path))
    request = from_plain(TrackRequest, options["request"])
    request = replace(request, device=request.device if device == choose_device(options) else device)
    prepared = prepare_tracking(sequence, job.folder.required("query_points"), request=request)
    job.notes += prepared.notes
    shape = (len(sequence), len(prepared.query.points_px))
    confidence = job.folder.create("confidence", shape, np.float64, 0.0)
    visible = job.folder.create("visible", shape, bool, False)
    positions = job.folder.create("positions_px", (*shape, 2), np.float64, np.nan)

    def keep(index: int, found: FrameTracks) -> None:
        """Writes one frame; its positions last: a frame whose positions are there is whole."""
        confidence[index], visible[index] = found.confidence, found.visible
        positions[index] = found.positions_px

    tracks = prepared.track(progress=job.progress, on_frame=keep, keep_partial=True)
    return {"model": tracks.model, "query_frame": tracks.query_frame, "notes": tracks.notes}


def result(request: JobRequest, folder: JobFolder, found: Mapping[str, Any]) -> PointTracks:
    """The tracks as they are in the folder."""
    positions, confidence, visible = (folder.required(name) for name in ("positions_px", "confidence", "visible"))
    sequence = request.context["sequence"]
    return PointTracks(
        positions_px=positions,
        confidence=confidence,
        visible=visible,
        labels=request.context["labels"],
        query_frame=found["query_frame"],
        times_s=sequence.times_s,
        spacing_mm=sequence.spacing_mm,
        model=found["model"],
        notes=tuple(found["notes"]),
    )


def partial(request: JobRequest, folder: JobFolder) -> PointTracks | None:
    """The frames that are whole by now, NaN elsewhere; None before there is one."""
    if not folder.has("positions_px"):
        return None
    asked = request.options["request"]
    frame = 0 if asked["query_frame"] == AUTO else asked["query_frame"]
    tracks = result(request, folder, {"model": asked["model"], "query_frame": frame, "notes": ()})
    if not tracks.reached.any():
        return None
    missing = ~tracks.reached
    arrays = {name: getattr(tracks, name).copy() for name in ("positions_px", "confidence", "visible")}
    for name, nothing in (("positions_px", np.nan), ("confidence", 0.0), ("visible", False)):
        arrays[name][missing] = nothing
    return replace(tracks, **arrays)


def warm_up() -> None:
    """Fills and tracks two small frames, which loads scipy and torch, starts its threads and the GPU's context."""
    from UltrasoundMotionLib.tracking.track import track_points

    frames = np.random.default_rng(0).integers(0, 256, (2, 64, 64), dtype=np.uint8)
    track_points(ImageSequence(frames=frames), np.array([[32.0, 32.0]]))
