"""Points followed through corrected frames in the child process."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from UltrasoundMotionLib.cli.request_arguments import command
from UltrasoundMotionLib.images.colour import SampledColour, WithSampledColour
from UltrasoundMotionLib.images.image_sequence import FrameSource, ImageSequence
from UltrasoundMotionLib.jobs.capabilities.track import choose_device, warm_up
from UltrasoundMotionLib.jobs.job import JobRequest
from UltrasoundMotionLib.jobs.job_folder import JobFolder
from UltrasoundMotionLib.settings import from_plain, takes_request, to_plain
from UltrasoundMotionLib.tracking.corrections.corrections import CorrectedFrames, Correction
from UltrasoundMotionLib.tracking.corrections.track_corrected import CorrectedTracks, check_request
from UltrasoundMotionLib.tracking.point_tracks import PointTracks
from UltrasoundMotionLib.tracking.request import TrackRequest

if TYPE_CHECKING:
    from UltrasoundMotionLib.jobs.running_job import RunningJob

__all__ = ["choose_device", "partial", "result", "run", "track_corrected_job", "warm_up"]


@takes_request(TrackRequest)
def track_corrected_job(
    sequence: ImageSequence,
    corrections: Iterable[Correction],
    *,
    labels: Sequence[str] | None = None,
    input_path: str | Path | None = None,
    points_path: str | Path = "points.csv",
    corrections_path: str | Path = "corrections.csv",
    out_path: str | Path = "tracks.csv",
    request: TrackRequest,
) -> JobRequest:
    """Makes the job of `track_corrected` with these arguments; its result is the same `CorrectedTracks`.

    Args:
        sequence: frames that are a numpy array must not change until the job has started.
        input_path, points_path, corrections_path, out_path: the files to name in the job's command.

    Raises:
        InputError: see `track_corrected`.
    """
    check_request(request)
    frames = CorrectedFrames.on(sequence, corrections, labels=labels)
    arrays: dict[str, Any] = {
        "frames": sequence.frames,
        "corrections_px": frames.positions_px,
        "lost": frames.lost,
    }
    colour = SampledColour.of(sequence) if request.hide_graphics else None
    if colour is not None:
        arrays["colour"] = colour
    clip = input_path or sequence.path or f"{sequence.name}.seq.nrrd"
    words = [clip, "--points", points_path, "--corrections", corrections_path, "--out", out_path]
    return JobRequest(
        capability=__name__,
        options={
            "request": to_plain(request),
            "device": request.device,
            "name": sequence.name,
            "path": sequence.path,
            "labels": frames.labels,
        },
        arrays=arrays,
        context={"frames": frames, "sequence": sequence},
        command=command("track", words, request),
    )


def run(job: RunningJob, device: str) -> dict[str, Any]:
    """Tracks in the child process; nothing is kept of a run that is cancelled."""
    from dataclasses import replace

    from UltrasoundMotionLib.tracking.corrections.track_corrected import track_corrected

    options, path = job.options, job.options["path"]
    source: FrameSource = job.folder.required("frames", in_memory=False)
    if job.folder.has("colour"):
        source = WithSampledColour(source, job.folder.required("colour"))
    sequence = ImageSequence(frames=source, name=options["name"], path=None if path is None else Path(path))
    frames = CorrectedFrames(
        tuple(options["labels"]), job.folder.required("corrections_px"), job.folder.required("lost")
    )
    request = replace(from_plain(TrackRequest, options["request"]), device=device)
    found = track_corrected(sequence, frames, progress=job.progress, request=request)
    job.notes += found.tracks.notes
    shape = frames.lost.shape
    job.folder.create("positions_px", (*shape, 2), np.float64, np.nan)[:] = found.tracks.positions_px
    job.folder.create("confidence", shape, np.float64, 0.0)[:] = found.tracks.confidence
    job.folder.create("visible", shape, bool, False)[:] = found.tracks.visible
    job.folder.create("disagreement_px", shape, np.float64, np.nan)[:] = found.disagreement_px
    return {"model": found.tracks.model, "query_frame": found.tracks.query_frame, "notes": found.tracks.notes}


def result(request: JobRequest, folder: JobFolder, found: Mapping[str, Any]) -> CorrectedTracks:
    """The tracks as they are in the folder."""
    frames, sequence = request.context["frames"], request.context["sequence"]
    tracks = PointTracks(
        positions_px=folder.required("positions_px"),
        confidence=folder.required("confidence"),
        visible=folder.required("visible"),
        labels=frames.labels,
        query_frame=found["query_frame"],
        times_s=sequence.times_s,
        spacing_mm=sequence.spacing_mm,
        model=found["model"],
        notes=tuple(found["notes"]),
    )
    return CorrectedTracks(tracks, frames.placed, frames.lost, folder.required("disagreement_px"))


def partial(request: JobRequest, folder: JobFolder) -> None:
    """Returns None: before all runs are done there is nothing to fuse."""
