"""Test-time refinement: `instance` started from a network's prediction, guided by class maps where there are some.

The velocity v is optimised for both directions at once, so that exp(-v) is the inverse of the displacement.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from torch import Tensor

from UltrasoundMotionLib.fields import integrate_velocity
from UltrasoundMotionLib.registration.learned.anatomy_region import anatomy_region
from UltrasoundMotionLib.registration.methods.instance import InstanceSettings
from UltrasoundMotionLib.registration.methods.instance.velocity import displacement_of, optimise_velocity, squarings
from UltrasoundMotionLib.registration.registry import Report
from UltrasoundMotionLib.registration.working_grid import FINEST_IN_SLICE
from UltrasoundMotionLib.registration.working_pair import WorkingPair

_LOGARITHM_ITERATIONS = 8
_GUIDED_ITERATIONS, _GUIDED_RATE = (20, 20, 30), 0.6
"""Iterations of each scale, and learning rate, where class maps guide: directions in turns need longer steps."""
_ONE_SCAN_MAPS, _ONE_SCAN_SMOOTHNESS = 2.0, 0.2
"""Weights of the maps and of smoothness for two moments of one scan: where maps guide, four times the smoothness of
`instance` costs a thousandth of Dice, and tissue changes its volume less unevenly.
"""

_MARGIN_MM = 30.0
"""Margin around the anatomy, in which its surroundings are registered and the field fades to 0."""


def refinement_settings(pair: WorkingPair, *, guided: bool) -> InstanceSettings:
    """The settings that were best on validation subjects."""
    settings = InstanceSettings.for_pair(pair)
    if guided:
        settings = replace(
            settings,
            likeness=replace(settings.likeness, maps=_ONE_SCAN_MAPS if pair.same_scan else 1.0),
            smoothness=_ONE_SCAN_SMOOTHNESS if pair.same_scan else settings.smoothness,
            iterations=_GUIDED_ITERATIONS,
            learning_rate=_GUIDED_RATE,
            alternating=True,
        )
    # networks work on finer planes than the field is optimised on where slices are that thick
    coarser = max(1.0, max(pair.spacing) / FINEST_IN_SLICE)
    return replace(settings, scales=tuple(scale * coarser for scale in settings.scales))


def refined(
    pair: WorkingPair,
    report: Report,
    *,
    settings: InstanceSettings | None = None,
    start: Tensor | None = None,
    maps: tuple[Tensor, Tensor] | None = None,
) -> Tensor:
    """Optimises the displacement for a pair.

    Args:
        settings: None: `refinement_settings`.
        start: (1, n, *spatial) displacement in voxels of the pair's grid, a network's prediction; None: zero.
        maps: class maps of fixed and moving image, (1, C, *spatial) each.

    Returns:
        (1, n, *spatial) displacement in voxels of the pair's grid.
    """
    settings = settings or refinement_settings(pair, guided=maps is not None)
    region = None
    if maps is not None:
        pair = replace(pair, fixed_maps=maps[0], moving_maps=maps[1])
        region = anatomy_region(pair, _MARGIN_MM)
    if region is None:
        return displacement_of(
            optimise_velocity(pair, settings, report, None if start is None else velocity_of(start)), pair
        )
    part = region.cut(pair)

    def report_whole(done: int, total: int, message: str, displacement: Callable[[], Tensor]) -> None:
        report(done, total, message, lambda: region.whole(displacement()))

    velocity = optimise_velocity(
        part, settings, report_whole, None if start is None else velocity_of(region.inside(start))
    )
    return region.whole(displacement_of(velocity, part))


def velocity_of(displacement: Tensor, iterations: int = _LOGARITHM_ITERATIONS) -> Tensor:
    """Approximates the stationary velocity of a displacement (1, n, *spatial), by v <- v + (u - exp(v)).

    This is the first-order form of the logarithm of Arsigny et al. (2006). A displacement that folds is approximated as
    far as a flow can be.
    """
    velocity = displacement.clone()
    for _ in range(iterations):
        velocity = velocity + (displacement - integrate_velocity(velocity, squarings(velocity)))
    return velocity
