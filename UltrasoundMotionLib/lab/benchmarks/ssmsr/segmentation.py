"""Table I of Zhu et al.: a hippocampus gets the labels of the training image that is most similar to it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from UltrasoundMotionLib.errors import InputError, MissingPackageError
from UltrasoundMotionLib.lab.benchmarks.registration.pair_rows import MethodResult, PairResult
from UltrasoundMotionLib.lab.benchmarks.registration.runner import method_call, pair_result, row_file, run_method
from UltrasoundMotionLib.lab.benchmarks.rows import RowFile
from UltrasoundMotionLib.lab.benchmarks.ssmsr.atlases import AtlasRow, most_similar_when_registered, working_pair
from UltrasoundMotionLib.lab.benchmarks.ssmsr.first_training import STEPS_PER_IMAGE, train_neurreg, train_scale
from UltrasoundMotionLib.lab.benchmarks.ssmsr.published import (
    NEURREG,
    PEERS,
    SSMSR,
    SSR,
    TABLE_1,
    UNREGISTERED,
    VOXELMORPH,
    scale_name,
)
from UltrasoundMotionLib.lab.benchmarks.ssmsr.segmentation_table import segmentation_result
from UltrasoundMotionLib.lab.benchmarks.table import BenchmarkResult
from UltrasoundMotionLib.lab.registration_datasets import (
    HIPPOCAMPUS_LABELS,
    LabelledImage,
    RegistrationPair,
    evenly,
    hippocampus_subjects,
    learned_part,
    read_hippocampus,
)
from UltrasoundMotionLib.progress import Progress, no_progress
from UltrasoundMotionLib.registration.methods.multiscale.settings import (
    SCALES,
    SinglePassSettings,
    SsmsrSettings,
    SsrSettings,
)

if TYPE_CHECKING:
    from torch import Tensor

    from UltrasoundMotionLib.registration.working_pair import WorkingPair

RANDOM_PART = "random"
PARTS = (RANDOM_PART, "validation", "held-out")
TEST_SHARE = 0.2
"""52 of the paper's 260 images."""
ROWS = (UNREGISTERED, *TABLE_1)
_SSMSR_ROWS = tuple(scale_name(scale) for scale in SCALES[3])
_NETWORK_ROWS = (VOXELMORPH, NEURREG, SSR, *_SSMSR_ROWS)


@dataclass(frozen=True)
class SegmentationOptions:
    """The options of the experiment; the defaults are the paper's.

    Attributes:
        part: "random": a fifth of the subjects, drawn by the seed, is tested and the others train; "validation" and
            "held-out": as `learned_part`, whose "train" trains.
        images: test so many, evenly chosen; None: all.
        subjects: train on the first so many; None: all.
        steps: of test-time training, for each scale.
        training_steps: of each network's first training; None: 3,500 for each training image, NeurReg 1,500.
        seed: of the split, of weights and of batches.
        device: of the networks.
    """

    part: str = RANDOM_PART
    images: int | None = None
    subjects: int | None = None
    steps: int = 3500
    training_steps: int | None = None
    seed: int = 1
    device: str = "cpu"


