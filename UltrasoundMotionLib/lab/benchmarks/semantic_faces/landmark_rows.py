"""The rows of Table 1 that need landmarks: explicit shape regression with coherent point drift, and FlowNet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.lab.benchmarks.field_rows import Predict
from UltrasoundMotionLib.lab.benchmarks.semantic_faces.faces import faces_of_pair
from UltrasoundMotionLib.lab.benchmarks.semantic_faces.point_drift import point_drift
from UltrasoundMotionLib.lab.benchmarks.semantic_faces.shape_regression import (
    DEFAULT_SETTINGS,
    ShapeRegressionSettings,
    learn_shapes,
)
from UltrasoundMotionLib.lab.helen_faces import Face
from UltrasoundMotionLib.progress import Progress, no_progress

if TYPE_CHECKING:
    from torch import Tensor

    from UltrasoundMotionLib.lab.training.data.registration_pairs import LabelledPair


def shape_regression_predict(
    learnt: Sequence[Face],
    measured: Sequence[Face],
    settings: ShapeRegressionSettings = DEFAULT_SETTINGS,
    progress: Progress = no_progress,
) -> Predict:
    """Learns landmarks on faces, and returns a prediction that finds them on both faces of a pair and moves the fixed
    face's onto the moving face's by coherent point drift.

    Raises:
        InputError: faces without landmarks.
    """
    shapes = np.stack([_landmarks(face) for face in learnt])
    cascade = learn_shapes([face.image for face in learnt], shapes, settings, progress)
    by_name = {face.name: face for face in measured}

    def predict(pair: LabelledPair, fixed: Tensor, moving: Tensor) -> Tensor:
        points, target = (cascade.predict(face.image) for face in faces_of_pair(pair.name, by_name))
        return drift_field(points, target, fixed)

    return predict


def drift_field(points: np.ndarray, target: np.ndarray, fixed: Tensor) -> Tensor:
    """Returns the displacement (1, 2, H, W) in pixels that moves points onto their target by coherent point drift."""
    drift = point_drift(points, target)
    height, width = fixed.shape[2:]
    rows = []
    for row in range(height):
        places = np.column_stack([np.arange(width), np.full(width, row)]).astype(float)
        rows.append((drift(places) - places).T)
    return fixed.new_tensor(np.stack(rows, axis=1))[None]


def flownet_predict(measured: Sequence[Face], device: str) -> Predict:
    """Returns FlowNet's prediction on images of half the size, which an affine map of their landmarks aligned.

    Raises:
        MissingPackageError: PTLFlow is not installed.
    """
    from UltrasoundMotionLib.lab.benchmarks.semantic_faces.flownet import flow_after_affine, load_flownet

    flow, by_name = load_flownet(device), {face.name: face for face in measured}

    def predict(pair: LabelledPair, fixed: Tensor, moving: Tensor) -> Tensor:
        points, target = (_landmarks(face) for face in faces_of_pair(pair.name, by_name))
        return flow_after_affine(flow, fixed, moving, fixed.new_tensor(affine_map(points, target)))

    return predict


def affine_map(points: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Returns the (2, 3) affine map that takes points (L, 2) closest to their targets."""
    return np.linalg.lstsq(np.column_stack([points, np.ones(len(points))]), target, rcond=None)[0].T


def landmarks_missing(landmarks: Mapping[str, np.ndarray] | None) -> str:
    """Returns the reason why rows with landmarks cannot run; empty where they can."""
    return "" if landmarks is not None else "needs landmarks: give Helen's annotation files by --landmarks"


def _landmarks(face: Face) -> np.ndarray:
    if face.landmarks is None:
        raise InputError(f"{face.name}: has no landmarks")
    return face.landmarks
