"""SSMSR's Table II for any clip: how alike neighbouring frames become, for `sequence`, methods of `register` and
OpenCV's DIS flow.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from UltrasoundMotionLib.errors import InputError, MissingPackageError
from UltrasoundMotionLib.images.image_sequence import ImageSequence
from UltrasoundMotionLib.lab.benchmarks.peers.opencv import import_opencv
from UltrasoundMotionLib.lab.benchmarks.table import BenchmarkResult, CaseMeasure, Column
from UltrasoundMotionLib.progress import Progress, no_progress

if TYPE_CHECKING:
    import torch

    from UltrasoundMotionLib.images.volume import Volume

STILL, OURS, DIS = "no motion", "sequence", "opencv-dis"


@dataclass(frozen=True)
class NeighbourRow:
    """One method on pairs of neighbouring frames (SSMSR, III-B): fixed is a frame, moving the one before it.

    Attributes:
        frames: number of the fixed frame of each pair.
        mse_by_pair, nlcc_by_pair: inside the mask, intensities in [0, 1], window radius ten.
        share_nonpositive: of folded pixels there, mean over the pairs.
    """

    method: str
    frames: tuple[int, ...]
    mse_by_pair: tuple[float, ...]
    nlcc_by_pair: tuple[float, ...]
    share_nonpositive: float
    seconds_per_pair: float

    @property
    def mse(self) -> float:
        """Mean over the pairs."""
        return float(np.mean(self.mse_by_pair))

    @property
    def nlcc(self) -> float:
        """Mean over the pairs."""
        return float(np.mean(self.nlcc_by_pair))

    def as_dict(self) -> dict[str, str | float]:
        """Returns what JSON keeps of it: means and standard deviations over the pairs."""
        return {
            "method": self.method,
            "mse": self.mse,
            "mse_std": _deviation(self.mse_by_pair),
            "nlcc": self.nlcc,
            "nlcc_std": _deviation(self.nlcc_by_pair),
            "share_nonpositive": self.share_nonpositive,
            "seconds_per_pair": self.seconds_per_pair,
        }


COLUMNS: tuple[Column[NeighbourRow], ...] = (
    Column("method", "method", names_method=True),
    Column("MSE", lambda row: 1e3 * row.mse, unit="1e-3"),
    Column("std", lambda row: 1e3 * _deviation(row.mse_by_pair)),
    Column("NLCC", lambda row: 10 * row.nlcc, unit="1e-1"),
    Column("std", lambda row: 10 * _deviation(row.nlcc_by_pair)),
    Column("folded", lambda row: 100 * row.share_nonpositive, unit="%"),
    Column("s/pair", "seconds_per_pair"),
)
"""In the paper's units."""

CASES: CaseMeasure[NeighbourRow] = CaseMeasure(
    "NLCC 1e-1",
    values=lambda row: {f"frame {frame}": 10 * one for frame, one in zip(row.frames, row.nlcc_by_pair, strict=True)},
    method=lambda row: row.method,
)