def split_subjects(folder: Path, options: SegmentationOptions) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Returns the names of the training and of the test subjects.

    Raises:
        InputError: no such part or data, or too few subjects.
    """
    names = hippocampus_subjects(folder)
    if options.part == RANDOM_PART:
        order = np.random.default_rng(options.seed).permutation(len(names))
        count = round(TEST_SHARE * len(names))
        parts = [tuple(sorted(names[index] for index in part)) for part in (order[count:], order[:count])]
    else:
        parts = [learned_part(names, "train"), learned_part(names, options.part)]
    training, test = parts[0][: options.subjects], parts[1]
    if len(training) < 2 or not test:
        raise InputError(f"{folder}: {len(training)} training and {len(test)} test subjects are too few")
    return training, test if options.images is None else evenly(test, options.images)


def run_segmentation(
    folder: Path,
    out: Path,
    methods: Sequence[str] = ROWS,
    options: SegmentationOptions | None = None,
    *,
    progress: Progress = no_progress,
) -> BenchmarkResult[MethodResult]:
    """Trains the networks, chooses each test image's atlas, and registers it by every method.

    Args:
        folder: of MSD Task04 Hippocampus.
        out: folder that keeps trainings and rows; what is there is not done again.
        methods: rows of the table by name, or others as `method_call` takes them.

    Raises:
        InputError: no such data, part or method.
        OutputError: a file cannot be written.
    """
    options = options or SegmentationOptions()
    calls = {name: method_call(PEERS.get(name, name)) for name in methods if name not in _NETWORK_ROWS}
    training, test = split_subjects(folder, options)
    progress(0, len(training), "reading the training images")
    library = {name: read_hippocampus(folder, name) for name in training}
    cards = _trained(out, library, NEURREG in methods, options, progress)
    atlases = RowFile(out / "atlases.jsonl", AtlasRow, _run(options, VOXELMORPH), case=lambda row: row.subject)
    pairs = []
    for done, name in enumerate(test):
        progress(done, len(test), "choosing atlases")
        fixed = read_hippocampus(folder, name)
        choose = partial(most_similar_when_registered, name, fixed, library, cards[VOXELMORPH], options.device)
        atlas = atlases.row(name, choose).atlas
        pairs.append(RegistrationPair(f"{name} < {atlas}", fixed, library[atlas]))
    results: dict[str, MethodResult] = {}
    for name in methods:
        files = {one: row_file(out / "rows.jsonl", _run(options, one)) for one in (*_SSMSR_ROWS, name)}
        measure = _call_measure(name, calls[name]) if name in calls else _network_measure(name, cards, options)
        rows = []
        try:
            for done, pair in enumerate(pairs):
                progress(done, len(pairs), name)
                rows.append(_kept(pair, name, files, measure))
            results[name] = MethodResult(name, tuple(rows), label_names=HIPPOCAMPUS_LABELS)
        except MissingPackageError as error:
            results[name] = MethodResult(name, (), str(error))
    details = {**asdict(options), "training_subjects": len(training), "test_subjects": len(test)}
    return segmentation_result(list(results.values()), details)


Measure = Callable[[RegistrationPair], Mapping[str, PairResult]]


def _trained(
    out: Path,
    library: Mapping[str, LabelledImage],
    neurreg: bool,
    options: SegmentationOptions,
    progress: Progress,
) -> dict[str, Path]:
    """Returns the cards of VoxelMorph, of SSMSR's coarsest scale and, if asked for, of NeurReg."""
    images = list(library.values())

    def draw_pair(random: np.random.Generator) -> WorkingPair:
        fixed, moving = (images[int(index)] for index in random.choice(len(images), 2, replace=False))
        return working_pair(RegistrationPair("", fixed, moving))

    description = f"random pairs of {len(images)} hippocampi ({options.part}, seed {options.seed})"
    steps = options.training_steps or STEPS_PER_IMAGE * len(images)

    def scale(number: float) -> Path:
        return train_scale(
            out,
            number,
            3,
            draw_pair,
            description=description,
            steps=steps,
            seed=options.seed,
            device=options.device,
            progress=progress,
        )

    cards = {VOXELMORPH: scale(1.0), SSMSR: scale(SCALES[3][0])}
    if neurreg:
        from UltrasoundMotionLib.lab.training.data.registration_pairs import LabelledArrays, TrainingSubject

        subjects = [
            TrainingSubject(name, (LabelledArrays(one.image.array.astype(np.float16), one.labels.array),))
            for name, one in library.items()
        ]
        cards[NEURREG] = train_neurreg(
            out,
            subjects,
            steps=options.training_steps,
            seed=options.seed,
            device=options.device,
            progress=progress,
        )
    return cards


def _network_measure(name: str, cards: Mapping[str, Path], options: SegmentationOptions) -> Measure:
    """Measures the result of the paper's row; of SSMSR that of every scale."""
    settings: SsmsrSettings
    if name in _SSMSR_ROWS:
        settings = SsmsrSettings(steps=options.steps, weights=cards[SSMSR])
    elif name == SSR:
        settings = SsrSettings(steps=options.steps, weights=cards[VOXELMORPH])
    else:
        settings = SinglePassSettings(weights=cards[name])

    def measure(pair: RegistrationPair) -> dict[str, PairResult]:
        """Registers a pair and measures the displacement of each scale."""
        from UltrasoundMotionLib.fields import DisplacementField
        from UltrasoundMotionLib.registration.methods.multiscale.optimisation import optimise_scales

        wall, processor = time.perf_counter(), time.process_time()
        rows: dict[str, PairResult] = {}
        images = working_pair(pair).to(options.device)

        def on_scale(scale: float, displacements: tuple[Tensor, ...]) -> None:
            spent = time.perf_counter() - wall, time.process_time() - processor
            field = DisplacementField.from_voxels(displacements[0].cpu(), images.grid)
            rows[scale_name(scale) if name in _SSMSR_ROWS else name] = pair_result(pair, field, *spent)

        optimise_scales([images], settings, lambda done, total, message, displacement: None, on_scale=on_scale)
        return rows

    return measure


def _call_measure(name: str, call: Callable) -> Measure:
    return lambda pair: {name: run_method(call, pair)}


def _kept(pair: RegistrationPair, name: str, files: Mapping[str, RowFile[PairResult]], measure: Measure) -> PairResult:
    """Returns the kept row of a pair, or measures it and keeps it with those that came with it."""
    rows = files[name].read()
    if pair.name in rows:
        return rows[pair.name]
    measured = measure(pair)
    for one, row in measured.items():
        files[one].append(row)
    return measured[name]


def _run(options: SegmentationOptions, method: str) -> dict[str, object]:
    settings = asdict(replace(options, images=None, device="cpu"))
    return {"method": method, **json.loads(json.dumps(settings))}
