"""Two moments of a simulated heart as volumes, with their labels: sample data that needs no network."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from UltrasoundMotionLib.images.volume import Volume
from UltrasoundMotionLib.jobs.job import JobRequest
from UltrasoundMotionLib.jobs.job_folder import JobFolder
from UltrasoundMotionLib.settings import from_plain, to_plain
from UltrasoundMotionLib.simulation.short_axis_heart import ShortAxisHeart, ShortAxisPair, simulate_short_axis

if TYPE_CHECKING:
    from UltrasoundMotionLib.jobs.running_job import RunningJob

PARTS = ("fixed", "moving", "fixed_labels", "moving_labels")


def pair_simulation_job(heart: ShortAxisHeart, seed: int) -> JobRequest:
    """Makes the job of `simulate_short_axis`; its result is a `ShortAxisPair`."""
    return JobRequest(capability=__name__, options={"heart": to_plain(heart), "seed": seed, "device": "cpu"}, arrays={})


def choose_device(options: Mapping[str, Any]) -> str:
    """Returns the CPU: simulation needs no graphics card."""
    return "cpu"


def run(job: RunningJob, device: str) -> dict[str, Any]:
    """Simulates in the child process."""
    heart = from_plain(ShortAxisHeart, job.options["heart"])
    pair = simulate_short_axis(heart, seed=job.options["seed"], progress=job.progress)
    for part in PARTS:
        job.folder.write(part, getattr(pair, part).array)
    return {"spacing_mm": pair.fixed.spacing_mm, "names": [getattr(pair, part).name for part in PARTS]}


def result(request: JobRequest, folder: JobFolder, found: Mapping[str, Any]) -> ShortAxisPair:
    """The pair as it was in the child."""
    return ShortAxisPair(
        *[
            Volume(folder.required(part), found["spacing_mm"], (0.0, 0.0, 0.0), np.eye(3), name)
            for part, name in zip(PARTS, found["names"], strict=True)
        ]
    )


def partial(request: JobRequest, folder: JobFolder) -> None:
    """A pair is of use when it is whole."""
