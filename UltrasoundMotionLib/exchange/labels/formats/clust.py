"""The text files of CLUST, one for each landmark; see `tracking/files/clust_annotation.py`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from UltrasoundMotionLib.atomic_output import atomic_output
from UltrasoundMotionLib.errors import InputError, OutputError
from UltrasoundMotionLib.exchange.labels.labels import ClipReference, Labels, outside_notes
from UltrasoundMotionLib.exchange.labels.registry import LabelFile, LabelFormat, label_format
from UltrasoundMotionLib.tracking.files.clust_annotation import clust_files, read_clust_tracks, write_clust_tracks


@label_format
class Clust(LabelFormat):
    """CLUST's annotations and results."""

    name = "clust"
    summary = "CLUST: a folder with one `frame x y` text file for each landmark"
    origin = "pixels, taken as ours (its rules do not say); frames count from 1"
    endings = ("",)
    keeps = frozenset({"names"})
    rank = 30

    def recognises(self, file: LabelFile) -> bool:
        """Returns True for a folder of .txt files, and for a .txt file."""
        if not file.path.is_dir():
            return file.name.endswith(".txt")
        try:
            return bool(clust_files(file.path))
        except InputError:
            return False

    def takes_name(self, name: str) -> bool:
        """Returns True for a name without ending: a folder."""
        return "." not in name

    def read(self, path: Path, clip: ClipReference | None, *, frame: int | None = None) -> Labels:
        """Reads a folder, or the file of one landmark."""
        count = None if clip is None else len(clip.sequence)
        tracks = read_clust_tracks(path, frame_count=count)
        if clip is None:
            return Labels(tracks)
        tracks = replace(tracks, times_s=clip.sequence.times_s, spacing_mm=clip.sequence.spacing_mm)
        size = clip.sequence.frame_size
        return Labels(tracks, frame_size=size, clip=clip.name, notes=outside_notes(path, tracks, size))

    def write(self, path: Path, labels: Labels, clip: ClipReference | None) -> list[str]:
        """Writes a new folder, whole or not at all."""
        if path.exists():
            raise OutputError(f"{path}: exists already; name a new folder for the files of the landmarks")
        there = labels.labelled.any(axis=0)
        kept = np.flatnonzero(there)
        if not len(kept):
            raise InputError(f"{path}: there is no labelled point to write")
        tracks = replace(
            labels.tracks,
            positions_px=labels.tracks.positions_px[:, kept],
            confidence=labels.tracks.confidence[:, kept],
            visible=labels.tracks.visible[:, kept],
            labels=tuple(labels.tracks.labels[column].replace("/", "_") for column in kept),
        )
        with atomic_output(path) as folder:
            folder.mkdir()
            write_clust_tracks(folder, tracks)
        renamed = sum("/" in labels.tracks.labels[column] for column in kept)
        return [f"clust: {renamed} labels with / are written with _"] if renamed else []
