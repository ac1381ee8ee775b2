"""LSDM's parts, each trained alike and for as long: the paper's Tables S2 (decoder, EMMA, pyramid) and S3 (iterations
of EMMA).
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch

from UltrasoundMotionLib.evaluation.track_errors import TrackErrors, compare_tracks
from UltrasoundMotionLib.evaluation.track_measures import measure_tracks
from UltrasoundMotionLib.fields.jacobian import jacobian_determinant
from UltrasoundMotionLib.lab.benchmarks.kept_rows import kept_row
from UltrasoundMotionLib.lab.benchmarks.phantom_cases import BenchmarkCase
from UltrasoundMotionLib.lab.benchmarks.table import Target
from UltrasoundMotionLib.lab.training.data.landmark_batches import LandmarkBatches, LandmarkBatchSettings
from UltrasoundMotionLib.lab.training.data.landmark_sources import LandmarkSource
from UltrasoundMotionLib.lab.training.landmark_recipe import LANDMARK_SETTINGS
from UltrasoundMotionLib.lab.training.objectives.lsdm import LsdmObjective
from UltrasoundMotionLib.lab.training.settings import TrainingSettings
from UltrasoundMotionLib.lab.training.state import STATE_NAME
from UltrasoundMotionLib.lab.training.trained_weights import read_weights
from UltrasoundMotionLib.lab.training.trainer import train
from UltrasoundMotionLib.progress import Progress, no_progress
from UltrasoundMotionLib.text_table import format_number, markdown_table, text_table
from UltrasoundMotionLib.tracking.online_tracker import FrameTracks
from UltrasoundMotionLib.tracking.run import run_tracker
from UltrasoundMotionLib.tracking.trackers.lsdm.lsdm_tracker import LsdmTracker, LsdmTrackerConfig
from UltrasoundMotionLib.tracking.trackers.lsdm.network import LsdmConfig
from UltrasoundMotionLib.tracking.trackers.lsdm.published import LsdmPublishedTracker

ITERATIONS = 5
TABLE_S2 = tuple(
    LsdmConfig(decoder=decoder, iterations=iterations, pyramid=pyramid)
    for pyramid in (False, True)
    for iterations in (0, ITERATIONS)
    for decoder in ("complete", "partial")
)
"""The paper leaves out the pyramid without EMMA; here are all eight."""
TABLE_S3 = tuple(LsdmConfig(iterations=iterations) for iterations in (1, ITERATIONS, 10))
TABLES = {"S2": TABLE_S2, "S3": TABLE_S3}
FIELD_EVERY = 10
"""Fields are judged on every tenth frame."""
SIAMESE_BRANCH = ("features.", "head.")
"""Of a network's weights: what all networks of both tables have alike.

