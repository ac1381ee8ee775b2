"""Table II of Zhu et al.: the frames of echocardiograms, each registered to the one before it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from UltrasoundMotionLib.errors import InputError, MissingPackageError
from UltrasoundMotionLib.lab.benchmarks.rows import RowFile
from UltrasoundMotionLib.lab.benchmarks.ssmsr.echo_folder import EchoClip, choose_test_patients, read_echo_folder
from UltrasoundMotionLib.lab.benchmarks.ssmsr.first_training import STEPS_PER_IMAGE, train_scale
from UltrasoundMotionLib.lab.benchmarks.ssmsr.published import (
    ANTS,
    SSMSR,
    SSR,
    TABLE_2,
    VOXELMORPH,
    scale_name,
)
from UltrasoundMotionLib.lab.benchmarks.ssmsr.tracking_pictures import PairFields, write_tracking_picture
from UltrasoundMotionLib.lab.benchmarks.ssmsr.tracking_table import TrackedFrame, TrackingRow, tracking_result
from UltrasoundMotionLib.lab.benchmarks.table import BenchmarkResult
from UltrasoundMotionLib.pictures.plot_packages import require_plot_packages
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

STILL = "no motion"
ROWS = (STILL, *TABLE_2["myocardium"])
_SSMSR_ROWS = tuple(scale_name(scale) for scale in SCALES[2])
_OURS = "ours:"


@dataclass(frozen=True)
class TrackingOptions:
    """The options of the experiment; the defaults are the paper's.

    Attributes:
        tissue: "myocardium" or "blood".
        test_patients: by name; none: three, drawn by the seed.
        frames: of each test clip, the first so many; None: all.
        steps: of test-time training, for each scale and clip.
        training_steps: of each network's first training; None: 3,500 for each training clip.
        seed: of the choice of patients, of weights and of batches.
        device: of the networks.
    """

    tissue: str = "myocardium"
    test_patients: tuple[str, ...] = ()
    frames: int | None = None
    steps: int = 3500
    training_steps: int | None = None
    seed: int = 1
    device: str = "cpu"


def run_tracking(
    folder: Path,
    out: Path,
    methods: Sequence[str] = ROWS,
    options: TrackingOptions | None = None,
    *,
    pictures: Path | None = None,
    progress: Progress = no_progress,
) -> BenchmarkResult[TrackingRow]:
    """Trains the networks on the other patients, then registers the test patients' frames by every method.

    Where all patients are tested there is no first training: VoxelMorph cannot run, and test-time training starts from
    random weights.

    Args:
        folder: see `echo_folder`.
        out: folder that keeps trainings and rows; what is there is not done again.
        methods: rows of the table by name, or "ours:" and a method of `register`.
        pictures: folder for a picture of one pair of frames of each test clip, drawn by the seed; None: none.

    Raises:
        InputError: no such data, tissue, patient or method.
        OutputError: a file cannot be written.
        MissingPackageError: pictures without the extra `plot`.
    """
    if pictures is not None:
        require_plot_packages("the pictures")
    options = options or TrackingOptions()
    unknown = [name for name in methods if name not in ROWS and not name.startswith(_OURS)]
    if unknown:
        raise InputError(f"method {unknown[0]}: expected {', '.join(ROWS)}, or {_OURS}NAME")
    patients = read_echo_folder(folder, options.tissue)
    tested = choose_test_patients(patients, options.test_patients, options.seed)
    limited = read_echo_folder(folder, options.tissue, frame_limit=options.frames)
    test = [clip for name in tested for clip in limited[name]]
    training = [clip for name, clips in patients.items() if name not in tested for clip in clips]
    shown = [PairFields(out / options.tissue / "fields", clip, options.seed) for clip in test]
    cards = _trained(out, training, tested, options, progress) if training else {}
    rows: list[TrackingRow] = []
    missing = {}
    for name in methods:
        if name == VOXELMORPH and not cards:
            missing[name] = "all patients are tested, none is left to train on"
            continue
        files = {one: _row_file(out, one, options, tested) for one in (*_SSMSR_ROWS, name)}
        frames: list[TrackedFrame] = []
        try:
            for done, fields in enumerate(shown):
                progress(done, len(shown), name)
                frames += _kept(fields, name, files, cards, options)
            rows.append(TrackingRow(options.tissue, name, tuple(frames)))
        except MissingPackageError as error:
            missing[name] = str(error)
    if pictures is not None:
        for fields in shown:
            write_tracking_picture(pictures / f"{options.tissue}-{fields.name}.png", fields, list(methods))
    details = {**asdict(options), "test_clips": len(test), "training_clips": len(training)}
    return tracking_result(rows, details, missing)


def _trained(
    out: Path, training: Sequence[EchoClip], tested: Sequence[str], options: TrackingOptions, progress: Progress
) -> dict[str, Path]:
    """Returns the cards of VoxelMorph and of SSMSR's coarsest scale."""

    def draw_pair(random: np.random.Generator) -> WorkingPair:
        clip = training[int(random.integers(len(training)))]
        return clip.pair(int(random.choice(clip.pair_numbers)))

    description = f"{len(training)} clips ({options.tissue}), without {', '.join(tested)}"

    def scale(number: float) -> Path:
        return train_scale(
            out / options.tissue,
            number,
            2,
            draw_pair,
            description=description,
            steps=options.training_steps or STEPS_PER_IMAGE * len(training),
            seed=options.seed,
            device=options.device,
            progress=progress,
        )

    return {VOXELMORPH: scale(1.0), SSMSR: scale(SCALES[2][0])}


