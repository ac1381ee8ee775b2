"""`benchmark official-code`: a network of ours beside a checkout of its authors' code: same weights, same clip.

Each side runs in a child process of its own, `python -m UltrasoundMotionLib.lab.benchmarks.official_code ...`. The
official code is imported from the checkout that the user names; it is no part of this project.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from UltrasoundMotionLib.cli.terminal_progress import TerminalProgress
from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.input_files import is_folder
from UltrasoundMotionLib.lab.benchmarks.command import add_output_arguments, check_arguments, show, whole_number
from UltrasoundMotionLib.lab.benchmarks.swaying_speckle import SwayingSpeckle
from UltrasoundMotionLib.lab.benchmarks.table import BenchmarkResult, Column, Target
from UltrasoundMotionLib.peak_memory import own_peak_bytes, run_in_child
from UltrasoundMotionLib.progress import Progress, no_progress

if TYPE_CHECKING:
    from torch import Tensor, nn

_MEGABYTE = 1e6
_WEIGHTS, _OFFICIAL, _OURS = "weights", "official", "ours"
_SIDE_UNIT = 16
_OUTPUT = "dense.weight"
"""End of the names of the layers that move points; random ones would make rounding grow from iteration to iteration."""


@dataclass(frozen=True)
class OfficialCodeRow:
    """Processor seconds of both sides, peak memory in MB (1e6 bytes) above that before the run, and the largest
    difference of positions in pixels.
    """

    model: str
    frames: int
    official_s: float
    ours_s: float
    official_mb: float
    ours_mb: float
    difference_px: float

    @property
    def time_ratio(self) -> float:
        """Ours over theirs."""
        return self.ours_s / self.official_s

    @property
    def memory_ratio(self) -> float:
        """Ours over theirs."""
        return self.ours_mb / self.official_mb

    def as_dict(self) -> dict[str, Any]:
        """Returns what JSON keeps of it."""
        return {**asdict(self), "time_ratio": self.time_ratio, "memory_ratio": self.memory_ratio}


def _build_echotracker() -> nn.Module:
    from model.echopips import EchoPIPs  # type: ignore[import-not-found]  # of the checkout

    network: nn.Module = EchoPIPs()
    return network


def _build_pipspp() -> nn.Module:
    import torch
    from nets.pips2 import Pips  # type: ignore[import-not-found]  # of the checkout

    torch.Tensor.cuda = lambda self, *given, **named: self  # type: ignore[method-assign]  # its loss asks for a GPU
    network: nn.Module = Pips()
    return network


def _run_echotracker(network: nn.Module, frames: Tensor, points: Tensor) -> Tensor:
    found: Tensor = network(frames[None], points[None].clone(), iters=4)[0][-1][0]
    return found


def _run_pipspp(network: nn.Module, frames: Tensor, points: Tensor) -> Tensor:
    start = points[None, None].repeat(1, len(frames), 1, 1)
    found: Tensor = network(start, frames.expand(-1, 3, -1, -1)[None], iters=16)[0][-1][0]
    return found


_OFFICIAL_CODE: dict[str, tuple[Callable[[], nn.Module], Callable[[nn.Module, Tensor, Tensor], Tensor]]] = {
    "echotracker": (_build_echotracker, _run_echotracker),
    "pipspp": (_build_pipspp, _run_pipspp),
}
"""Builds and runs the official module, given frames (T, 1, H, W) in [0, 255] and points (N, 2)."""


def benchmark_official_code(
    model: str,
    checkout: Path,
    *,
    frame_count: int = 24,
    point_count: int = 48,
    size_px: int = 256,
    progress: Progress = no_progress,
) -> BenchmarkResult[OfficialCodeRow]:
    """Runs the official code and ours on swaying speckle, on one thread each, with random weights of the official one,
    the output layers' small.

    Raises:
        InputError: a folder that is none, a size that the networks cannot take, or a child process that failed.
    """
    if not is_folder(checkout):
        raise InputError(f"{checkout}: no such folder; give a checkout of the official code")
    if size_px % _SIDE_UNIT:
        raise InputError(f"--size: expected a multiple of {_SIDE_UNIT}, got {size_px}")
    sides: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as folder:
        numbers = [str(value) for value in (frame_count, point_count, size_px)]
        for done, side in enumerate((_WEIGHTS, _OFFICIAL, _OURS)):
            progress(done, 3, f"{model}: {side}")
            arguments = [side, model, str(checkout.resolve()), folder, *numbers]
            sides[side] = run_in_child("UltrasoundMotionLib.lab.benchmarks.official_code", arguments)
        paths = [np.load(Path(folder) / f"{side}.npy") for side in (_OFFICIAL, _OURS)]
    official, ours = sides[_OFFICIAL], sides[_OURS]
    row = OfficialCodeRow(
        model,
        frame_count,
        official["seconds"],
        ours["seconds"],
        official["bytes"] / _MEGABYTE,
        ours["bytes"] / _MEGABYTE,
        float(np.abs(paths[0][1:] - paths[1][1:]).max()),  # on the query frame ours is the point as given
    )
    targets = (
        Target(f"time: {model}", "at most the official code's", f"{row.time_ratio:.2f} of it", row.time_ratio <= 1),
        Target(
            f"memory: {model}",
            "at most half of the official code's",
            f"{row.memory_ratio:.2f} of it",
            row.memory_ratio <= 0.5,
        ),
    )
    columns: tuple[Column[OfficialCodeRow], ...] = (
        Column("model", "model", names_method=True),
        Column("frames", "frames"),
        Column("official", "official_s", 1, "s"),
        Column("here", "ours_s", 1, "s"),
        Column("ratio", "time_ratio", 2),
        Column("official", "official_mb", 0, "MB"),
        Column("here", "ours_mb", 0, "MB"),
        Column("ratio", "memory_ratio", 2),
        Column("difference", "difference_px", 4, "px"),
    )
    return BenchmarkResult(columns, (row,), targets, {"points": point_count, "size_px": size_px})


def _run_side(side: str, model: str, checkout: str, folder: Path, numbers: Sequence[int]) -> dict[str, float]:
    """Runs one side in this process and writes its positions; writes the weights first where that is asked for."""
    import torch

    torch.set_num_threads(1)
    frame_count, point_count, size_px = numbers
    weights = folder / "weights.pth"
    sys.path.insert(0, checkout)
    build, run_official = _OFFICIAL_CODE[model]
    if side == _WEIGHTS:
        torch.manual_seed(0)
        tensors = build().state_dict()
        torch.save({name: value / 100 if name.endswith(_OUTPUT) else value for name, value in tensors.items()}, weights)
        return {}
    source = SwayingSpeckle(frame_count, size_px)
    frames = np.stack([source[index] for index in range(frame_count)]).astype(np.float32)
    points = np.random.default_rng(1).uniform(0.25 * size_px, 0.75 * size_px, (point_count, 2)).astype(np.float32)
    tensors = torch.load(weights, weights_only=True)
    if side == _OFFICIAL:
        network = build().eval()
        network.load_state_dict(tensors)
        images, places = torch.tensor(frames)[:, None], torch.tensor(points)
        before, started = own_peak_bytes(), time.process_time()
        with torch.no_grad():
            found = run_official(network, images, places).numpy()
    else:
        track = _our_tracker(model, tensors, size_px)
        before, started = own_peak_bytes(), time.process_time()
        found = track(frames, points.astype(np.float64)).positions_px
    seconds = time.process_time() - started
    np.save(folder / f"{side}.npy", found)
    return {"seconds": seconds, "bytes": max(1, own_peak_bytes() - before)}


def _our_tracker(model: str, tensors: dict[str, Tensor], size_px: int) -> Callable[..., Any]:
    from UltrasoundMotionLib.tracking.registry import TrackerSetup, find_tracker

    entry = find_tracker(model)
    assert entry.network is not None and entry.network.official is not None
    ours, configuration = entry.network.official.convert(tensors)
    network = entry.network.build(configuration).eval()
    network.load_state_dict(ours)
    tracker: Any = entry.create(TrackerSetup("cpu", entry.settings_from({"image_size": [size_px, size_px]}), network))
    track: Callable[..., Any] = tracker.track
    return track


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Adds the benchmark."""
    parser = subparsers.add_parser("official-code", help="a network of ours beside a checkout of its authors' code")
    parser.add_argument("checkout", metavar="CHECKOUT", type=Path, help="folder of the official repository")
    parser.add_argument("--model", required=True, choices=tuple(_OFFICIAL_CODE), help="the tracker of ours")
    parser.add_argument("--frames", metavar="T", type=whole_number, default=24, help="of the clip (default 24)")
    parser.add_argument("--points", metavar="N", type=whole_number, default=48, help="to follow (default 48)")
    parser.add_argument(
        "--size", metavar="PX", type=whole_number, default=256, help="side of the frames in pixels (default 256)"
    )
    add_output_arguments(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Runs and prints it."""
    check_arguments(arguments)
    with TerminalProgress("benchmark", "runs") as progress:
        result = benchmark_official_code(
            arguments.model,
            arguments.checkout,
            frame_count=arguments.frames,
            point_count=arguments.points,
            size_px=arguments.size,
            progress=progress,
        )
    show(result, arguments)
    return 0


if __name__ == "__main__":
    given = sys.argv[1:]
    print(json.dumps(_run_side(given[0], given[1], given[2], Path(given[3]), [int(one) for one in given[4:]])))
