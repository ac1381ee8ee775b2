"""The project's goals for landmark trackers (issue 7), beside what was measured on the harder half of the phantoms."""

from __future__ import annotations

from collections.abc import Mapping

from UltrasoundMotionLib.evaluation.track_measures import TrackMeasures
from UltrasoundMotionLib.lab.benchmarks.table import Target

HALVED_PEERS = {"lsdm": ("opencv-dis-chained", "opencv-template")}
"""By tracker, the peers whose mean error it is to halve, besides being under `PERCENTILE_95_MM` and losing nothing."""
PERCENTILE_95_MM = 2.0
PAPER_ORDER = (("lsdm", "siamrpn"), ("siamrpn", "siamfc"))
"""Pairs of trackers whose first has the lower mean error in the paper's Table I."""
ONE_FPS, FIVE_FPS = 25.0, 10.0


def landmark_targets(
    harder: Mapping[str, TrackMeasures], speeds: Mapping[str, tuple[float, float]]
) -> tuple[Target, ...]:
    """Returns the goals for LSDM beside the peers, for the order of the three networks, and for the speed of every
    tracker of ours.

    Args:
        harder: each tracker's measures on the harder half, by name; a name may have a word behind the tracker's own, as
            "lsdm watched".
        speeds: frames a second with one landmark and with five, of ours.
    """
    targets = []
    means = {name: measures.tracking_error.mean for name, measures in harder.items()}
    for name, measured in harder.items():
        peers = HALVED_PEERS.get(name.split()[0])
        if peers is None:
            continue
        for peer in peers:
            if peer in means:
                goal = means[peer] / 2
                text = f"at most {goal:.2f} mm (half of {peer})"
                targets.append(Target(f"{name}: mean error", text, f"{means[name]:.2f} mm", means[name] <= goal))
        percentile, lost = measured.tracking_error.percentile_95, measured.lost_count
        targets.append(
            Target(
                f"{name}: 95th percentile",
                f"under {PERCENTILE_95_MM:g} mm",
                f"{percentile:.2f} mm",
                percentile < PERCENTILE_95_MM,
            )
        )
        targets.append(
            Target(f"{name}: landmarks lost for good", "none", f"{lost} of {measured.point_count}", lost == 0)
        )
    for better, worse in PAPER_ORDER:
        if better in means and worse in means:
            what = f"{better}: mean error, as in the paper's Table I"
            targets.append(
                Target(
                    what,
                    f"below {worse} ({means[worse]:.2f} mm)",
                    f"{means[better]:.2f} mm",
                    means[better] < means[worse],
                )
            )
    for name, (one, five) in speeds.items():
        targets.append(Target(f"{name}: one landmark", f"above {ONE_FPS:g} frames/s", f"{one:.1f}", one > ONE_FPS))
        targets.append(
            Target(f"{name}: five landmarks", f"above {FIVE_FPS:g} frames/s", f"{five:.1f}", five > FIVE_FPS)
        )
    return tuple(targets)
