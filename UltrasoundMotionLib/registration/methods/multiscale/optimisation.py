"""The optimisation of `multiscale`, `ssmsr` and `ssr`: scale after scale, over one pair or many."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn

from UltrasoundMotionLib.fields import compose, integrate_velocity, resample_displacement
from UltrasoundMotionLib.registration.methods.instance.velocity import optimise_velocity, squarings
from UltrasoundMotionLib.registration.methods.multiscale.settings import SsmsrSettings
from UltrasoundMotionLib.registration.methods.multiscale.stage import ScaleProblem, ScaleResult, optimise
from UltrasoundMotionLib.registration.methods.multiscale.weights import Weights, read_weights
from UltrasoundMotionLib.registration.methods.voxelmorph.unet import ResidualUNet
from UltrasoundMotionLib.registration.registry import Report
from UltrasoundMotionLib.registration.working_pair import WorkingPair

_PROBLEMS_KEPT = 16


@dataclass(frozen=True, eq=False)
class MultiscaleResult:
    """The result of optimising over one pair or many.

    Attributes:
        displacements: for each pair (1, n, *spatial) in voxels of its grid.
        weights: for each scale those of its network.
        steps: for each scale the number of steps made.
    """

    displacements: tuple[Tensor, ...]
    weights: tuple[Weights, ...]
    steps: tuple[int, ...]


def optimise_scales(
    pairs: Sequence[WorkingPair],
    settings: SsmsrSettings,
    report: Report,
    *,
    on_scale: Callable[[float, tuple[Tensor, ...]], None] | None = None,
) -> MultiscaleResult:
    """Optimises one network for all pairs at each scale in turn, then reconstructs every pair with it.

    With one pair this is test-time training; with many, the training of VoxelMorph (one scale) or of SSMSR's initial
    weights, as the paper does for a sequence.

    Args:
        pairs: of one dimension, on one device.
        report: called after each step; its displacement is the first pair's.
        on_scale: called after each scale with it and each pair's displacement up to there (1, n, *spatial), in voxels
            of the pair's grid.

    Raises:
        InputError: the weights that the settings name cannot be used.
    """
    dimension = pairs[0].fixed.ndim - 2
    scales, steps = settings.scales_in(dimension), settings.steps_in(dimension)
    warming = 0 if settings.start is None else sum(settings.start.iterations)
    total = max(1, warming * len(pairs) + sum(steps))
    network = _new_network(dimension, settings).to(pairs[0].fixed.device)
    weights = None if settings.weights is None else read_weights(settings.weights, network, len(scales))
    found = [_first_found(pair, settings, _Part(report, number * warming, total)) for number, pair in enumerate(pairs)]
    kept: list[Weights] = []
    made: list[int] = []
    for index, scale in enumerate(scales):
        if weights is not None and index < len(weights):
            network.load_state_dict(weights[index])
        elif index and not settings.keep_weights:
            network = _new_network(dimension, settings).to(pairs[0].fixed.device)
        elif index and settings.aggregation == "sum":
            network.reset_field()  # its last field is in the sum already
        problems = _Problems(pairs, settings, scale, found)
        part = _Part(report, warming * len(pairs) + sum(steps[:index]), total)
        made.append(optimise(network, problems, steps[index], settings, problems.watched(network, part)))
        found = [problems.advanced(number, network) for number in range(len(pairs))]
        kept.append({name: value.detach().cpu().clone() for name, value in network.state_dict().items()})
        if on_scale is not None:
            on_scale(scale, tuple(one.displacement for one in found))
    return MultiscaleResult(tuple(one.displacement for one in found), tuple(kept), tuple(made))


class _Problems(Sequence[ScaleProblem]):
    """Lazily built, cached problems of one scale, one for each pair."""

    def __init__(
        self, pairs: Sequence[WorkingPair], settings: SsmsrSettings, scale: float, found: list[ScaleResult]
    ) -> None:
        self._pairs, self._scale, self._found = pairs, scale, found
        self._make = lru_cache(maxsize=_PROBLEMS_KEPT)(
            lambda number: ScaleProblem(pairs[number], settings, scale, found[number])
        )

    def __len__(self) -> int:
        return len(self._pairs)

    def __getitem__(self, number: Any) -> Any:
        return self._make(number)

    def watched(self, network: nn.Module, report: Report) -> Callable[[int, float], None]:
        """Returns the callback of `optimise`: it reports the loss and the first pair's field."""

        def watch(done: int, loss: float) -> None:
            report(done, 0, f"scale 1/{self._scale:g}: loss {loss:.4f}", lambda: self.advanced(0, network).displacement)

        return watch

    @torch.no_grad()
    def advanced(self, number: int, network: nn.Module) -> ScaleResult:
        """Adds the residual of this scale to the field found before, on the pair's grid (Eq. 5)."""
        problem, found = self[number], self._found[number]
        residual = problem.residual(network)
        size = tuple(self._pairs[number].fixed.shape[2:])
        if problem.settings.aggregation == "sum":
            return _of_velocity(residual, size)
        return ScaleResult(compose(found.displacement, resample_displacement(problem.displacement(residual), size)))


@dataclass(frozen=True)
class _Part:
    """Reports a part of the work as steps of the whole."""

    report: Report
    before: int
    total: int

    def __call__(self, done: int, total: int, message: str, displacement: Callable[[], Tensor]) -> None:
        self.report(self.before + done, self.total, message, displacement)


def _first_found(pair: WorkingPair, settings: SsmsrSettings, report: Report) -> ScaleResult:
    """The zero field, or the result of `instance` where the settings start from it."""
    if settings.start is not None:
        return _of_velocity(optimise_velocity(pair, settings.start, report), tuple(pair.fixed.shape[2:]))
    return ScaleResult(pair.fixed.new_zeros(1, pair.fixed.ndim - 2, *pair.fixed.shape[2:]))


def _of_velocity(velocity: Tensor, size: tuple[int, ...]) -> ScaleResult:
    return ScaleResult(resample_displacement(integrate_velocity(velocity, squarings(velocity) + 2), size), velocity)


def _new_network(dimension: int, settings: SsmsrSettings) -> ResidualUNet:
    """A network whose weights depend on the seed alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        return ResidualUNet(dimension, settings.encoder, settings.decoder, full_size=settings.full_size)