def _kept(
    fields: PairFields,
    name: str,
    files: Mapping[str, RowFile[TrackedFrame]],
    cards: Mapping[str, Path],
    options: TrackingOptions,
) -> list[TrackedFrame]:
    """Returns the kept rows of a clip, or measures it and keeps them with those that came with them."""
    clip, kept = fields.clip, files[name].read()
    wanted = [f"{clip.name} frame {number}" for number in clip.pair_numbers]
    if all(case in kept for case in wanted):
        return [kept[case] for case in wanted]
    measured: dict[str, list[TrackedFrame]] = {}
    for method, displacements, seconds in _registered(clip, name, cards, options):
        measured[method] = []
        for number, displacement in zip(clip.pair_numbers, displacements, strict=True):
            row = _measured(clip, number, displacement.cpu(), seconds / len(clip.pair_numbers))
            if number == fields.number:
                fields.keep(method, displacement.cpu())
            files[method].append(row)
            measured[method].append(row)
    return measured[name]


Registered = Iterator[tuple[str, Sequence["Tensor"], float]]


def _registered(clip: EchoClip, name: str, cards: Mapping[str, Path], options: TrackingOptions) -> Registered:
    """Registers a clip by a method: the row's name, a displacement for each pair, and seconds; of SSMSR every scale."""
    began = time.perf_counter()
    settings: SsmsrSettings
    if name in _SSMSR_ROWS:
        settings = SsmsrSettings(steps=options.steps, weights=cards.get(SSMSR))
    elif name == SSR:
        settings = SsrSettings(steps=options.steps, weights=cards.get(VOXELMORPH))
    elif name == VOXELMORPH:
        settings = SinglePassSettings(weights=cards[VOXELMORPH])
    else:
        register = _pair_method(name, options.device)
        displacements = [register(clip.pair(number)) for number in clip.pair_numbers]
        yield name, displacements, time.perf_counter() - began
        return
    from UltrasoundMotionLib.registration.methods.multiscale.optimisation import optimise_scales

    found: list[tuple[str, tuple[Tensor, ...], float]] = []

    def on_scale(scale: float, displacements: tuple[Tensor, ...]) -> None:
        row = scale_name(scale) if name in _SSMSR_ROWS else name
        found.append((row, displacements, time.perf_counter() - began))

    pairs = [clip.pair(number).to(options.device) for number in clip.pair_numbers]
    optimise_scales(pairs, settings, lambda done, total, message, displacement: None, on_scale=on_scale)
    yield from found


def _pair_method(name: str, device: str) -> Callable[[WorkingPair], Tensor]:
    """Returns a method that registers each pair on its own."""

    def nothing(pair: WorkingPair) -> Tensor:
        """Leaves the moving image as it is."""
        return pair.fixed.new_zeros(1, 2, *pair.fixed.shape[2:])

    def ants(pair: WorkingPair) -> Tensor:
        """Registers by ANTs with the paper's settings."""
        from UltrasoundMotionLib.lab.benchmarks.peers.ants import bspline_syn

        return bspline_syn(*_volumes(pair.fixed, pair.moving, pair.fixed_mask)).to_voxels()

    def ours(pair: WorkingPair) -> Tensor:
        """Registers by a method of `register`."""
        from UltrasoundMotionLib.lab.benchmarks.registration.runner import method_settings
        from UltrasoundMotionLib.registration import register

        method, settings = method_settings(name)
        fixed, moving, fixed_mask, moving_mask = _volumes(pair.fixed, pair.moving, pair.fixed_mask, pair.moving_mask)
        found = register(
            fixed,
            moving,
            fixed_mask=fixed_mask,
            moving_mask=moving_mask,
            method=method,
            settings=settings,
            device=device,
            initial_transform=None,
        )
        return found.displacement.to_voxels()

    return {STILL: nothing, ANTS: ants}.get(name, ours)


def _volumes(*images: Tensor | None) -> list:
    from UltrasoundMotionLib.images.volume import Volume

    arrays = [one[0, 0].numpy() for one in images if one is not None]
    return [Volume(array, (1.0, 1.0), (0.0, 0.0), np.eye(2), "frame") for array in arrays]


def _measured(clip: EchoClip, number: int, displacement: Tensor, seconds: float) -> TrackedFrame:
    from UltrasoundMotionLib.registration.sequences.register_sequence import measure_frame

    pair = clip.pair(number)
    assert pair.fixed_mask is not None, "every pair of a clip has a region"
    found = measure_frame(pair.fixed, pair.moving, pair.fixed_mask, displacement)
    return TrackedFrame(clip.name, number, found.mse, found.nlcc, found.share_nonpositive, seconds)


def _row_file(out: Path, method: str, options: TrackingOptions, tested: Sequence[str]) -> RowFile[TrackedFrame]:
    names = ("tissue", "steps", "training_steps", "seed", "frames")
    run = {"method": method, "tested": list(tested), **{name: getattr(options, name) for name in names}}
    return RowFile(out / "rows.jsonl", TrackedFrame, run, case=lambda row: f"{row.clip} frame {row.frame}")
