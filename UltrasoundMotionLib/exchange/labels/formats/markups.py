"""3D Slicer's markups (.mrk.json): the points of one frame, in mm.

Schema: Slicer's markups-schema-v1.0.3.json. Positions are LPS (or RAS) mm in the world; a pixel's index is its centre,
as everywhere in Slicer and ITK.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.exchange.labels.formats.tracks_table import frame_loss, points_of_one_frame
from UltrasoundMotionLib.exchange.labels.labels import ClipReference, LabelCollector, Labels
from UltrasoundMotionLib.exchange.labels.registry import LabelFile, LabelFormat, label_format
from UltrasoundMotionLib.json_output import write_json
from UltrasoundMotionLib.tracking.files.query_points_file import read_markups

SCHEMA = (
    "https://raw.githubusercontent.com/slicer/slicer/master/Modules/Loadable/Markups/Resources/Schema/"
    "markups-schema-v1.0.3.json#"
)


@label_format
class Markups(LabelFormat):
    """A point list of 3D Slicer."""

    name = "markups"
    summary = "3D Slicer markups, a point list or curve of one frame (.mrk.json)"
    origin = "mm in space (LPS or RAS); through the clip's own position, orientation and spacing"
    endings = (".mrk.json",)
    keeps = frozenset({"names"})
    one_frame = True
    rank = 40

    def recognises(self, file: LabelFile) -> bool:
        """Returns True for a JSON file with markups."""
        return "markups" in file.json_keys

    def read(self, path: Path, clip: ClipReference | None, *, frame: int | None = None) -> Labels:
        """Reads points as those of frame 0 unless another is named."""
        if clip is None:
            raise InputError(f"{path}: markups are in mm and need their clip: `convert --image CLIP`")
        places, notes = read_markups(path, clip.sequence)
        collector = LabelCollector(path)
        for where, label, position in places:
            collector.add(where, frame or 0, label, position)
        return collector.finish(clip, notes=notes)

    def write(self, path: Path, labels: Labels, clip: ClipReference | None) -> list[str]:
        """Writes a point list in LPS."""
        if clip is None:
            raise InputError(f"{path}: markups are in mm and need the clip: --image CLIP")
        if clip.sequence.spacing_mm is None:
            raise InputError(f"{path}: markups are in mm, and the pixel size of {clip.path} is unknown")
        frame, points = points_of_one_frame(path, labels)
        positions = clip.sequence.pixels_to_lps_mm(np.array([position for _, position in points]))
        write_json(path, markups_document([label for label, _ in points], positions.tolist()))
        return frame_loss(self.name, frame)


def markups_document(labels: list[str], positions_lps_mm: list[list[float]]) -> dict:
    """Returns the content of a .mrk.json file with one point list."""
    points = [
        {
            "id": str(number),
            "label": label,
            "position": position,
            "orientation": [-1.0, 0.0, 0.0, 0.0, -1.0, 0.0, 0.0, 0.0, 1.0],
            "selected": True,
            "locked": False,
            "visibility": True,
            "positionStatus": "defined",
        }
        for number, (label, position) in enumerate(zip(labels, positions_lps_mm, strict=True), start=1)
    ]
    markup = {"type": "Fiducial", "coordinateSystem": "LPS", "coordinateUnits": "mm", "controlPoints": points}
    return {"@schema": SCHEMA, "markups": [markup]}
