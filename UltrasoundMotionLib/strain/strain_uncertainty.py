"""How sure global strain is: a bootstrap of what points do unlike their neighbours, and the drift at the end of the cycle."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from UltrasoundMotionLib.strain.cardiac_events import CardiacCycle
from UltrasoundMotionLib.strain.curve_geometry import chord_lengths
from UltrasoundMotionLib.strain.strain_result import StrainUncertainty

BLOCK_POINTS = 5  # neighbours' errors correlate, so residuals are drawn in blocks


def gls_uncertainty(
    positions: np.ndarray,
    smooth: np.ndarray,
    piece_weights: np.ndarray,
    cycle: CardiacCycle,
    gls_percent: float,
    drift_percent: float | None,
    *,
    replicates: int,
    seed: int,
    closed: bool = False,
    trackers: Mapping[str, float] | None = None,
) -> StrainUncertainty:
    """Uncertainty of end-systolic global strain.

    Residuals of the points against the smoothed contour are drawn anew in blocks along the wall (moving-block bootstrap, Kuensch 1989), added to
    the smoothed contours of end-diastole and end-systole, and global strain is computed from each.

    Args:
        positions, smooth: (T, N, 2) raw and smoothed.
        piece_weights: (P,) 1 for pieces of accepted segments, 0 for the others.
        trackers: global strain by tracker where several followed the same wall.
    """
    rng = np.random.default_rng(seed)
    count = positions.shape[1]
    block = min(BLOCK_POINTS, count)
    frame = cycle.end_systole_frame
    residual = (positions - smooth)[frame]
    starts = rng.integers(0, count - block + 1, size=(replicates, -(-count // block)))
    draws = (starts[:, :, None] + np.arange(block)).reshape(replicates, -1)[:, :count]
    lengths = chord_lengths(smooth[frame] + residual[draws], closed) @ piece_weights
    reference = chord_lengths(positions[cycle.reference_frame], closed) @ piece_weights
    rough = float(np.std(100.0 * lengths / reference))
    # Errors that grow over the cycle are seen whole at its end; end-systole lies before it.
    drift_part = None if drift_percent is None else abs(drift_percent) / 2
    deviation = float(np.hypot(rough, drift_part or 0.0))
    values = tuple((str(name), float(value)) for name, value in (trackers or {}).items())
    if len(values) > 1:
        deviation = max(deviation, float(np.std([value for _, value in values], ddof=1)))
    method = f"moving-block bootstrap over points ({replicates} replicates, blocks of {block})"
    method += ", drift at the end of the cycle" if drift_part is not None else ""
    method += ", agreement of trackers" if len(values) > 1 else ""
    return StrainUncertainty(deviation, gls_percent - 1.96 * deviation, gls_percent + 1.96 * deviation, rough, drift_part, method, values)
