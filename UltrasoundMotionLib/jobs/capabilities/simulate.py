"""A simulated clip with its truth: sample data that needs no network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.images.image_sequence import ImageSequence
from UltrasoundMotionLib.jobs.job import JobRequest
from UltrasoundMotionLib.jobs.job_folder import JobFolder
from UltrasoundMotionLib.tracking.point_tracks import PointTracks

if TYPE_CHECKING:
    from UltrasoundMotionLib.jobs.running_job import RunningJob

KINDS = ("heart", "liver")


@dataclass(frozen=True)
class SimulatedClip:
    """A clip and where its points truly are; their labels say what they lie on (`vessel-01`, `mid-12`)."""

    sequence: ImageSequence
    truth: PointTracks


def simulation_request(kind: str, *, frame_count: int = 40, seed: int = 1) -> JobRequest:
    """Asks for `simulate_heart` or `simulate_liver`; the result is a `SimulatedClip`.

    Raises:
        InputError: another kind.
    """
    if kind not in KINDS:
        raise InputError(f"kind must be one of {', '.join(KINDS)}, got {kind}")
    return JobRequest(
        capability=__name__,
        options={"kind": kind, "frame_count": frame_count, "seed": seed, "device": "cpu"},
        arrays={},
    )


def choose_device(options: Mapping[str, Any]) -> str:
    """Simulation needs no graphics card."""
    return "cpu"


def run(job: RunningJob, device: str) -> dict[str, Any]:
    """Simulates in the child process."""
    from UltrasoundMotionLib.simulation import HeartPhantom, LiverPhantom, simulate_heart, simulate_liver

    phantom, simulate = {"heart": (HeartPhantom, simulate_heart), "liver": (LiverPhantom, simulate_liver)}[
        job.options["kind"]
    ]
    simulated = simulate(
        phantom(frame_count=job.options["frame_count"]), seed=job.options["seed"], progress=job.progress
    )
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
        frames=folder.read("frames"),
        spacing_mm=found["spacing_mm"],
        times_s=found["times_s"],
        origin_mm=found["origin_mm"],
        name=found["name"],
    )
    visible = folder.read("visible")
    truth = PointTracks(
        positions_px=folder.read("positions_px"),
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
