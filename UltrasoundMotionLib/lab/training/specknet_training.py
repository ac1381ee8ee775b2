"""The training of SpeckNet: AdamW with one cycle (Azad et al., Sec. 5.1), on clips made on the fly, resumable at any
step.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from UltrasoundMotionLib.atomic_output import atomic_output
from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.lab.training.image_augmentation import PUBLISHED_IMAGES
from UltrasoundMotionLib.lab.training.mixed_precision import mixed_precision
from UltrasoundMotionLib.lab.training.one_cycle import one_cycle
from UltrasoundMotionLib.lab.training.specknet_loss import PUBLISHED_LOSS, LossParts, SpeckNetLoss, clip_loss
from UltrasoundMotionLib.lab.training.training_batch import BatchClip, BatchConfig, ClipSource
from UltrasoundMotionLib.lab.training.training_clip import TrainingClip
from UltrasoundMotionLib.lab.training.training_state import TrainingState
from UltrasoundMotionLib.lab.training.validation import Accuracy, ValidationCase, validate
from UltrasoundMotionLib.lab.training.warped_clips import RealFrame
from UltrasoundMotionLib.progress import Progress, no_progress
from UltrasoundMotionLib.tracking.trackers.specknet.network import SpeckNet, SpeckNetConfig

STATE_NAME, WEIGHTS_NAME, LOG_NAME = "state.pt", "specknet.safetensors", "log.csv"


@dataclass(frozen=True)
class TrainingConfig:
    """A run.

    Attributes:
        steps: of the optimizer.
        seed: of the weights and of every clip.
        learning_rate: the cycle's highest; the paper's.
        weight_decay: AdamW's.
        warm_up: part of the steps in which the rate rises.
        gradient_norm: gradients are scaled down to it.
        batch: what a step sees.
        crops: up to which part of the steps the input is cut to which side in pixels; the last is the whole input.
        all_query_frames: every frame of a clip is a query frame for all others, which costs no further features; False
            is one random one.
        loss: what is minimised.
        network: the network's own configuration.
        mixed_precision: bfloat16 where it does not hurt and the device has it.
        log_every / save_every / validate_every: steps.
    """

    steps: int = 6000
    seed: int = 1
    learning_rate: float = 5e-4
    weight_decay: float = 1e-4
    warm_up: float = 0.1
    gradient_norm: float = 1.0
    batch: BatchConfig = field(default_factory=BatchConfig)
    crops: tuple[tuple[float, int], ...] = ((0.85, 256), (1.0, 512))
    all_query_frames: bool = True
    loss: SpeckNetLoss = field(default_factory=SpeckNetLoss)
    network: SpeckNetConfig = field(default_factory=SpeckNetConfig)
    mixed_precision: bool = True
    log_every: int = 20
    save_every: int = 200
    validate_every: int = 500

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise InputError(f"steps must be at least 1, got {self.steps}")
        if not self.crops or self.crops[-1][0] != 1.0 or any(crop % 16 for _, crop in self.crops):
            raise InputError(f"crops must end with part 1.0 and be multiples of 16 px, got {self.crops}")

    def crop(self, step: int) -> int:
        """Side of the input at a step."""
        return next(crop for part, crop in self.crops if step < part * self.steps or part == 1.0)


def published_config(**changes: object) -> TrainingConfig:
    """The paper's training as far as it is told: its loss and augmentations alone, one random query frame, whole
    inputs.

    The paper's batches, four clips of 36 frames, are larger; give `batch` for that.
    """
    batch = replace(BatchConfig(), images=PUBLISHED_IMAGES)
    return replace(
        TrainingConfig(batch=batch, loss=PUBLISHED_LOSS, all_query_frames=False, crops=((1.0, 512),)), **changes
    )


def train_specknet(
    folder: Path | str,
    clips: Sequence[TrainingClip],
    real_frames: Sequence[RealFrame] = (),
    *,
    config: TrainingConfig | None = None,
    device: str = "cpu",
    resume: bool = False,
    start_from: Path | str | None = None,
    validation: Callable[[], Sequence[ValidationCase]] | None = None,
    stop_after: int | None = None,
    progress: Progress = no_progress,
) -> SpeckNet:
    """Trains, and leaves in `folder`: the weights (specknet.safetensors), the state to go on from (state.pt) and the
    log (log.csv).

    Args:
        clips: phantoms' clips; may be empty when there are real frames.
        real_frames: textures to warp.
        resume: go on from the state in `folder`; the result is that of a run without the break.
        start_from: weights to begin with; None draws them from the seed.
        validation: makes the cases to validate on; not called when None.
        stop_after: leave off after that many steps of this sitting, with the state written.

    Raises:
        InputError: nothing to learn from, or a state of another run.
        OutputError: a file cannot be written.
        Cancelled: `progress` raised it; the state of the last save remains.
    """
    config = config or TrainingConfig()
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    if not clips and not real_frames and not config.batch.speckle_share:
        raise InputError("there is nothing to learn from: give clips of phantoms, real frames or a share of speckle")
    place = torch.device(device)
    torch.manual_seed(config.seed)
    network = SpeckNet(config.network).to(place).train()
    if start_from is not None:
        read_network(start_from, network)
    optimizer = torch.optim.AdamW(network.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay)
    scheduler = one_cycle(optimizer, config.learning_rate, config.steps, config.warm_up)
    settings = f"{config!r} clips={len(clips)} real={len(real_frames)}"
    if start_from is not None:
        settings += f" from={hashlib.sha256(Path(start_from).read_bytes()).hexdigest()[:16]}"
    state = TrainingState(network, optimizer, scheduler, settings, log=[])
    if resume:
        state.read(folder / STATE_NAME, place)
    source = ClipSource(clips, real_frames, config.batch, config.seed, place)
    cases = validation() if validation is not None else ()
    last = config.steps if stop_after is None else min(config.steps, state.step + stop_after)
    sums, started = [0.0] * 5, time.perf_counter()
    while state.step < last:
        parts = _step(network, optimizer, source.step(state.step, config.crop(state.step)), config)
        rate = scheduler.get_last_lr()[0]
        scheduler.step()
        state.step += 1
        sums = [total + part for total, part in zip(sums, parts, strict=True)]
        now = time.perf_counter()
        state.seconds, started = state.seconds + now - started, now
        progress(state.step, config.steps, f"training, loss {parts[0] / max(parts[4], 1):.3f}")
        ended = state.step == last
        if state.step % config.log_every == 0 or ended:
            weight = max(sums[4], 1e-9)
            row = {
                "step": state.step,
                "seconds": round(state.seconds, 1),
                "learning_rate": f"{rate:.3g}",
                "loss": round(sums[0] / weight, 4),
                "l1_px": round(sums[1] / weight, 3),
                "cross_entropy": round(sums[2] / weight, 4),
                "found_percent": round(100 * sums[3] / weight, 2),
            }
            sums = [0.0] * 5
            if cases and (state.step % config.validate_every == 0 or state.step == config.steps):
                row["validation"] = _as_text(validate(network, cases, place))
            state.log.append(row)
            state.write_log(folder / LOG_NAME)
        if state.step % config.save_every == 0 or ended:
            state.write(folder / STATE_NAME)
            write_network(folder / WEIGHTS_NAME, network)
    return network


def _step(
    network: SpeckNet, optimizer: torch.optim.Optimizer, clips: Sequence[BatchClip], config: TrainingConfig
) -> list[float]:
    """One step; returns the sums of `LossParts` as numbers."""
    frames = torch.cat([clip.frames for clip in clips])
    with mixed_precision(frames.device.type, config.mixed_precision):
        maps = network(frames)
    maps = tuple(values.float() for values in maps)
    total: list[LossParts] = []
    first = 0
    for clip in clips:
        count = len(clip.frames)
        own = tuple(values[first : first + count] for values in maps)
        queries = list(range(count)) if config.all_query_frames else [clip.query_frame]
        total.append(clip_loss(own, clip.points, clip.visible, queries, config=config.network, loss=config.loss))
        first += count
    weight = sum(part.weight for part in total).detach()
    loss = sum(part.total for part in total) / weight.clamp(min=1)
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(network.parameters(), config.gradient_norm)
    optimizer.step()
    return [
        float(sum(getattr(part, name).detach() for part in total))
        for name in ("total", "l1", "cross_entropy", "found", "weight")
    ]


def write_network(path: Path | str, network: SpeckNet) -> None:
    """The weights as safetensors, float32, under the names of the network's modules.

    Raises:
        OutputError: the file cannot be written.
    """
    with atomic_output(path) as temporary:
        save_file(
            {name: value.detach().float().cpu().contiguous() for name, value in network.state_dict().items()}, temporary
        )


def read_network(path: Path | str, network: SpeckNet) -> None:
    """Takes up what `write_network` wrote.

    Raises:
        InputError: no such file, or weights of another network.
    """
    try:
        network.load_state_dict(load_file(path))
    except (OSError, SafetensorError, RuntimeError) as error:
        raise InputError(f"{path}: holds no weights of this network ({str(error).splitlines()[0]})") from error


def _as_text(accuracy: dict[str, Accuracy]) -> str:
    return "; ".join(
        f"{group} {100 * one.delta_avg:.1f} % {one.median_trajectory_error_px:.2f} px"
        for group, one in accuracy.items()
    )
