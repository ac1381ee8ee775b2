"""Points followed through a sequence, each frame's result visible as soon as it is found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.images.image_sequence import ImageSequence
from UltrasoundMotionLib.jobs.job import JobRequest
from UltrasoundMotionLib.jobs.job_folder import JobFolder
from UltrasoundMotionLib.jobs.plain_settings import plain_settings, settings_from
from UltrasoundMotionLib.tracking.online_tracker import FrameTracks, check_query_points
from UltrasoundMotionLib.tracking.point_tracks import PointTracks
from UltrasoundMotionLib.tracking.tracker_wrapping import TrackingOptions

if TYPE_CHECKING:
    from UltrasoundMotionLib.jobs.running_job import RunningJob

DEFAULT_MODEL = "lucas-kanade"


def track_request(
    sequence: ImageSequence,
    query_points: np.ndarray,
    *,
    query_frame: int = 0,
    direction: str = "both",
    model: str = DEFAULT_MODEL,
    device: str = "auto",
    labels: Sequence[str] | None = None,
    hide_graphics: bool = False,
    tracking: TrackingOptions | None = None,
    input_path: str | Path | None = None,
    points_path: str | Path = "points.csv",
    out_path: str | Path = "tracks.csv",
) -> JobRequest:
    """Asks for `track_points` with these arguments; the result is its `PointTracks`, exactly.

    Args:
        sequence: frames that are a numpy array must not change until the job has started.
        hide_graphics: fill what the scanner drew (text, rulers, traces) from around it first, as the command line does:
            a tracker that sees a ruler beside its point follows that. Coloured pixels are found from the file only, so
            by the command line only.
        tracking: watch for shadows, look ahead; none of it when None.
        input_path, points_path, out_path: the files to name in `command`: the clip (that of the sequence when None),
            the points as CSV or markups, and where the command line writes.

    Raises:
        InputError: points outside the image, a query frame that does not exist, labels that do not fit the points.
    """
    points = check_query_points(sequence, query_points, query_frame)
    names = tuple(str(label) for label in labels) if labels is not None else None
    if names is not None and (len(names) != len(points) or len(set(names)) != len(names)):
        raise InputError(f"{len(points)} points need {len(points)} different labels, got {list(names)}")
    tracking = tracking or TrackingOptions()
    options = {
        "query_frame": int(query_frame),
        "direction": direction,
        "model": model,
        "device": device,
        "hide_graphics": bool(hide_graphics),
        "tracking": plain_settings(tracking),
        "name": sequence.name,
        "path": sequence.path,
    }
    clip = input_path or sequence.path or f"{sequence.name}.seq.nrrd"
    command = [
        "track",
        clip,
        "--points",
        points_path,
        "--out",
        out_path,
        "--model",
        model,
        "--query-frame",
        query_frame,
    ]
    command += ["--direction", direction, "--device", device, *([] if hide_graphics else ["--keep-graphics"])]
    command += [*(["--watch-shadows"] if tracking.watch_shadows else []), *(["--offline"] if tracking.offline else [])]
    command += ["--ahead-frames", tracking.ahead_frames] if tracking.ahead_frames else []
    return JobRequest(
        capability=__name__,
        options=options,
        arrays={"frames": sequence.frames, "query_points": points},
        context={"labels": names or tuple(f"P{index + 1}" for index in range(len(points))), "sequence": sequence},
        command=("ultrasound-motion", *map(str, command)),
    )


def choose_device(options: Mapping[str, Any]) -> str:
    """The device to track on."""
    from UltrasoundMotionLib.tracking import choose_device

    return choose_device(options["device"])


def run(job: RunningJob, device: str) -> dict[str, Any]:
    """Tracks in the child process, and writes every frame at once where the application sees it."""
    from UltrasoundMotionLib.tracking import track_points

    options, path = job.options, job.options["path"]
    sequence = ImageSequence(
        frames=job.folder.open("frames"), name=options["name"], path=None if path is None else Path(path)
    )
    if options["hide_graphics"]:
        sequence = _without_graphics(sequence, job.notes)
    points = job.folder.read("query_points")
    shape = (len(sequence), len(points))
    confidence = job.folder.create("confidence", shape, np.float64, 0.0)
    visible = job.folder.create("visible", shape, bool, False)
    positions = job.folder.create("positions_px", (*shape, 2), np.float64, np.nan)

    def keep(index: int, found: FrameTracks) -> None:
        confidence[index], visible[index] = found.confidence, found.visible
        positions[index] = found.positions_px  # last: a frame whose positions are there is whole

    track_points(
        sequence,
        points,
        query_frame=options["query_frame"],
        direction=options["direction"],
        model=options["model"],
        device=device,
        progress=job.progress,
        on_frame=keep,
        keep_partial=True,
        options=settings_from(TrackingOptions, options["tracking"]),
    )
    return {"model": options["model"]}


def result(request: JobRequest, folder: JobFolder, found: Mapping[str, Any]) -> PointTracks:
    """The tracks as they are in the folder."""
    positions, confidence, visible = (folder.read(name) for name in ("positions_px", "confidence", "visible"))
    sequence = request.context["sequence"]
    return PointTracks(
        positions_px=positions,
        confidence=confidence,
        visible=visible,
        labels=request.context["labels"],
        query_frame=request.options["query_frame"],
        times_s=sequence.times_s,
        spacing_mm=sequence.spacing_mm,
        model=found["model"],
    )


def partial(request: JobRequest, folder: JobFolder) -> PointTracks | None:
    """The frames that are whole by now, NaN elsewhere; None before there is one."""
    if folder.open("positions_px") is None:
        return None
    tracks = result(request, folder, {"model": request.options["model"]})
    if not tracks.reached.any():
        return None
    missing = ~tracks.reached
    arrays = {name: getattr(tracks, name).copy() for name in ("positions_px", "confidence", "visible")}
    for name, nothing in (("positions_px", np.nan), ("confidence", 0.0), ("visible", False)):
        arrays[name][missing] = nothing
    return PointTracks(
        **arrays,
        labels=tracks.labels,
        query_frame=tracks.query_frame,
        times_s=tracks.times_s,
        spacing_mm=tracks.spacing_mm,
        model=tracks.model,
    )


def _without_graphics(sequence: ImageSequence, notes: list[str]) -> ImageSequence:
    from UltrasoundMotionLib.images.graphics_mask import find_graphics, without_graphics

    mask = find_graphics(sequence)
    if mask.all():
        return sequence
    tissue = without_graphics(sequence, mask)
    notes += tissue.notes
    return tissue


def warm_up() -> None:
    """Fills and tracks two small frames, which loads scipy and torch, starts its threads and the GPU's context."""
    from UltrasoundMotionLib.tracking import track_points

    frames = np.random.default_rng(0).integers(0, 256, (2, 64, 64), dtype=np.uint8)
    track_points(_without_graphics(ImageSequence(frames=frames), []), np.array([[32.0, 32.0]]))
