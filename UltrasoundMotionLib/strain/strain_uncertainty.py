"""How sure global strain is: a bootstrap of what points do unlike their neighbours, and the drift at the end of the cycle."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from UltrasoundMotionLib.strain.curve_geometry import chord_lengths
from UltrasoundMotionLib.strain.curve_smoothing import smooth_positions
from UltrasoundMotionLib.strain.measured_wall import MeasuredWall
from UltrasoundMotionLib.strain.strain_measures import GlobalStrainMeasures
from UltrasoundMotionLib.strain.strain_result import StrainUncertainty

RESIDUAL_WALL_SHARE = 1 / 12  # what differs from the contour smoothed by this part of its length is error
BLOCK_POINTS = 5  # neighbours' errors correlate, so residuals are drawn in blocks


def global_uncertainty(
    wall: MeasuredWall, piece_weights: np.ndarray, measures: GlobalStrainMeasures, trackers: Mapping[str, float] | None = None
) -> StrainUncertainty:
    """Uncertainty of end-systolic global strain along a contour.

    Residuals of the points against the smoothed contour are drawn anew in blocks along the wall (moving-block bootstrap, Kuensch 1989), added to
    the smoothed contour of end-systole, and global strain is computed from each.

    Args:
        piece_weights: (P,) part of each piece that lies in accepted segments.
        measures: of the whole contour, with global strain.
        trackers: global strain by tracker where several followed the same wall.
    """
    positions, cycle, closed = wall.positions, wall.cycle, wall.model.closed
    smooth = smooth_positions(
        positions, cycle.reference_frame, wall_share=RESIDUAL_WALL_SHARE, places=np.arange(len(positions)), time_width=0.0, closed=closed
    )
    replicates = wall.config.bootstrap_replicates
    rng = np.random.default_rng(wall.config.seed)
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
    drift_part = None if measures.drift_percent is None else abs(measures.drift_percent) / 2
    deviation = float(np.hypot(rough, drift_part or 0.0))
    values = tuple((str(name), float(value)) for name, value in (trackers or {}).items())
    if len(values) > 1:
        deviation = max(deviation, float(np.std([value for _, value in values], ddof=1)))
    method = f"moving-block bootstrap over points ({replicates} replicates, blocks of {block})"
    method += ", drift at the end of the cycle" if drift_part is not None else ""
    method += ", agreement of trackers" if len(values) > 1 else ""
    return StrainUncertainty(
        deviation, measures.gls_percent - 1.96 * deviation, measures.gls_percent + 1.96 * deviation, rough, drift_part, method, values
    )
