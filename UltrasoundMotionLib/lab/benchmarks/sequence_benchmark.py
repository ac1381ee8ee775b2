"""Dense motion of simulated tissue: `sequence` beside OpenCV's DIS flow, against exact displacements."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from UltrasoundMotionLib.lab.benchmarks.opencv_peers import ChainedDis, DisFromQueryFrame
from UltrasoundMotionLib.lab.benchmarks.target import Target
from UltrasoundMotionLib.progress import Progress, no_progress
from UltrasoundMotionLib.simulation import SimulatedSequence, phantom_set
from UltrasoundMotionLib.text_table import format_number, markdown_table, text_table
from UltrasoundMotionLib.tracking.online_tracker import OnlineTracker

OURS, CHAINED = "sequence", "opencv-dis-chained"
PEERS = {CHAINED: ChainedDis, "opencv-dis": DisFromQueryFrame}
POINT_STEP_PX = 3
"""Tissue pixels of the reference frame that count: every third along both axes."""


@dataclass(frozen=True)
class SequenceRow:
    """End-point errors in px of one method on one phantom: over all frames but the reference, tissue that is inside the
    sector there.

    Attributes:
        still: how far the tissue is from the reference on average, which is the error of no motion at all.
    """

    phantom: str
    method: str
    mean_px: float
    median_px: float
    percentile_95_px: float
    still: float
    frames_per_second: float


@dataclass(frozen=True)
class SequenceBenchmark:
    """All rows, phantom by phantom."""

    rows: tuple[SequenceRow, ...]
    threads: int
    device: str

    def targets(self) -> tuple[Target, ...]:
        """Below chained DIS flow, in each kind and difficulty."""
        found = []
        for group in self._groups():
            ours, peer = self._mean(group, OURS), self._mean(group, CHAINED)
            found.append(
                Target(
                    f"end-point error in tissue, {group}",
                    f"< {peer:.3f} px (chained DIS)",
                    f"{ours:.3f} px",
                    ours < peer,
                )
            )
        return tuple(found)

    def table(self, markdown: bool = False) -> str:
        """A line for each kind, difficulty and method: means over phantoms, and the worst phantom's mean error."""
        header = ["phantoms", "method", "EPE px", "median", "95th", "worst", "no motion", "frames/s"]
        lines = []
        for group in self._groups():
            for method in dict.fromkeys(row.method for row in self.rows):
                rows = [row for row in self.rows if row.method == method and _group(row) == group]
                means = [
                    np.mean([getattr(row, name) for row in rows])
                    for name in ("mean_px", "median_px", "percentile_95_px")
                ]
                values = [*means, max(row.mean_px for row in rows), np.mean([row.still for row in rows])]
                rate = np.mean([row.frames_per_second for row in rows])
                lines.append(
                    [group, method, *(format_number(float(value)) for value in values), format_number(float(rate), 1)]
                )
        return (markdown_table if markdown else text_table)(header, lines)

    def as_dict(self) -> dict:
        """For JSON."""
        rows = [asdict(row) for row in self.rows]
        return {
            "threads": self.threads,
            "device": self.device,
            "rows": rows,
            "targets": [vars(target) for target in self.targets()],
        }

    def _groups(self) -> list[str]:
        return list(dict.fromkeys(_group(row) for row in self.rows))

    def _mean(self, group: str, method: str) -> float:
        return float(np.mean([row.mean_px for row in self.rows if row.method == method and _group(row) == group]))


def simulated_sequences(
    kinds: Sequence[str], difficulties: Sequence[str], *, count: int, seed: int, frame_count: int
) -> Iterator[SimulatedSequence]:
    """Phantoms one after the other, made when asked for."""
    for kind in kinds:
        for difficulty in difficulties:
            for case in phantom_set(kind, difficulty, count, seed, frame_count=frame_count):
                yield case.simulate()


def benchmark_sequence(
    phantoms: Iterable[SimulatedSequence], *, phantom_count: int, device: str = "cpu", progress: Progress = no_progress
) -> SequenceBenchmark:
    """Registers every phantom's frames to frame 0, by `register_sequence` and by each peer.

    Raises:
        MissingPackageError: OpenCV is not installed.
    """
    import torch

    from UltrasoundMotionLib.registration.sequences.register_sequence import register_sequence

    rows = []
    for done, phantom in enumerate(phantoms):
        progress(done, phantom_count, phantom.sequence.name)
        points = _tissue_points(phantom.tissue_mask)
        truth = phantom.trajectories_px(points)
        imaging = phantom.imaging
        counts = np.stack([imaging.in_sector(imaging.mm_from_pixels(places)) for places in truth])
        registration = register_sequence(phantom.sequence, device=device)
        answers = {OURS: (registration.trajectories(points), registration.seconds)}
        answers |= {name: _follow(create(), phantom, points) for name, create in PEERS.items()}
        still = _errors(np.broadcast_to(points, truth.shape), truth, counts).mean()
        for method, (found, seconds) in answers.items():
            errors = _errors(found, truth, counts)
            summary = (float(errors.mean()), float(np.median(errors)), float(np.percentile(errors, 95)))
            rows.append(SequenceRow(phantom.sequence.name, method, *summary, float(still), len(truth) / seconds))
    progress(phantom_count, phantom_count, "done")
    return SequenceBenchmark(tuple(rows), torch.get_num_threads(), device)


def _tissue_points(mask: np.ndarray) -> np.ndarray:
    """(N, 2) pixels (x, y)."""
    rows, columns = np.nonzero(mask)
    chosen = (rows % POINT_STEP_PX == 0) & (columns % POINT_STEP_PX == 0)
    return np.stack([columns[chosen], rows[chosen]], axis=1).astype(np.float64)


def _follow(flow: OnlineTracker, phantom: SimulatedSequence, points: np.ndarray) -> tuple[np.ndarray, float]:
    """(T, N, 2) places and the seconds they took."""
    began = time.perf_counter()
    places = [flow.start(phantom.sequence.frame(0), points).positions_px]
    places += [flow.update(frame).positions_px for _, frame in phantom.sequence.iterate(1)]
    return np.stack(places), time.perf_counter() - began


def _errors(found: np.ndarray, truth: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """All distances in px, after the reference frame."""
    return np.linalg.norm(found - truth, axis=2)[1:][counts[1:]]


def _group(row: SequenceRow) -> str:
    """A phantom is named kind-difficulty-number."""
    return row.phantom.rsplit("-", 1)[0]
