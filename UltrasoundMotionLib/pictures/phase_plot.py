"""Plot of trackers' accuracy and error against the phase of the cycle at which points are placed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from UltrasoundMotionLib.atomic_output import atomic_output
from UltrasoundMotionLib.pictures.picture_check import check_picture
from UltrasoundMotionLib.pictures.plot_packages import plain_text, require_plot_packages

if TYPE_CHECKING:
    from UltrasoundMotionLib.evaluation.trajectory_report import SetMeasures


@plain_text
def write_phase_plot(path: str | Path, rows: Sequence[SetMeasures]) -> None:
    """Writes a PNG: mean position accuracy above, median trajectory error below, a column for each set and a line for
    each tracker (Azad et al., Figs. 2, 8 and 9).

    Raises:
        MissingPackageError: the extra `plot` is not installed.
        OutputError: the file cannot be written.
    """
    require_plot_packages("the plot")
    from matplotlib.figure import Figure

    sets = list(dict.fromkeys(row.set_name for row in rows))
    figure = Figure(figsize=(1.5 + 4.5 * len(sets), 6.4), layout="constrained")
    panels = figure.subplots(2, len(sets), sharex=True, sharey="row", squeeze=False)
    for column, name in enumerate(sets):
        own = [row for row in rows if row.set_name == name]
        for tracker in dict.fromkeys(row.tracker for row in own):
            line = [row for row in own if row.tracker == tracker]
            phases = [100 * row.phase for row in line]
            panels[0, column].plot(phases, [100 * row.measures.delta_avg for row in line], marker="o", label=tracker)
            errors = [row.measures.median_trajectory_error_px for row in line]
            panels[1, column].plot(phases, errors, marker="o")
        panels[0, column].set_title(f"{name} ({len(own[0].accuracy_by_clip)} clips)")
        panels[1, column].set_xlabel("points placed at, % of the cycle")
    panels[0, 0].set_ylabel("position accuracy (delta_avg), %")
    panels[1, 0].set_ylabel("median trajectory error, px of 256")
    panels[0, 0].legend(fontsize=8)
    with atomic_output(path, read_back=check_picture) as temporary:
        figure.savefig(temporary, format="png", dpi=120)
