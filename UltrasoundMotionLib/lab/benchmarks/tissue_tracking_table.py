"""SSMSR's Table II for any clip: how alike neighbouring frames become, for `sequence`, methods of `register` and
OpenCV's DIS flow.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.images import ImageSequence
from UltrasoundMotionLib.lab.benchmarks.opencv_peers import import_opencv
from UltrasoundMotionLib.progress import Progress, no_progress
from UltrasoundMotionLib.text_table import format_number, markdown_table, text_table

STILL, OURS, DIS = "no motion", "sequence", "opencv-dis"


@dataclass(frozen=True)
class TissueTrackingRow:
    """Means and standard deviations over pairs of frames (SSMSR, III-B): fixed is a frame, moving the one before it.

    Attributes:
        mse, nlcc: inside the mask of III-A, intensities in [0, 1], window radius ten.
        share_nonpositive: of folded pixels there.
    """

    method: str
    mse: float
    mse_std: float
    nlcc: float
    nlcc_std: float
    share_nonpositive: float
    seconds_per_pair: float


@dataclass(frozen=True)
class TissueTrackingTable:
    """One row a method."""

    clip: str
    pair_count: int
    rows: tuple[TissueTrackingRow, ...]

    def table(self, markdown: bool = False) -> str:
        """In the paper's units: MSE in 10^-3, NLCC in 10^-1."""
        header = ["method", "MSE 1e-3", "std", "NLCC 1e-1", "std", "folded %", "s/pair"]
        rows = []
        for row in self.rows:
            numbers = (
                1e3 * row.mse,
                1e3 * row.mse_std,
                10 * row.nlcc,
                10 * row.nlcc_std,
                100 * row.share_nonpositive,
                row.seconds_per_pair,
            )
            rows.append([row.method, *(format_number(number) for number in numbers)])
        return (markdown_table if markdown else text_table)(header, rows)

    def as_dict(self) -> dict:
        """For JSON."""
        return {"clip": self.clip, "pairs": self.pair_count, "rows": [asdict(row) for row in self.rows]}


def tissue_tracking_table(
    sequence: ImageSequence,
    methods: Sequence[str] = (),
    *,
    pair_count: int | None = None,
    steps: int | None = None,
    device: str = "cpu",
    progress: Progress = no_progress,
) -> TissueTrackingTable:
    """Registers pairs of neighbouring frames by every method and measures all of them by the same code.

    `sequence` follows the whole clip; the others get each pair on its own.

    Args:
        methods: of `register`, with their default settings.
        pair_count: so many pairs, evenly spread; all when None.
        steps: the most of each scale for methods that train a network, fewer than theirs to save time; theirs when
            None.

    Raises:
        InputError: fewer than two frames, no such method or device.
        MissingPackageError: OpenCV is not installed.
    """
    import torch

    from UltrasoundMotionLib.registration import find_method, register
    from UltrasoundMotionLib.registration.methods.multiscale.config import SsmsrConfig
    from UltrasoundMotionLib.registration.sequences.frames import open_frames
    from UltrasoundMotionLib.registration.sequences.register_sequence import measure_frame, register_sequence

    if pair_count is not None and pair_count < 1:
        raise InputError(f"pair_count: expected 1 or more, got {pair_count}")
    trained = {
        name: found.configuration()
        for name in methods
        if issubclass((found := find_method(name)).configuration, SsmsrConfig)
    }
    settings = {} if steps is None else {name: replace(config, steps=steps) for name, config in trained.items()}
    frames = open_frames(sequence, 0, "tissue")
    last = len(frames) - 1
    numbers = np.unique(np.linspace(1, last, min(pair_count or last, last)).round().astype(int)).tolist()
    followed = register_sequence(sequence, mode="frame-to-frame", mask="tissue", device=device)
    flow = import_opencv().DISOpticalFlow_create(import_opencv().DISOPTICAL_FLOW_PRESET_MEDIUM)

    def as_tensor(displacement: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(np.ascontiguousarray(np.moveaxis(displacement, -1, 0), dtype=np.float32))[None]

    def eight_bits(number: int) -> np.ndarray:
        return (255 * frames.tensor(number)[0, 0].numpy()).round().clip(0, 255).astype(np.uint8)

    def registered(method: str) -> Callable[[int], torch.Tensor]:
        def displacement_of(number: int) -> torch.Tensor:
            fixed, moving = (_volume(sequence, frames.tensor(one)[0, 0].numpy(), one) for one in (number, number - 1))
            return register(
                fixed, moving, method=method, config=settings.get(method), device=device, initial_transform=None
            ).displacement.to_voxels()

        return displacement_of

    ways: dict[str, Callable[[int], torch.Tensor]] = {
        STILL: lambda number: torch.zeros(1, 2, *frames.mask.shape[2:]),
        OURS: lambda number: as_tensor(followed.frames[number].displacement),
        DIS: lambda number: as_tensor(flow.calc(eight_bits(number), eight_bits(number - 1), None)),
    } | {method: registered(method) for method in methods}
    rows = []
    for done, (name, displacement_of) in enumerate(ways.items()):
        measures, seconds = [], 0.0
        for step, number in enumerate(numbers):
            progress(done * len(numbers) + step, len(ways) * len(numbers), name)
            began = time.perf_counter()
            displacement = displacement_of(number)
            seconds += time.perf_counter() - began
            measures.append(measure_frame(frames.tensor(number), frames.tensor(number - 1), frames.mask, displacement))
        per_pair = followed.seconds / last if name == OURS else seconds / len(numbers)
        rows.append(_row(name, [(one.mse, one.nlcc, one.share_nonpositive) for one in measures], per_pair))
    progress(len(ways) * len(numbers), len(ways) * len(numbers), "done")
    return TissueTrackingTable(sequence.name, len(numbers), tuple(rows))


def _volume(sequence: ImageSequence, image: np.ndarray, number: int):
    from UltrasoundMotionLib.images.volume import Volume

    return Volume(image, sequence.spacing_mm or (1.0, 1.0), (0.0, 0.0), np.eye(2), f"frame {number}")


def _row(name: str, values: Sequence[tuple[float, float, float]], seconds: float) -> TissueTrackingRow:
    mean, deviation = np.mean(values, axis=0), np.std(values, axis=0, ddof=1 if len(values) > 1 else 0)
    return TissueTrackingRow(
        name, float(mean[0]), float(deviation[0]), float(mean[1]), float(deviation[1]), float(mean[2]), seconds
    )
