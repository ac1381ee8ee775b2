"""Trackers run over sets of trajectories, each in a process of its own, whose peak memory is measured.

`python -m UltrasoundMotionLib.evaluation.tracker_runs JOB.json` is that process.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from UltrasoundMotionLib.errors import InputError, UltrasoundMotionError
from UltrasoundMotionLib.peak_memory import own_peak_bytes, run_in_child
from UltrasoundMotionLib.progress import Progress, no_progress
from UltrasoundMotionLib.tracking.files.tracks_csv import read_tracks_csv, write_tracks_csv
from UltrasoundMotionLib.tracking.files.trajectory_set import TrajectoryCase, TrajectorySet, read_trajectory_set
from UltrasoundMotionLib.tracking.point_tracks import PointTracks

_PROGRESS = "progress\t"


@dataclass(frozen=True)
class TrackerChoice:
    """A tracker as it is asked for.

    Attributes:
        model: its name.
        weights: a name, a card or a file of weights; empty: its own.
    """

    model: str
    weights: str = ""

    @classmethod
    def parse(cls, text: str) -> TrackerChoice:
        """Splits `MODEL` or `MODEL=WEIGHTS`."""
        model, _, weights = text.partition("=")
        return cls(model, weights)

    @property
    def name(self) -> str:
        """In tables."""
        return f"{self.model}={self.weights}" if self.weights else self.model


@dataclass(frozen=True)
class CaseTracks:
    """Tracks found in one clip from one phase of the cycle.

    Attributes:
        case: the clip.
        phase: of the cycle, at which the points were placed.
        tracks: found, of the points that are visible on that frame.
        seconds: from the first frame read to the last result, the weights being loaded.
    """

    case: TrajectoryCase
    phase: float
    tracks: PointTracks
    seconds: float


@dataclass(frozen=True)
class TrackerRun:
    """Tracks of one tracker in all clips of a set.

    Attributes:
        tracker: its name, see `TrackerChoice.name`.
        found: of each clip and phase.
        peak_bytes: peak memory of its process.
        device_peak_bytes: peak memory on a GPU; None on a CPU.
        device: that it ran on.
    """

    tracker: str
    found: tuple[CaseTracks, ...]
    peak_bytes: int
    device_peak_bytes: int | None
    device: str


def run_tracker(
    choice: TrackerChoice,
    cases: TrajectorySet,
    phases: Sequence[float] = (0.0,),
    *,
    device: str = "auto",
    threads: int | None = None,
    progress: Progress = no_progress,
) -> TrackerRun:
    """Follows the points of every case from the frame at each phase, in a process of its own.

    Args:
        phases: of the cycle, from 0 to 1.
        threads: on the CPU; None: as many as the libraries take.
        progress: called before each clip; raising ends the process.

    Raises:
        InputError: a tracker, a weights file or a case that cannot be used.
    """
    environment = {} if threads is None else {"OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}

    def on_line(line: str) -> None:
        if line.startswith(_PROGRESS):
            done, total, message = line.removeprefix(_PROGRESS).split("\t", 2)
            progress(int(done), int(total), message)

    with tempfile.TemporaryDirectory() as scratch:
        job = {
            "folder": str(cases.folder.resolve()),
            "cases": [case.name for case in cases.cases],
            "model": choice.model,
            "weights": choice.weights,
            "phases": list(phases),
            "device": device,
            "threads": threads,
            "out": scratch,
        }
        path = Path(scratch) / "job.json"
        path.write_text(json.dumps(job), encoding="utf-8")
        said = run_in_child("UltrasoundMotionLib.evaluation.tracker_runs", [str(path)], environment, on_line)
        if "error" in said:
            raise InputError(said["error"])
        found = [
            CaseTracks(case, phase, read_tracks_csv(Path(scratch) / _file_name(case, number)), seconds)
            for (case, number, phase), seconds in zip(_runs(cases.cases, phases), said["seconds"], strict=True)
        ]
    found = [replace(one, tracks=_on_query_frame(one)) for one in found]
    return TrackerRun(choice.name, tuple(found), said["peak_bytes"], said["device_peak_bytes"], said["device"])


def truth_from(truth: PointTracks, frame: int, name: str) -> PointTracks:
    """Returns the trajectories that are visible on a frame, with it as their query frame.

    Raises:
        InputError: there is none.
    """
    seen = truth.visible[frame] & np.isfinite(truth.positions_px[frame]).all(axis=1)
    if not seen.any():
        raise InputError(f"{name}: no trajectory is visible on frame {frame}, on which points would be placed")
    return replace(
        truth,
        positions_px=truth.positions_px[:, seen],
        confidence=truth.confidence[:, seen],
        visible=truth.visible[:, seen],
        labels=tuple(label for label, kept in zip(truth.labels, seen, strict=True) if kept),
        query_frame=frame,
    )


def _runs(cases: Sequence[TrajectoryCase], phases: Sequence[float]) -> list[tuple[TrajectoryCase, int, float]]:
    return [(case, number, phase) for case in cases for number, phase in enumerate(phases)]


def _file_name(case: TrajectoryCase, number: int) -> str:
    return f"{case.name}.{number}.csv"


def _on_query_frame(found: CaseTracks) -> PointTracks:
    return replace(found.tracks, query_frame=found.case.frame_at(found.phase, len(found.tracks.positions_px)))


def _run_job(path: Path) -> dict:
    """Runs a tracker over the cases of a job, and writes their tracks beside it."""
    from UltrasoundMotionLib.device import choose_device
    from UltrasoundMotionLib.tracking.registry import find_tracker
    from UltrasoundMotionLib.tracking.track import track_points

    job = json.loads(path.read_text(encoding="utf-8"))
    entry = find_tracker(job["model"])
    device = choose_device(job["device"], supported=entry.devices, name=entry.name) if entry.devices else "cpu"
    uses_torch = bool(entry.devices)
    if uses_torch and job["threads"] is not None:
        import torch

        torch.set_num_threads(job["threads"])
    weights = job["weights"] or None
    entry.make(device, weights=weights)  # reads the weights, which is no part of a clip's time
    named = {case.name: case for case in read_trajectory_set(job["folder"]).cases}
    runs = _runs([named[name] for name in job["cases"]], job["phases"])
    seconds, read_case = [], ""
    for done, (case, number, phase) in enumerate(runs):
        print(f"{_PROGRESS}{done}\t{len(runs)}\t{case.name}: {job['model']}", file=sys.stderr, flush=True)
        if case.name != read_case:
            sequence, truth = case.read()
            read_case = case.name
        frame = case.frame_at(phase, len(sequence))
        known = truth_from(truth, frame, str(case.tracks))
        started = time.perf_counter()
        tracks = track_points(
            sequence,
            known.positions_px[frame],
            labels=known.labels,
            model=job["model"],
            weights=weights,
            query_frame=frame,
            device=job["device"],
        )
        seconds.append(time.perf_counter() - started)
        write_tracks_csv(Path(job["out"]) / _file_name(case, number), tracks)
    device_peak = None
    if uses_torch and device.startswith("cuda"):
        import torch

        device_peak = torch.cuda.max_memory_allocated(device)
    return {
        "seconds": seconds,
        "peak_bytes": own_peak_bytes(),
        "device_peak_bytes": device_peak,
        "device": device,
    }


def main(arguments: Sequence[str]) -> None:
    """Runs a job and prints its report, or what the user should be told, as JSON."""
    try:
        report = _run_job(Path(arguments[0]))
    except UltrasoundMotionError as error:
        report = {"error": str(error)}
    print(json.dumps(report))


if __name__ == "__main__":
    main(sys.argv[1:])
