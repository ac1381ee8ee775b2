"""One scale of multi-scale registration: the loss of a network's residual field, and its optimisation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from UltrasoundMotionLib.fields import integrate_velocity, resample_displacement, warp
from UltrasoundMotionLib.registration.elastic_energy import elastic_gradient
from UltrasoundMotionLib.registration.likeness import Likeness, scaled_mask
from UltrasoundMotionLib.registration.methods.instance.velocity import squarings
from UltrasoundMotionLib.registration.methods.multiscale.settings import SsmsrSettings
from UltrasoundMotionLib.registration.scale_grids import grid_at
from UltrasoundMotionLib.registration.working_pair import WorkingPair


@dataclass(frozen=True, eq=False)
class ScaleResult:
    """The field that the scales so far have found for a pair.

    Attributes:
        displacement: (1, n, *spatial) in voxels of the pair's grid.
        velocity: the same field as a velocity where velocities are summed, else None.
    """

    displacement: Tensor
    velocity: Tensor | None = None


class ScaleProblem:
    """The problem that a network is optimised for: a pair at one scale, with the reconstruction of the scale before.

    M^s = P_1(T(M, phi^(s/2)), s) and I^s = P_1(I, s), Eq. 4. The paper does not define P_1; here it is the mean over
    the voxels that a coarser one covers.
    """

    def __init__(self, pair: WorkingPair, settings: SsmsrSettings, scale: float, found: ScaleResult) -> None:
        self.settings = settings
        self.size, self.spacing = grid_at(pair, scale)
        fixed = shrunk(pair.fixed, self.size)
        reconstruction = shrunk(warp(pair.moving, found.displacement), self.size)
        summed = settings.aggregation == "sum"
        moving = shrunk(pair.moving, self.size) if summed else reconstruction
        self.images = torch.cat([reconstruction, fixed], dim=1)
        masks = [scaled_mask(mask, self.size) for mask in (pair.fixed_mask, pair.moving_mask)]
        self._forward = Likeness(fixed, moving, masks[0], settings.likeness, self.spacing)
        self._backward = (
            Likeness(moving, fixed, masks[1] if summed else None, settings.likeness, self.spacing)
            if settings.symmetric
            else None
        )
        field_size = self.size if settings.full_size else tuple(-(-size // 2) for size in self.size)
        self._unit = fixed.new_tensor(
            [space * old / new for space, old, new in zip(self.spacing, self.size[::-1], field_size[::-1], strict=True)]
        )
        self._base = (
            resample_displacement(found.velocity, field_size) if summed and found.velocity is not None else None
        )

    def residual(self, network: nn.Module) -> Tensor:
        """The network's field (1, n, *field grid) in voxels of its grid; where velocities are summed, the whole sum."""
        given = network(self.images)
        return given if self._base is None else given + self._base

    def loss(self, network: nn.Module) -> Tensor:
        """L_R + lambda L_S of Eq. 1, with the terms that the settings add."""
        residual = self.residual(network)
        loss = self._forward.loss(self.displacement(residual))
        if self._backward is not None:
            loss = 0.5 * (loss + self._backward.loss(self.displacement(-residual)))
        dimension = len(self.size)
        lengths = residual * self._unit.view(1, -1, *[1] * dimension)
        gradient = elastic_gradient(
            lengths.detach(), self._unit.tolist(), self.settings.smoothness / dimension**2, self.settings.volume
        )
        energy = (lengths * gradient).sum()  # quadratic: half of this, with this as its derivative
        return loss + energy - 0.5 * energy.detach()

    def displacement(self, residual: Tensor) -> Tensor:
        """The displacement (1, n, *spatial of the scale) in voxels of the scale that a residual field stands for."""
        if self.settings.output == "velocity":
            residual = integrate_velocity(residual, squarings(residual))
        return resample_displacement(residual, self.size)


def optimise(
    network: nn.Module,
    problems: Sequence[ScaleProblem],
    steps: int,
    settings: SsmsrSettings,
    report: Callable[[int, float], None],
) -> int:
    """Optimises a network's weights by Adam, one pair a step, in a new random order each round, until convergence.

    Args:
        problems: those that the network is optimised for, all of one scale.
        report: called with the number of steps made and the loss.

    Returns:
        The number of steps made.
    """
    optimiser = torch.optim.Adam(network.parameters(), lr=settings.learning_rate)
    generator = torch.Generator().manual_seed(settings.seed)
    order: list[int] = []
    losses: list[float] = []
    window = max(settings.patience, len(problems))
    for step in range(steps):
        if not order:
            order = torch.randperm(len(problems), generator=generator).tolist()
        optimiser.zero_grad(set_to_none=True)
        loss = problems[order.pop()].loss(network)
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
        report(step + 1, losses[-1])
        if settings.tolerance is not None and (step + 1) % window == 0 and step + 1 >= 2 * window:
            before, after = sum(losses[-2 * window : -window]) / window, sum(losses[-window:]) / window
            if before - after < settings.tolerance:
                break
    return len(losses)


def shrunk(image: Tensor, size: tuple[int, ...]) -> Tensor:
    """An image (1, 1, *spatial) on a coarser grid: the mean over the voxels that a coarser one covers."""
    return image if tuple(image.shape[2:]) == size else functional.interpolate(image, size=size, mode="area")
