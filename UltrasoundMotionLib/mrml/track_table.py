"""Every position of every point as a table node, with the columns of the command line's CSV."""

from __future__ import annotations

import numpy as np
import slicer

from UltrasoundMotionLib.mrml.table_columns import add_table
from UltrasoundMotionLib.tracking import PointTracks


def add_track_table(scene: slicer.vtkMRMLScene, tracks: PointTracks, name: str) -> slicer.vtkMRMLTableNode:
    """Adds a table with one row for each point of each frame reached: frame, time_s (where known), label, x, y
    (pixels), confidence, visible.

    A saved scene rounds its numbers to six digits, a thousandth of a pixel; the landmarks in the same scene keep all of
    them.
    """
    frames, points = np.nonzero(np.isfinite(tracks.positions_px).all(axis=2))
    x, y = tracks.positions_px[frames, points].T
    times = {} if tracks.times_s is None else {"time_s": np.asarray(tracks.times_s)[frames]}
    columns = {
        "frame": frames,
        **times,
        "label": [tracks.labels[point] for point in points],
        "x": x,
        "y": y,
        "confidence": tracks.confidence[frames, points],
        "visible": tracks.visible[frames, points].astype(np.int32),
    }
    return add_table(scene, name, columns, {"time_s": "s", "x": "px", "y": "px"} if times else {"x": "px", "y": "px"})
