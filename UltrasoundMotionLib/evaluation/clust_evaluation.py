"""Evaluation of the CLUST challenge: errors of tracks in its format per landmark, per group and pooled."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.evaluation.clust_set import scanner_of
from UltrasoundMotionLib.evaluation.track_errors import TrackErrors, compare_tracks
from UltrasoundMotionLib.evaluation.track_measures import TrackMeasures, flat_measures, measure_tracks
from UltrasoundMotionLib.text_table import format_number, markdown_table, text_table
from UltrasoundMotionLib.tracking.files.clust_annotation import clust_files, read_clust_tracks


@dataclass(frozen=True)
class ClustTable:
    """Measures of each landmark by label, of each group by name, and of all annotations pooled; and the labels of each
    group.
    """

    landmarks: Mapping[str, TrackMeasures]
    groups: Mapping[str, TrackMeasures]
    pooled: TrackMeasures
    members: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def table(self, markdown: bool = False) -> str:
        """Formats mean, standard deviation, 95th percentile and extremes of the error with and without tracking."""
        unit = self.pooled.tracking_error.unit
        header = [
            "landmarks",
            "positions",
            *(f"{kind} {part}" for kind in (f"TE ({unit})", "NoTE") for part in ("mean", "std", "95th", "min", "max")),
        ]
        rows = []
        for name, one in (*self.landmarks.items(), *self.groups.items(), ("pooled", self.pooled)):
            errors = (one.tracking_error, one.no_tracking_error)
            numbers = [value for e in errors for value in (e.mean, e.std, e.percentile_95, e.min, e.max)]
            rows.append([name, str(one.annotation_count), *(format_number(number, 2) for number in numbers)])
        return (markdown_table if markdown else text_table)(header, rows)

    def as_dict(self) -> dict:
        """Returns the content for JSON."""
        return {
            "unit": self.pooled.tracking_error.unit,
            "landmarks": {name: flat_measures(one) for name, one in self.landmarks.items()},
            "groups": {name: flat_measures(one) for name, one in self.groups.items()},
            "pooled": flat_measures(self.pooled),
        }


def evaluate_clust(
    folders: Sequence[Path],
    results: Path | Mapping[str, Path],
    *,
    spacing_mm: Mapping[str, tuple[float, float]] | None = None,
    groups: Mapping[str, str] | None = None,
    only_annotated: bool = True,
) -> ClustTable:
    """Compares `results/<landmark>.txt` with the annotations of sequence folders.

    Each landmark counts from its own first annotated frame.

    Args:
        folders: one per sequence, with `Annotation/*.txt` and, if available, the images `Data/*.png`.
        results: folder of result files in the format of `write_clust_tracks`, or each landmark's file by its label.
        spacing_mm: (x, y) pixel size of each sequence by its folder's name, of all of them or none; without it errors
            are in pixels.
        groups: scanner of each sequence by its folder's or patient's name; the others' by the beginning of their names.
        only_annotated: skip landmarks with a single annotation, as in the challenge's test sequences.

    Raises:
        InputError: annotations out of order or beyond the last image; a landmark without a result; a sequence without
            spacing while others have one; no landmark to compare.
    """
    errors: dict[str, TrackErrors] = {}
    group_of_label: dict[str, str] = {}
    for folder in folders:
        if spacing_mm and folder.name not in spacing_mm:
            raise InputError(f"{folder}: there is no spacing for sequence {folder.name}; state all of them or none")
        for path in clust_files(folder):
            truth = read_clust_tracks(
                path, frame_count=_image_count(folder), spacing_mm=(spacing_mm or {}).get(folder.name)
            )
            if only_annotated and truth.visible.sum() < 2:
                continue
            result = results / path.name if isinstance(results, Path) else results.get(path.stem, path.with_suffix(""))
            if not result.is_file():
                raise InputError(f"{result}: there is no result for landmark {path.stem} of {folder}")
            if path.stem in errors:
                raise InputError(f"{path}: landmark {path.stem} is there twice, in two sequences")
            tracks = replace(read_clust_tracks(result), query_frame=truth.query_frame)
            errors[path.stem] = compare_tracks(tracks, truth, name=path.stem)
            group_of_label[path.stem] = scanner_of(folder.name, groups)
    if not errors:
        names = ", ".join(map(str, folders))
        raise InputError(f"{names}: no landmark has more than one annotation, so there is nothing to compare with")
    by_group: dict[str, list[TrackErrors]] = {}
    for label, one in errors.items():
        by_group.setdefault(group_of_label[label], []).append(one)
    return ClustTable(
        {label: measure_tracks(one) for label, one in errors.items()},
        {name: measure_tracks(several, name=name) for name, several in sorted(by_group.items())},
        measure_tracks(list(errors.values()), name="pooled"),
        {name: tuple(one for one in errors if group_of_label[one] == name) for name in sorted(by_group)},
    )


def _image_count(folder: Path) -> int | None:
    """Returns the number of images of a sequence, or None without images."""
    images = folder / "Data"
    if not images.is_dir():
        return None
    return sum(1 for path in images.iterdir() if path.suffix.lower() in {".png", ".jpg", ".bmp"}) or None
