"""Placing a clip in the space of a volume."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.images.image_sequence import ImageSequence
from UltrasoundMotionLib.images.volume import Volume
from UltrasoundMotionLib.placement.landmark_fit import LandmarkFit, fit_landmarks
from UltrasoundMotionLib.placement.linear_files import read_linear_transform
from UltrasoundMotionLib.placement.placement import (
    MIRROR,
    SPACING_TOLERANCE,
    Placement,
    check_rigid,
    clip_pixel_to_ras,
    overlap_doubt,
    plane_matrices,
    spacing_doubt,
)
from UltrasoundMotionLib.placement.request import PIXELS, PlaceRequest
from UltrasoundMotionLib.placement.tracked_frames import place_by_tracking
from UltrasoundMotionLib.placement.volume_points import read_volume_points

_LARGE_RESIDUAL_MM = 5.0


def place_clip(sequence: ImageSequence, request: PlaceRequest, volume: Volume | None = None) -> Placement:
    """Finds where each frame of a clip lies in the space of a volume.

    Args:
        volume: the image of that space, to see whether the clip lies inside it.

    Raises:
        InputError: files that cannot be read, matrices that are not what they should be, landmarks that fix no place,
            a clip whose pixel size is needed and unknown; the file and the reason are named.
    """
    if request.clip_points is not None and request.volume_points is not None:
        placement = _by_landmarks(sequence, request.clip_points, request.volume_points, scale=request.scale)
    elif request.tracked:
        placement = place_by_tracking(
            sequence, calibration=request.calibration, image=request.image_frame, reference=request.reference_frame
        )
        if request.matrix is not None:
            matrix = _read(request.matrix, request)
            check_rigid(matrix, str(request.matrix))
            notes = (*placement.notes, f"and from there into the volume by {request.matrix}")
            placement = Placement(matrix @ placement.pixel_to_ras, placement.method, notes)
    elif request.matrix is not None:
        placement = _by_matrix(sequence, request.matrix, request)
    else:  # the request refuses this
        raise InputError("give a matrix, landmarks or tracking")
    notes = placement.notes
    if not (request.clip_points or (request.matrix and not request.tracked and request.matrix_maps != PIXELS)):
        notes += spacing_doubt(placement.pixel_mm, sequence)
    if volume is not None:
        if volume.array.ndim != 3:
            raise InputError(f"{volume.name}: is a 2D image, expected a volume")
        notes += overlap_doubt(placement, sequence, volume)
    return replace(placement, notes=notes)


def _read(path: Path, request: PlaceRequest) -> np.ndarray:
    matrix = read_linear_transform(path, lps=request.matrix_lps)
    return np.linalg.inv(matrix) if request.inverse else matrix


def _by_matrix(sequence: ImageSequence, path: Path, request: PlaceRequest) -> Placement:
    matrix = _read(path, request)
    notes: tuple[str, ...] = (f"placed by {path}",)
    if request.matrix_maps == PIXELS:
        planes, hand_notes = plane_matrices(matrix[None], str(path))
        total, notes = planes[0], (*notes, *hand_notes)
    else:
        own = sequence.spacing_mm
        scale = np.linalg.norm(matrix[:3, :2], axis=0)
        hint = "give --matrix-maps pixels if it maps pixels"
        if own is not None and np.abs(scale / np.array(own) - 1).max() < SPACING_TOLERANCE:
            hint = "that is the clip's pixel size, so it maps pixels: give --matrix-maps pixels"
        check_rigid(matrix, str(path), hint)
        if own is None:
            raise InputError(
                f"{sequence.path or sequence.name}: its pixel size is unknown, so a matrix of mm does not place it; "
                "give --spacing-mm, or --matrix-maps pixels"
            )
        total = matrix @ clip_pixel_to_ras(sequence)
    return Placement(np.repeat(total[None], len(sequence), axis=0), "matrix", notes)


def _by_landmarks(sequence: ImageSequence, clip: Path, volume: Path, *, scale: bool) -> Placement:
    from UltrasoundMotionLib.tracking.files.query_points_file import read_query_points

    if sequence.spacing_mm is None and not scale:
        raise InputError(
            f"{sequence.path or sequence.name}: its pixel size is unknown; give --spacing-mm, or --scale to fit it"
        )
    on_clip = read_query_points(clip, sequence)
    positions = read_volume_points(volume)
    shared = [label for label in on_clip.labels if label in positions]
    alone = [label for label in (*on_clip.labels, *positions) if label not in shared]
    if len(shared) < len(on_clip.labels) and not shared:
        raise InputError(f"{clip}, {volume}: no landmark has the same label in both")
    pixels = on_clip.points_px[[on_clip.labels.index(label) for label in shared]]
    source = sequence.pixels_to_lps_mm(pixels) @ MIRROR[:3, :3]
    try:
        fit = fit_landmarks(source, np.array([positions[label] for label in shared]).reshape(-1, 3), scale=scale)
    except InputError as error:
        raise InputError(f"{clip}, {volume}: {error}") from error
    total = fit.matrix @ clip_pixel_to_ras(sequence)
    notes = [*on_clip.notes, *fit_notes(fit, shared)]
    if alone:
        notes.append(f"left out, since they are in one file only: {', '.join(alone)}")
    return Placement(np.repeat(total[None], len(sequence), axis=0), "landmarks", tuple(notes))


def fit_notes(fit: LandmarkFit, labels: list[str]) -> list[str]:
    """Returns what a user should know of a fit: its residual, its scale, and doubts."""
    worst = int(np.argmax(fit.residuals_mm))
    note = f"{len(labels)} landmarks fit to {fit.rms_mm:.2f} mm (root mean square), {labels[worst]} worst with"
    notes = [f"{note} {fit.residuals_mm[worst]:.2f} mm"]
    if fit.scale != 1.0:
        notes.append(f"the landmarks scale the clip by {fit.scale:.4g}")
    if len(labels) == 3:
        notes.append("three landmarks always fit well: the residual does not say how well the clip is placed")
    if fit.residuals_mm[worst] > _LARGE_RESIDUAL_MM:
        notes.append(
            f"doubtful: {labels[worst]} is {fit.residuals_mm[worst]:.1f} mm off; is it the same place in both?"
        )
    return notes