def tissue_tracking_table(
    sequence: ImageSequence,
    methods: Sequence[str] = (),
    *,
    mask: np.ndarray | None = None,
    pair_count: int | None = None,
    steps: int | None = None,
    device: str = "cpu",
    progress: Progress = no_progress,
) -> BenchmarkResult[NeighbourRow]:
    """Registers pairs of neighbouring frames by every method and measures all of them by the same code.

    `sequence` follows the whole clip; the others get each pair on its own. All but DIS flow, which takes none, are
    given the mask within which they are measured.

    Args:
        methods: of `register`, with their default settings.
        mask: (H, W), above 0 where the frames count; None: the tissue of the first frame, found by grey levels (III-A).
        pair_count: so many pairs, evenly spread; all when None.
        steps: the most of each scale for methods that train a network, fewer than theirs to save time; theirs when
            None.

    Raises:
        InputError: fewer than two frames, no such method or device, a mask of another size or of nothing.
    """
    import torch

    from UltrasoundMotionLib.registration import find_method, register
    from UltrasoundMotionLib.registration.methods.multiscale.settings import SsmsrSettings
    from UltrasoundMotionLib.registration.request import TISSUE
    from UltrasoundMotionLib.registration.sequences.frames import open_frames
    from UltrasoundMotionLib.registration.sequences.register_sequence import measure_frame, register_sequence

    if pair_count is not None and pair_count < 1:
        raise InputError(f"pair_count: expected 1 or more, got {pair_count}")
    trained = [name for name in methods if isinstance(find_method(name).settings_from(), SsmsrSettings)]
    settings = {} if steps is None else {name: {"steps": steps} for name in trained}
    region = TISSUE if mask is None else mask
    frames = open_frames(sequence, 0, region)
    last = len(frames) - 1
    numbers = np.unique(np.linspace(1, last, min(pair_count or last, last)).round().astype(int)).tolist()
    followed = register_sequence(sequence, mode="frame-to-frame", mask=region, device=device)
    displacements = [None if one is None else one.displacement for one in followed.frames]
    fixed_mask, moving_mask = (_volume(sequence, one, "mask") for one in (frames.mask, frames.moving_mask))
    missing = {}
    try:
        flow = import_opencv().DISOpticalFlow_create(import_opencv().DISOPTICAL_FLOW_PRESET_MEDIUM)
    except MissingPackageError as error:
        missing[DIS] = str(error)

    def as_tensor(displacement: np.ndarray | None) -> torch.Tensor:
        assert displacement is not None, "nothing interrupted the call"
        return torch.from_numpy(np.ascontiguousarray(np.moveaxis(displacement, -1, 0), dtype=np.float32))[None]

    def eight_bits(number: int) -> np.ndarray:
        return (255 * frames.tensor(number)[0, 0].numpy()).round().clip(0, 255).astype(np.uint8)

    def registered(method: str) -> Callable[[int], torch.Tensor]:
        def displacement_of(number: int) -> torch.Tensor:
            fixed, moving = (_volume(sequence, frames.tensor(one), f"frame {one}") for one in (number, number - 1))
            return register(
                fixed,
                moving,
                fixed_mask=fixed_mask,
                moving_mask=moving_mask,
                method=method,
                settings=settings.get(method),
                device=device,
                initial_transform=None,
            ).displacement.to_voxels()

        return displacement_of

    ways: dict[str, Callable[[int], torch.Tensor]] = {
        STILL: lambda number: torch.zeros(1, 2, *frames.mask.shape[2:]),
        OURS: lambda number: as_tensor(displacements[number]),
    }
    if not missing:
        ways[DIS] = lambda number: as_tensor(flow.calc(eight_bits(number), eight_bits(number - 1), None))
    ways |= {method: registered(method) for method in methods}
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
        folded = float(np.mean([one.share_nonpositive for one in measures]))
        similarity = (tuple(one.mse for one in measures), tuple(one.nlcc for one in measures))
        rows.append(NeighbourRow(name, tuple(numbers), *similarity, folded, per_pair))
    progress(len(ways) * len(numbers), len(ways) * len(numbers), "done")
    details = {"clip": sequence.name, "pairs": len(numbers)}
    return BenchmarkResult(COLUMNS, tuple(rows), details=details, cases=CASES, against=DIS, missing=missing)


def _volume(sequence: ImageSequence, image: torch.Tensor, name: str) -> Volume:
    """Returns an image (1, 1, H, W) as one of 2D with the clip's spacing."""
    from UltrasoundMotionLib.images.volume import Volume

    return Volume(image[0, 0].numpy(), sequence.spacing_mm or (1.0, 1.0), (0.0, 0.0), np.eye(2), name)


def _deviation(values: Sequence[float]) -> float:
    return float(np.std(values, ddof=1 if len(values) > 1 else 0))
