"""The project's goals for registration, beside what was measured: issue 3 for `instance`, issue 8 for the methods that
learned.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from UltrasoundMotionLib.lab.benchmarks.registration.pair_rows import MethodResult
from UltrasoundMotionLib.lab.benchmarks.registration.protocols import (
    ACDC,
    ACDC_PUBLISHED,
    MOST_SIMILAR,
    ONE_ATLAS,
    RANDOM,
    label_names,
)
from UltrasoundMotionLib.lab.benchmarks.registration.runner import OURS, UNREGISTERED, method_settings
from UltrasoundMotionLib.lab.benchmarks.table import Target

INSTANCE = f"{OURS}instance"
INSTANCE_ON_ACDC = {"dice": 0.87, "smooth": 0.25, "seconds": 10.0}
INSTANCE_SECONDS = 3.0
INSTANCE_FOLDED = 1e-4

SEMANTIC_DICE = {RANDOM: 0.85, MOST_SIMILAR: 0.85, ACDC: 0.91, ACDC_PUBLISHED: 0.778}
PUBLISHED_DICE = {"RV": 0.774, "LV": 0.825, "myocardium": 0.734}
"""Table 2 of the semantically guided paper, on its own grid."""
LEARNED_FOLDED = 1e-3
INFERENCE_SECONDS = 1.0


def instance_targets(protocol: str, methods: Sequence[MethodResult]) -> tuple[Target, ...]:
    """Issue 3's goals for `instance` with its own settings: on ACDC by number, elsewhere the best of the peers
    measured.
    """
    present = {method.method: method for method in methods if method.pairs}
    peers = [method for name, method in present.items() if not name.startswith(OURS) and name != UNREGISTERED]
    ours = present.get(INSTANCE)
    if ours is None or protocol in (ACDC_PUBLISHED, ONE_ATLAS) or not (peers or protocol == ACDC):
        return ()
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
    """Issue 8's goals for each row of `anatomy-guided` and `semantic-published`, and on one atlas of `label-transfer`,
    which is compared with the best method that learned nothing.
    """
    targets: list[Target] = []
    measured = [method for method in methods if method.pairs]
    for one in measured:
        goals = LEARNED_GOALS.get(_method_name(one.method))
        found = [] if goals is None else goals(protocol, one, measured)
        if not found:
            continue
        targets += found
        name, folded, seconds = _title(protocol, one), one.mean("nonpositive"), one.median("processor_seconds")
        targets.append(
            Target(
                f"{name}: non-positive Jacobians", "at most 0.1 %", f"{100 * folded:.4f} %", folded <= LEARNED_FOLDED
            )
        )
        if not _refines(one.method):
            what = f"{name}: processor seconds a pair"
            targets.append(Target(what, f"under {INFERENCE_SECONDS:g}", f"{seconds:.2f}", seconds < INFERENCE_SECONDS))
    return tuple(targets)


def _label_trained_goals(protocol: str, one: MethodResult, measured: Sequence[MethodResult]) -> list[Target]:
    """Dice above a figure of the protocol, on the paper's grid each label's as well."""
    if protocol not in SEMANTIC_DICE:
        return []
    name = _title(protocol, one)
    targets = [_dice_above(f"{name}: Dice", SEMANTIC_DICE[protocol], one.mean("mean_dice"))]
    if protocol == ACDC_PUBLISHED:
        labels = {text: one.label_mean("dice", label) for label, text in label_names(protocol).items()}
        targets += [_dice_above(f"{name}: Dice of {text}", PUBLISHED_DICE[text], dice) for text, dice in labels.items()]
    return targets


def _label_transfer_goals(protocol: str, one: MethodResult, measured: Sequence[MethodResult]) -> list[Target]:
    """On one atlas, Dice above that of the best method that learned nothing."""
    unlearned = [other for other in measured if other.method != UNREGISTERED and not _learned(other.method)]
    if protocol != ONE_ATLAS or not unlearned:
        return []
    best = max(unlearned, key=lambda other: other.mean("mean_dice"))
    whose = f" ({best.method.removeprefix(OURS)})"
    return [_dice_above(f"{_title(protocol, one)}: Dice", best.mean("mean_dice"), one.mean("mean_dice"), whose)]


LEARNED_GOALS: Mapping[str, Callable[[str, MethodResult, Sequence[MethodResult]], list[Target]]] = {
    "anatomy-guided": _label_trained_goals,
    "semantic-published": _label_trained_goals,
    "label-transfer": _label_transfer_goals,
}
"""Goals of a method by its name, from protocol, its row, and all rows."""


def _method_name(method: str) -> str:
    """Returns the registered name of a method of ours, else what was asked for."""
    from UltrasoundMotionLib.registration import find_method

    name = method_settings(method)[0]
    return find_method(name).name if method.startswith(OURS) else name


def _title(protocol: str, one: MethodResult) -> str:
    return f"{protocol}: {one.method.removeprefix(OURS)}"


def _learned(method: str) -> bool:
    """Returns True for a method of ours that needs trained weights: its settings name a model."""
    from UltrasoundMotionLib.registration import find_method

    if not method.startswith(OURS):
        return False
    return bool(find_method(method_settings(method)[0]).weights)


def _dice_above(what: str, goal: float, measured: float, whose: str = "") -> Target:
    return Target(what, f"above {goal:.3f}{whose}", f"{measured:.3f}", measured > goal)


def _refines(method: str) -> bool:
    """Returns True for a method that optimises further after its network: the goal of one second is the network's."""
    from UltrasoundMotionLib.registration import find_method

    name, settings = method_settings(method)
    entry = find_method(name)
    return entry.refinable and bool(entry.settings_from(settings).refine)
