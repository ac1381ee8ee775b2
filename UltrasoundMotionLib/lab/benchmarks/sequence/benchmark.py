"""`benchmark sequence`: dense motion of tissue by `sequence` beside OpenCV's DIS flow, on phantoms with exact motion
and on a real clip.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from UltrasoundMotionLib.cli.terminal_progress import TerminalProgress
from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.lab.benchmarks.command import (
    add_output_arguments,
    add_phantom_arguments,
    check_arguments,
    show,
    thread_count,
    whole_number,
)
from UltrasoundMotionLib.lab.benchmarks.peers import available_peers
from UltrasoundMotionLib.lab.benchmarks.sequence.neighbouring_frames import NeighbourRow, tissue_tracking_table
from UltrasoundMotionLib.lab.benchmarks.table import BenchmarkResult, CaseMeasure, Column, Target
from UltrasoundMotionLib.lab.benchmarks.trackers import installed_peers
from UltrasoundMotionLib.lab.phantom_cases import EVALUATION_SEED
from UltrasoundMotionLib.progress import Progress, no_progress
from UltrasoundMotionLib.tracking.online_tracker import OnlineTracker

if TYPE_CHECKING:
    from UltrasoundMotionLib.simulation import SimulatedSequence

DESCRIPTION = f"""Without --clip: end-point error of the dense field in the tissue of phantoms, beside OpenCV's DIS
flow. Seeds from {EVALUATION_SEED} on are kept for this; nothing is tuned on them. With --clip: SSMSR's Table II, mean
squared error and local cross-correlation of neighbouring frames in the tissue, for `sequence`, DIS flow and methods of
`register`."""

OURS, CHAINED_FLOW = "sequence", "opencv-dis-chained"
POINT_STEP_PX = 3
"""Tissue pixels of the reference frame that count: every third along both axes."""


@dataclass(frozen=True)
class PhantomErrors:
    """End-point errors in px of one method on one phantom: over all frames but the reference, tissue that is inside the
    sector there.

    Attributes:
        phantom: its name, which is kind-difficulty-number.
        still: distance of the tissue from the reference on average, which is the error of no motion at all.
    """

    phantom: str
    method: str
    mean_px: float
    median_px: float
    percentile_95_px: float
    still: float
    frames_per_second: float

    @property
    def group(self) -> str:
        """Kind and difficulty of the phantom."""
        return self.phantom.rsplit("-", 1)[0]


@dataclass(frozen=True)
class SequenceRow:
    """One method on the phantoms of one kind and difficulty."""

    group: str
    method: str
    phantoms: tuple[PhantomErrors, ...]

    def mean(self, name: str) -> float:
        """Mean of a number over the phantoms."""
        return float(np.mean([getattr(one, name) for one in self.phantoms]))

    def as_dict(self) -> dict[str, object]:
        """Returns what JSON keeps of it."""
        return {"group": self.group, "method": self.method, "mean_px": self.mean("mean_px")}


COLUMNS: tuple[Column[SequenceRow], ...] = (
    Column("phantoms", "group"),
    Column("method", "method", names_method=True),
    Column("EPE", lambda row: row.mean("mean_px"), unit="px"),
    Column("median", lambda row: row.mean("median_px")),
    Column("95th", lambda row: row.mean("percentile_95_px")),
    Column("worst", lambda row: max(one.mean_px for one in row.phantoms)),
    Column("no motion", lambda row: row.mean("still")),
    Column("frames/s", lambda row: row.mean("frames_per_second"), 1),
)
CASES: CaseMeasure[SequenceRow] = CaseMeasure(
    "EPE px",
    values=lambda row: {one.phantom: one.mean_px for one in row.phantoms},
    method=lambda row: row.method,
    group=lambda row: row.group,
)


def sequence_targets(rows: Sequence[SequenceRow]) -> tuple[Target, ...]:
    """Below chained DIS flow, in each kind and difficulty."""
    means = {(row.group, row.method): row.mean("mean_px") for row in rows}
    return tuple(
        Target(
            f"end-point error in tissue, {group}",
            f"< {means[group, CHAINED_FLOW]:.3f} px (chained DIS)",
            f"{means[group, OURS]:.3f} px",
            means[group, OURS] < means[group, CHAINED_FLOW],
        )
        for group in dict.fromkeys(row.group for row in rows)
        if (group, CHAINED_FLOW) in means
    )


def simulated_sequences(
    kinds: Sequence[str], difficulties: Sequence[str], *, count: int, seed: int, frame_count: int
) -> Iterator[SimulatedSequence]:
    """Phantoms one after the other, made when asked for."""
    from UltrasoundMotionLib.simulation import phantom_set

    for kind in kinds:
        for difficulty in difficulties:
            for case in phantom_set(kind, difficulty, count, seed, frame_count=frame_count):
                yield case.simulate()


def benchmark_sequence(
    phantoms: Iterable[SimulatedSequence], *, phantom_count: int, device: str = "cpu", progress: Progress = no_progress
) -> BenchmarkResult[SequenceRow]:
    """Registers every phantom's frames to frame 0, by `register_sequence` and by each peer that makes a flow of the
    whole image.
    """
    import torch

    from UltrasoundMotionLib.registration.sequences.register_sequence import register_sequence

    peers, missing = installed_peers([peer for peer in available_peers("tracking") if peer.dense])
    measured: list[PhantomErrors] = []
    for done, phantom in enumerate(phantoms):
        progress(done, phantom_count, phantom.sequence.name)
        points = _tissue_points(phantom.tissue_mask)
        truth = phantom.trajectories_px(points)
        imaging = phantom.imaging
        counts = np.stack([imaging.in_sector(imaging.mm_from_pixels(places)) for places in truth])
        registration = register_sequence(phantom.sequence, device=device)
        answers = {OURS: (registration.trajectories(points), registration.seconds)}
        answers |= {peer.name: _follow(peer.call(), phantom, points) for peer in peers}
        still = _errors(np.broadcast_to(points, truth.shape), truth, counts).mean()
        for method, (found, seconds) in answers.items():
            errors = _errors(found, truth, counts)
            summary = (float(errors.mean()), float(np.median(errors)), float(np.percentile(errors, 95)))
            measured.append(PhantomErrors(phantom.sequence.name, method, *summary, float(still), len(truth) / seconds))
    progress(phantom_count, phantom_count, "done")
    rows = _rows(measured)
    details = {
        "threads": torch.get_num_threads(),
        "device": device,
        "rows": [asdict(one) for one in measured],
    }
    return BenchmarkResult(
        COLUMNS,
        rows,
        sequence_targets(rows),
        details,
        cases=CASES,
        against=CHAINED_FLOW,
        missing=missing,
        rows_key="groups",
    )


def _rows(phantoms: Sequence[PhantomErrors]) -> tuple[SequenceRow, ...]:
    groups = dict.fromkeys(one.group for one in phantoms)
    methods = dict.fromkeys(one.method for one in phantoms)
    return tuple(
        SequenceRow(group, method, tuple(one for one in phantoms if (one.group, one.method) == (group, method)))
        for group in groups
        for method in methods
    )


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


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Adds the benchmark."""
    parser = subparsers.add_parser("sequence", help="dense tissue motion beside optical flow", description=DESCRIPTION)
    add_phantom_arguments(parser, count=4)
    parser.add_argument("--frames", metavar="T", type=whole_number, default=64, help="of each phantom (default 64)")
    parser.add_argument("--clip", metavar="INPUT", type=Path, help="a real clip, in place of phantoms")
    parser.add_argument(
        "--methods", metavar="M", nargs="*", default=(), help="with --clip: methods of `register` beside it"
    )
    parser.add_argument(
        "--mask",
        metavar="FILE",
        type=Path,
        help="with --clip: an image, above 0 where the frames count (default: the tissue, found by grey levels)",
    )
    parser.add_argument(
        "--pairs",
        metavar="N",
        type=whole_number,
        help="with --clip: so many pairs of frames, evenly spread (default: all)",
    )
    parser.add_argument(
        "--steps",
        metavar="N",
        type=whole_number,
        help="with --clip: the most of each scale of methods that train a network",
    )
    parser.add_argument("--device", metavar="D", default="cpu", help="cpu (default, as OpenCV's), cuda or auto")
    parser.add_argument(
        "--threads", metavar="N", type=whole_number, help="for PyTorch and OpenCV alike (default: what PyTorch takes)"
    )
    add_output_arguments(parser, against=CHAINED_FLOW)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Runs and prints it."""
    check_arguments(arguments)
    if arguments.frames < 2:
        raise InputError("--frames must be 2 or more")
    for name in ("methods", "mask", "steps"):
        if getattr(arguments, name) and not arguments.clip:
            raise InputError(f"--{name} needs --clip")

    import torch

    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    show(_clip_result(arguments) if arguments.clip else _phantom_result(arguments), arguments)
    return 0


def _phantom_result(arguments: argparse.Namespace) -> BenchmarkResult[SequenceRow]:
    """Measures phantoms and prints what they are."""
    count = len(arguments.kind) * len(arguments.difficulty) * arguments.count
    phantoms = simulated_sequences(
        arguments.kind, arguments.difficulty, count=arguments.count, seed=arguments.seed, frame_count=arguments.frames
    )
    with TerminalProgress("benchmark", "phantoms") as progress:
        result = benchmark_sequence(phantoms, phantom_count=count, device=arguments.device, progress=progress)
    threads = f"{thread_count()} threads, device {arguments.device}"
    print(f"{count} phantoms of seed {arguments.seed}, {arguments.frames} frames, {threads}")
    return result


def _clip_result(arguments: argparse.Namespace) -> BenchmarkResult[NeighbourRow]:
    """Measures pairs of neighbouring frames of the clip and prints how many."""
    from UltrasoundMotionLib.images import read_sequence
    from UltrasoundMotionLib.images.graphics_mask import without_graphics
    from UltrasoundMotionLib.registration.sequences.frame_images import read_frame_image

    clip = without_graphics(read_sequence(arguments.clip))
    mask = None if arguments.mask is None else read_frame_image(arguments.mask, "mask", clip)
    with TerminalProgress("benchmark", "pairs") as progress:
        result = tissue_tracking_table(
            clip,
            arguments.methods,
            mask=mask,
            pair_count=arguments.pairs,
            steps=arguments.steps,
            device=arguments.device,
            progress=progress,
        )
    pairs = f"{result.details['pairs']} pairs of neighbouring frames"
    print(f"{arguments.clip.name}: {pairs}, device {arguments.device}")
    return result
