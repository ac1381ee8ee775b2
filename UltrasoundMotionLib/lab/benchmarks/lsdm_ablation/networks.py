"""Networks of LSDM without and with each of its parts, trained alike and measured: the paper's Tables S2 (decoder,
EMMA, pyramid) and S3 (iterations of EMMA).
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from UltrasoundMotionLib.evaluation.track_errors import TrackErrors, compare_tracks
from UltrasoundMotionLib.evaluation.track_measures import measure_tracks
from UltrasoundMotionLib.fields.jacobian import jacobian_determinant
from UltrasoundMotionLib.lab.benchmarks.rows import RowFile
from UltrasoundMotionLib.lab.benchmarks.table import BenchmarkResult, CaseMeasure, Column
from UltrasoundMotionLib.lab.phantom_cases import BenchmarkCase
from UltrasoundMotionLib.lab.training.data.landmark_sources import LandmarkSource
from UltrasoundMotionLib.lab.training.data.triple_batches import LandmarkBatchSettings
from UltrasoundMotionLib.lab.training.landmark_recipe import LANDMARK_SETTINGS
from UltrasoundMotionLib.lab.training.objectives.lsdm import LsdmObjective
from UltrasoundMotionLib.lab.training.settings import TrainingSettings
from UltrasoundMotionLib.lab.training.state import STATE_NAME
from UltrasoundMotionLib.lab.training.trained_weights import read_weights
from UltrasoundMotionLib.lab.training.trainer import train
from UltrasoundMotionLib.progress import Progress, no_progress
from UltrasoundMotionLib.tracking.online_tracker import FrameTracks
from UltrasoundMotionLib.tracking.run import run_tracker
from UltrasoundMotionLib.tracking.trackers.lsdm.lsdm_tracker import LsdmTracker, LsdmTrackerConfig
from UltrasoundMotionLib.tracking.trackers.lsdm.network import LsdmConfig

ITERATIONS = LsdmConfig().iterations
TABLE_S2 = tuple(
    LsdmConfig(decoder=decoder, iterations=iterations, pyramid=pyramid)
    for iterations, pyramid in ((0, False), (ITERATIONS, False), (ITERATIONS, True))
    for decoder in ("complete", "partial")
)
TABLE_S3 = tuple(LsdmConfig(iterations=iterations) for iterations in (1, ITERATIONS, 5, 10))
TABLES = {"S2": TABLE_S2, "S3": TABLE_S3}
FIELD_EVERY = 10
"""Fields are measured on every tenth frame."""
ROWS_NAME = "rows.jsonl"


@dataclass(frozen=True)
class LsdmRow:
    """One network.

    Attributes:
        table: "S2" or "S3".
        decoder, iterations, pyramid: of its `LsdmConfig`.
        mean_mm, std_mm: of the tracking error, over all positions where the truth is seen.
        lost: landmarks lost for good.
        long_folded, short_folded: share of the fields' pixels whose Jacobian determinant is 0 or below.
        weight_count: of the numbers it learns.
        by_landmark: mean error of each landmark of each phantom.
    """

    table: str
    decoder: str
    iterations: int
    pyramid: bool
    mean_mm: float
    std_mm: float
    lost: int
    long_folded: float
    short_folded: float
    weight_count: int
    by_landmark: dict[str, float]

    @property
    def network(self) -> str:
        """Decoder, iterations and pyramid in words."""
        return _network_name(self.decoder, self.iterations, self.pyramid)

    def as_dict(self) -> dict[str, Any]:
        """Returns what JSON keeps of it."""
        return {name: value for name, value in asdict(self).items() if name != "by_landmark"}


def _network_name(decoder: str, iterations: int, pyramid: bool) -> str:
    return f"{decoder}-emma{iterations}-{'dpn' if pyramid else 'plain'}"


WHOLE_NETWORK = _network_name(LsdmConfig().decoder, LsdmConfig().iterations, LsdmConfig().pyramid)
"""The network as `lsdm` has it, which stands in both tables."""

COLUMNS: tuple[Column[LsdmRow], ...] = (
    Column("table", "table"),
    Column("decoder", "decoder"),
    Column("EMMA", lambda row: f"{row.iterations} iterations" if row.iterations else "-"),
    Column("DPN", lambda row: "yes" if row.pyramid else "-"),
    Column("TE mean", "mean_mm", 2, unit="mm"),
    Column("std", "std_mm", 2),
    Column("lost", "lost"),
    Column("long |J| <= 0", lambda row: 100 * row.long_folded, 4, unit="%"),
    Column("short |J| <= 0", lambda row: 100 * row.short_folded, 4, unit="%"),
    Column("weights", "weight_count"),
)
CASES: CaseMeasure[LsdmRow] = CaseMeasure(
    "mean mm",
    values=lambda row: row.by_landmark,
    method=lambda row: row.network,
    group=lambda row: row.table,
    digits=2,
)


def lsdm_ablation(
    sources: Sequence[LandmarkSource],
    cases: Sequence[BenchmarkCase],
    *,
    tables: Sequence[str] = tuple(TABLES),
    training: TrainingSettings = LANDMARK_SETTINGS,
    batch: LandmarkBatchSettings | None = None,
    network: LsdmConfig | None = None,
    start_from: Path | str | None = None,
    out: Path | str | None = None,
    device: str = "cpu",
    progress: Progress = no_progress,
) -> BenchmarkResult[LsdmRow]:
    """Trains every network of the tables from the same seed on the same batches, and follows the cases' landmarks with
    it.

    A network that stands in both tables is trained once.

    Args:
        tables: names in `TABLES`.
        training: steps, seed and learning rate.
        batch: settings of the batches; None is the default.
        network: what all have in common; None is the default.
        start_from: weights of a whole network that every network begins with, as far as it has the same parts; the
            partial one's second decoder begins as the first.
        out: folder of states and of the rows (`rows.jsonl`). A network that has its row there is not run again, one
            that was interrupted goes on. None keeps nothing.

    Returns:
        A row for each network, table by table. There are no targets: EMMA's effect is reported whichever way it goes.

    Raises:
        InputError: nothing to learn from; weights of another network; a folder of another run.
        OutputError: `out` cannot be written.
        Cancelled: `progress` raised it; finished rows and the state of the last save remain in `out`.
    """
    batch, shared = batch or LandmarkBatchSettings(landmarks=2), network or LsdmConfig()
    wanted = [
        (name, replace(shared, decoder=one.decoder, iterations=one.iterations, pyramid=one.pyramid))
        for name in tables
        for one in TABLES[name]
    ]
    lengths = [f"{case.name}, {len(case.sequence)} frames" for case in cases]
    settings: dict[str, object] = {
        "training": repr(training),
        "batch": repr(batch),
        "network": repr(shared),
        "sources": len(sources),
        "cases": lengths,
    }
    if start_from is not None:
        settings["start_from"] = (
            hashlib.sha256(Path(start_from).read_bytes()).hexdigest() if Path(start_from).is_file() else str(start_from)
        )
    rows = []
    with nullcontext(out) if out is not None else tempfile.TemporaryDirectory() as folder:
        kept = RowFile(Path(folder) / ROWS_NAME, LsdmRow, settings, case=lambda row: row.network, one_run=True)
        for done, (table, config) in enumerate(wanted):
            name = _network_name(config.decoder, config.iterations, config.pyramid)
            report = partial(_report, progress, done, len(wanted), name)
            report()
            measure = partial(
                _row,
                config,
                sources,
                cases,
                training=training,
                batch=batch,
                start_from=start_from,
                folder=Path(folder) / name,
                device=device,
                progress=report,
            )
            rows.append(replace(kept.row(name, measure), table=table))
    progress(len(wanted), len(wanted), "done")
    details = {"steps": training.steps, "started_from": None if start_from is None else Path(start_from).name}
    return BenchmarkResult(COLUMNS, tuple(rows), details=details, cases=CASES, against=WHOLE_NETWORK)


def _report(progress: Progress, done: int, total: int, name: str, *_: object) -> None:
    """Reports at every step of a training, so that it can be cancelled there."""
    progress(done, total, name)


def _row(
    config: LsdmConfig,
    sources: Sequence[LandmarkSource],
    cases: Sequence[BenchmarkCase],
    *,
    training: TrainingSettings,
    batch: LandmarkBatchSettings,
    start_from: Path | str | None,
    folder: Path,
    device: str,
    progress: Progress,
) -> LsdmRow:
    """Trains one network and follows the cases with it."""
    torch.manual_seed(training.seed)
    objective = LsdmObjective(config)
    if start_from is not None:
        objective.start_from(_with_second_decoder(read_weights(start_from)))
    train(
        folder,
        objective,
        objective.batches(sources, batch, training.seed),
        training,
        device=device,
        resume=(folder / STATE_NAME).exists(),
        progress=progress,
    )
    made = objective.network.eval()
    errors, folded = [], []
    for case in cases:
        compared, shares = _follow(LsdmTracker(made, LsdmTrackerConfig(), torch.device(device)), case)
        errors.append(compared)
        folded += shares
    measures = measure_tracks(errors)
    long_folded, short_folded = np.mean(folded, axis=0)
    return LsdmRow(
        table="",
        decoder=config.decoder,
        iterations=config.iterations,
        pyramid=config.pyramid,
        mean_mm=measures.tracking_error.mean,
        std_mm=measures.tracking_error.std,
        lost=measures.lost_count,
        long_folded=float(long_folded),
        short_folded=float(short_folded),
        weight_count=sum(weight.numel() for weight in made.parameters()),
        by_landmark=_means_of_landmarks(errors),
    )


def _means_of_landmarks(errors: Sequence[TrackErrors]) -> dict[str, float]:
    """Returns the mean error in mm of each landmark that is seen at all."""
    found = {}
    for one in errors:
        assert one.error_mm is not None
        values = np.where(one.visible, one.error_mm, np.nan)
        for label, column in zip(one.labels, values.T, strict=True):
            if np.isfinite(column).any():
                found[f"{one.name}/{label}"] = float(np.nanmean(column))
    return found


def _with_second_decoder(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Adds a second decoder, equal to the first, to the weights of a complete network."""
    first, second = "decoder.decoders.0.", "decoder.decoders.1."
    copies = {second + name[len(first) :]: value for name, value in tensors.items() if name.startswith(first)}
    return {**copies, **tensors}


def _follow(tracker: LsdmTracker, case: BenchmarkCase) -> tuple[TrackErrors, list[tuple[float, float]]]:
    """Measures the errors of a case's landmarks, and the folded share of the long and the short fields of every tenth
    frame.
    """
    shares: list[tuple[float, float]] = []

    def judge(index: int, _: FrameTracks) -> None:
        if index and index % FIELD_EVERY == 0:
            result = tracker.result()
            fields = (result.long_displacement, result.short_displacement)
            long, short = (
                float((jacobian_determinant(torch.as_tensor(one / result.step_px)[None]) <= 0).float().mean())
                for one in fields
            )
            shares.append((long, short))

    truth = case.truth
    tracks = run_tracker(
        case.sequence, lambda: tracker, truth.positions_px[0], labels=truth.labels, model="lsdm", on_frame=judge
    )
    return compare_tracks(tracks, truth, name=case.name), shares
