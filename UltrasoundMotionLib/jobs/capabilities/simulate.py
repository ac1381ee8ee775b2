"""A simulated clip with its truth: sample data that needs no network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from UltrasoundMotionLib.images.image_sequence import ImageSequence
from UltrasoundMotionLib.jobs.job import JobRequest
from UltrasoundMotionLib.jobs.job_folder import JobFolder
from UltrasoundMotionLib.settings import check_options, from_plain, option, takes_request, to_plain
from UltrasoundMotionLib.tracking.point_tracks import PointTracks

if TYPE_CHECKING:
    from UltrasoundMotionLib.jobs.running_job import RunningJob

KINDS = ("heart", "liver")


@dataclass(frozen=True)
class SimulatedClip:
    """A clip and where its points truly are; their labels say what they lie on (`vessel-01`, `mid-12`)."""

    sequence: ImageSequence
    truth: PointTracks


@dataclass(frozen=True)
class SimulateRequest:
    """The options of a simulated clip.

    Attributes:
        kind: "heart" or "liver".
        frame_count: number of frames.
        seed: of the simulation.
    """

    kind: str = option("heart", choices=KINDS, help="organ")
    frame_count: int = option(40, minimum=2, unit="frames", help="length of the clip")
    seed: int = option(1, minimum=0, help="of the simulation")

    def __post_init__(self) -> None:
        check_options(self)


@takes_request(SimulateRequest)
def simulation_job(*, request: SimulateRequest) -> JobRequest:
    """Makes the job of `simulate_heart` or `simulate_liver`; its result is a `SimulatedClip`."""
    return JobRequest(capability=__name__, options={"request": to_plain(request), "device": "cpu"}, arrays={})


def choose_device(options: Mapping[str, Any]) -> str:
    """Returns the CPU: simulation needs no graphics card."""
    return "cpu"


def run(job: RunningJob, device: str) -> dict[str, Any]:
    """Simulates in the child process."""
    from UltrasoundMotionLib.simulation import HeartPhantom, LiverPhantom, simulate_heart, simulate_liver

    request = from_plain(SimulateRequest, job.options["request"])
    if request.kind == "heart":
        heart = HeartPhantom(frame_count=request.frame_count)
        simulated = simulate_heart(heart, seed=request.seed, progress=job.progress)
    else:
        liver = LiverPhantom(frame_count=request.frame_count)
        simulated = simulate_liver(liver, seed=request.seed, progress=job.progress)
    sequence, truth = simulated.sequence, simulated.truth
    for name, values in (("frames", sequence.frames), ("positions_px", truth.positions_px), ("visible", truth.visible)):
        job.folder.write(name, values)
    return {
        "spacing_mm": sequence.spacing_mm,
        "times_s": sequence.times_s,
        "origin_mm": sequence.origin_mm,
        "name": sequence.name,
        "labels": truth.labels,
    }


def result(request: JobRequest, folder: JobFolder, found: Mapping[str, Any]) -> SimulatedClip:
    """The clip as it was in the child."""
    sequence = ImageSequence(
        frames=folder.required("frames"),
        spacing_mm=found["spacing_mm"],
        times_s=found["times_s"],
        origin_mm=found["origin_mm"],
        name=found["name"],
    )
    visible = folder.required("visible")
    truth = PointTracks(
        positions_px=folder.required("positions_px"),
        confidence=visible.astype(float),
        visible=visible,
        labels=tuple(found["labels"]),
        query_frame=0,
        times_s=sequence.times_s,
        spacing_mm=sequence.spacing_mm,
        model="truth",
    )
    return SimulatedClip(sequence, truth)


def partial(request: JobRequest, folder: JobFolder) -> None:
    """A clip is of use when it is whole."""
