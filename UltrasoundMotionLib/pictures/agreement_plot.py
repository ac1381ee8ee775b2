"""Plot of the differences of two measurements against their mean (Bland and Altman, Lancet 1986)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from UltrasoundMotionLib.atomic_output import atomic_output
from UltrasoundMotionLib.pictures.picture_check import check_picture
from UltrasoundMotionLib.pictures.plot_packages import plain_text, require_plot_packages

if TYPE_CHECKING:
    from UltrasoundMotionLib.evaluation.gls_agreement import GlsAgreement


@plain_text
def write_agreement_plot(path: str | Path, rows: Sequence[GlsAgreement], reference: Mapping[str, float]) -> None:
    """Writes a PNG with a panel for each method: bias and 95 % limits of agreement of its GLS with the reference.

    Raises:
        MissingPackageError: the extra `plot` is not installed.
        OutputError: the file cannot be written.
    """
    require_plot_packages("the plot")
    from matplotlib.figure import Figure

    figure = Figure(figsize=(1.0 + 4.2 * len(rows), 4.2), layout="constrained")
    panels = figure.subplots(1, len(rows), sharex=True, sharey=True, squeeze=False)[0]
    for panel, row in zip(panels, rows, strict=True):
        difference = np.array(list(row.differences.values()))
        mean = np.array([reference[case] for case in row.differences]) + difference / 2
        panel.plot(mean, difference, "o", markersize=4, alpha=0.7)
        for value, style in ((row.bias, "-"), (row.lower, "--"), (row.upper, "--")):
            if np.isfinite(value):
                panel.axhline(value, color="0.3", linestyle=style, linewidth=1)
        panel.axhline(0, color="0.7", linewidth=0.6)
        panel.set_title(f"{row.method}, {row.count} cases", fontsize=10)
        panel.set_xlabel("mean of both, GLS %")
    panels[0].set_ylabel("difference from the reference, percent points")
    with atomic_output(path, read_back=check_picture) as temporary:
        figure.savefig(temporary, format="png", dpi=120)
