"""What the project set itself for registration, beside what was measured: issue 3 for `instance`, issue 8 for the
methods that learned.
"""

from __future__ import annotations

from collections.abc import Sequence

from UltrasoundMotionLib.lab.benchmarks.registration_protocols import (
    ACDC,
    ACDC_PUBLISHED,
    MOST_SIMILAR,
    ONE_ATLAS,
    RANDOM,
    label_names,
)
from UltrasoundMotionLib.lab.benchmarks.registration_rows import MethodResult
from UltrasoundMotionLib.lab.benchmarks.registration_runner import OURS, UNREGISTERED, method_settings
from UltrasoundMotionLib.lab.benchmarks.target import Target

INSTANCE = f"{OURS}instance"
SEMANTIC, LTNET = "semantic", "ltnet"
LEARNED = (SEMANTIC, LTNET, "voxelmorph")

INSTANCE_ON_ACDC = {"dice": 0.87, "smooth": 0.25, "seconds": 10.0}
INSTANCE_SECONDS = 3.0
INSTANCE_FOLDED = 1e-4

SEMANTIC_DICE = {RANDOM: 0.85, MOST_SIMILAR: 0.85, ACDC: 0.91, ACDC_PUBLISHED: 0.778}
PUBLISHED_DICE = {"RV": 0.774, "LV": 0.825, "myocardium": 0.734}
"""Of the semantically guided paper's Table 1, on its own grid."""
LEARNED_FOLDED = 1e-3
INFERENCE_SECONDS = 1.0


def instance_targets(protocol: str, methods: Sequence[MethodResult]) -> tuple[Target, ...]:
    """Issue 3's goals for `instance`: on ACDC by number, elsewhere the best of the peers measured."""
    present = {method.method: method for method in methods if method.pairs}
    peers = [method for name, method in present.items() if not name.startswith(OURS) and name != UNREGISTERED]
    if INSTANCE not in present or protocol in (ACDC_PUBLISHED, ONE_ATLAS) or not (peers or protocol == ACDC):
        return ()
    ours = present[INSTANCE]
    dice, smooth, folded = (ours.mean(name) for name in ("mean_dice", "std_log_jacobian", "nonpositive"))
    if protocol == ACDC:
        dice_goal, smooth_goal, seconds_goal, whose = *INSTANCE_ON_ACDC.values(), ""
    else:
        best = max(peers, key=lambda one: one.mean("mean_dice"))
        dice_goal, smooth_goal, seconds_goal, whose = (
            best.mean("mean_dice"),
            best.mean("std_log_jacobian"),
            INSTANCE_SECONDS,
            f" ({best.method})",
        )
    seconds = ours.median("processor_seconds")
    return (
        Target(f"{protocol}: Dice of instance", f"at least {dice_goal:.3f}{whose}", f"{dice:.3f}", dice >= dice_goal),
        Target(
            f"{protocol}: std of log-Jacobian",
            f"at most {smooth_goal:.3f}{whose}",
            f"{smooth:.3f}",
            smooth <= smooth_goal,
        ),
        Target(
            f"{protocol}: non-positive Jacobians", "at most 0.01 %", f"{100 * folded:.4f} %", folded <= INSTANCE_FOLDED
        ),
        Target(
            f"{protocol}: processor seconds a pair",
            f"at most {seconds_goal:g}",
            f"{seconds:.1f}",
            seconds <= seconds_goal,
        ),
    )


def learned_targets(protocol: str, methods: Sequence[MethodResult]) -> tuple[Target, ...]:
    """Issue 8's goals for each row of `semantic`, and on one atlas of `ltnet`, which is held against the best method
    that learned nothing.
    """
    targets: list[Target] = []
    measured = [method for method in methods if method.pairs]
    unlearned = [one for one in measured if method_settings(one.method)[0] not in (*LEARNED, UNREGISTERED)]
    for one in measured:
        kind, said = method_settings(one.method)[0], f"{protocol}: {one.method.removeprefix(OURS)}"
        if kind == SEMANTIC and protocol in SEMANTIC_DICE:
            targets.append(_dice_above(f"{said}: Dice", SEMANTIC_DICE[protocol], one.mean("mean_dice")))
            if protocol == ACDC_PUBLISHED:
                labels = {name: one.label_mean("dice", label) for label, name in label_names(protocol).items()}
                targets += [
                    _dice_above(f"{said}: Dice of {name}", PUBLISHED_DICE[name], dice) for name, dice in labels.items()
                ]
        elif kind == LTNET and protocol == ONE_ATLAS and unlearned:
            best = max(unlearned, key=lambda other: other.mean("mean_dice"))
            whose = f" ({best.method.removeprefix(OURS)})"
            targets.append(_dice_above(f"{said}: Dice", best.mean("mean_dice"), one.mean("mean_dice"), whose))
        else:
            continue
        folded, seconds = one.mean("nonpositive"), one.median("processor_seconds")
        targets.append(
            Target(
                f"{said}: non-positive Jacobians", "at most 0.1 %", f"{100 * folded:.4f} %", folded <= LEARNED_FOLDED
            )
        )
        if not _refines(one.method):
            what = f"{said}: processor seconds a pair"
            targets.append(Target(what, f"under {INFERENCE_SECONDS:g}", f"{seconds:.2f}", seconds < INFERENCE_SECONDS))
    return tuple(targets)


def _dice_above(what: str, goal: float, measured: float, whose: str = "") -> Target:
    return Target(what, f"above {goal:.3f}{whose}", f"{measured:.3f}", measured > goal)


def _refines(method: str) -> bool:
    """Whether the method goes on after its network has answered: the goal of one second is the network's."""
    from UltrasoundMotionLib.registration import find_method

    name, settings = method_settings(method)
    return bool(
        settings["refine"] if "refine" in settings else getattr(find_method(name).configuration(), "refine", False)
    )