Encoder, decoders, EMMA and pyramid are the parts that are compared.
"""


@dataclass(frozen=True)
class AblationRow:
    """One network.

    Attributes:
        table: "S2" or "S3".
        decoder, iterations, pyramid: of its `LsdmConfig`.
        mean_mm, std_mm: of the tracking error, over all positions where the truth is seen, of `lsdm`, which weighs
            response and motions.
        lost: landmarks lost for good.
        response_mean_mm, response_std_mm: of `lsdm-published`, the response alone: motions count through the pyramid
            only.
        long_folded, short_folded: share of the fields' pixels whose Jacobian determinant is 0 or below.
        weight_count: how many numbers it learns.
    """

    table: str
    decoder: str
    iterations: int
    pyramid: bool
    mean_mm: float
    std_mm: float
    lost: int
    response_mean_mm: float
    response_std_mm: float
    long_folded: float
    short_folded: float
    weight_count: int


@dataclass(frozen=True)
class LsdmAblation:
    """All rows; `steps` of training each, from the Siamese branch of the weights `started_from`, or from chance."""

    rows: tuple[AblationRow, ...]
    steps: int
    started_from: str | None = None

    def targets(self) -> tuple[Target, ...]:
        """None: EMMA's effect is to be reported whichever way it goes."""
        return ()

    def table(self, markdown: bool = False) -> str:
        """A line for each network, table by table."""
        header = [
            "table",
            "decoder",
            "EMMA",
            "DPN",
            "TE mean mm",
            "std",
            "lost",
            "response alone",
            "std",
            "long |J| <= 0 %",
            "short |J| <= 0 %",
            "weights",
        ]
        lines = [
            [
                row.table,
                row.decoder,
                f"{row.iterations} iterations" if row.iterations else "-",
                "yes" if row.pyramid else "-",
                *(format_number(number, 2) for number in (row.mean_mm, row.std_mm)),
                str(row.lost),
                *(format_number(number, 2) for number in (row.response_mean_mm, row.response_std_mm)),
                *(format_number(100 * share, 4) for share in (row.long_folded, row.short_folded)),
                str(row.weight_count),
            ]
            for row in self.rows
        ]
        return (markdown_table if markdown else text_table)(header, lines)

    def as_dict(self) -> dict:
        """For JSON."""
        return {"steps": self.steps, "started_from": self.started_from, "rows": [asdict(row) for row in self.rows]}


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
) -> LsdmAblation:
    """Trains every network of the tables from the same seed on the same batches, and follows the cases' landmarks with
    it.

    A network that stands in both tables is trained once.

    Args:
        tables: names in `TABLES`.
        training: steps, seed and learning rate.
        batch: settings of the batches; None is the default.
        network: what all have in common; None is the default.
        start_from: weights (safetensors) whose Siamese branch every network begins with; the parts that are compared
            always begin anew.
        out: folder of states and rows. A network that has its row there is not run again, one that was interrupted goes
            on. None keeps nothing.

    Raises:
        InputError: nothing to learn from; weights of another network; a folder of another run.
        OutputError: `out` cannot be written.
        Cancelled: `progress` raised it; finished rows and the state of the last save remain in `out`.
    """
    batch, shared = batch or LandmarkBatchSettings(), network or LsdmConfig()
    wanted = [
        (name, replace(shared, decoder=one.decoder, iterations=one.iterations, pyramid=one.pyramid))
        for name in tables
        for one in TABLES[name]
    ]
    lengths = [f"{case.name}, {len(case.sequence)} frames" for case in cases]
    settings = {
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
    made: dict[LsdmConfig, AblationRow] = {}
    rows = []
    with nullcontext(out) if out is not None else tempfile.TemporaryDirectory() as folder:
        for done, (name, config) in enumerate(wanted):
            title = f"{config.decoder}, EMMA {config.iterations}, DPN {'yes' if config.pyramid else 'no'}"
            told = partial(_tell, progress, done, len(wanted), title)
            told()
            if config not in made:
                place = (
                    Path(folder) / f"{config.decoder}-emma{config.iterations}-{'dpn' if config.pyramid else 'plain'}"
                )
                made[config] = kept_row(
                    place.with_suffix(".json"),
                    settings,
                    AblationRow,
                    partial(
                        _row,
                        config,
                        sources,
                        cases,
                        training=training,
                        batch=batch,
                        start_from=start_from,
                        folder=place,
                        device=device,
                        progress=told,
                    ),
                )
            rows.append(replace(made[config], table=name))
    progress(len(wanted), len(wanted), "done")
    return LsdmAblation(tuple(rows), training.steps, None if start_from is None else Path(start_from).name)


def _tell(progress: Progress, done: int, total: int, title: str, *_: object) -> None:
    """At every step of a training, so that it can be cancelled there."""
    progress(done, total, title)


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
) -> AblationRow:
    """Trains one network and follows the cases with it."""
    torch.manual_seed(training.seed)
    objective = LsdmObjective(config)
    if start_from is not None:
        objective.start_from(
            {name: value for name, value in read_weights(start_from).items() if name.startswith(SIAMESE_BRANCH)}
        )
    train(
        folder,
        objective,
        LandmarkBatches(sources, batch, training.seed),
        training,
        device=device,
        resume=(folder / STATE_NAME).exists(),
        progress=progress,
    )
    made = objective.network.eval()
    errors, alone, folded = [], [], []
    for case in cases:
        compared, shares = _follow(LsdmTracker(made, LsdmTrackerConfig(), torch.device(device)), case)
        errors.append(compared)
        folded += shares
        alone.append(_follow(LsdmPublishedTracker(made, torch.device(device)), case)[0])
    measures, response = measure_tracks(errors), measure_tracks(alone).tracking_error
    long_folded, short_folded = np.mean(folded, axis=0)
    return AblationRow(
        table="",
        decoder=config.decoder,
        iterations=config.iterations,
        pyramid=config.pyramid,
        mean_mm=measures.tracking_error.mean,
        std_mm=measures.tracking_error.std,
        lost=measures.lost_count,
        response_mean_mm=response.mean,
        response_std_mm=response.std,
        long_folded=float(long_folded),
        short_folded=float(short_folded),
        weight_count=sum(weight.numel() for weight in made.parameters()),
    )


def _follow(
    tracker: LsdmTracker | LsdmPublishedTracker, case: BenchmarkCase
) -> tuple[TrackErrors, list[tuple[float, float]]]:
    """Errors of a case's landmarks, and the folded share of the long and the short fields of every tenth frame."""
    shares: list[tuple[float, float]] = []

    def judge(index: int, _: FrameTracks) -> None:
        if index and index % FIELD_EVERY == 0:
            result = tracker.result()
            fields = (result.long_displacement, result.short_displacement)
            shares.append(
                tuple(
                    float((jacobian_determinant(torch.as_tensor(one / result.step_px)) <= 0).float().mean())
                    for one in fields
                )
            )

    truth = case.truth
    tracks = run_tracker(
        case.sequence, lambda: tracker, truth.positions_px[0], labels=truth.labels, model="lsdm", on_frame=judge
    )
    return compare_tracks(tracks, truth, name=case.name), shares
