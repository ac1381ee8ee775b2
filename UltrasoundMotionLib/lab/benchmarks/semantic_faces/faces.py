"""The faces of Table 1 as training subjects and as pairs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.lab.helen_faces import FACE_LABELS, FACE_SHAPE, Face, read_face
from UltrasoundMotionLib.lab.training.data.registration_pairs import LabelledArrays, LabelledPair, TrainingSubject
from UltrasoundMotionLib.progress import Progress, no_progress
from UltrasoundMotionLib.registration.learned.model_domain import ModelDomain

FACES = ModelDomain(
    name="faces",
    modality="grey photographs of faces",
    spacing_mm=(1.0, 1.0),
    shape=FACE_SHAPE,
    orientation=None,
    labels=FACE_LABELS,
    extent_mm=((200.0, 240.0), (400.0, 480.0)),
    coarsest_mm=(1.5, 1.5),
    same_scan=False,
)
"""Helen's faces as `read_face` prepares them; a pixel counts as 1 mm."""


def read_faces(
    folder: Path,
    names: Sequence[str],
    landmarks: Mapping[str, np.ndarray] | None,
    *,
    progress: Progress = no_progress,
) -> list[Face]:
    """Reads faces, see `read_face`."""
    faces = []
    for done, name in enumerate(names, start=1):
        faces.append(read_face(folder, name, landmarks))
        progress(done, len(names), f"reading {name}")
    return faces


def subjects_of(faces: Sequence[Face]) -> list[TrainingSubject]:
    """Returns the faces as training subjects."""
    return [TrainingSubject(face.name, (_arrays(face),)) for face in faces]


def face_pairs(faces: Sequence[Face], seed: int = 0) -> list[LabelledPair]:
    """Returns a pair for every face, on which another, drawn at random, is put; each moves once.

    Raises:
        InputError: fewer than two faces.
    """
    if len(faces) < 2:
        raise InputError(f"pairs of faces need two or more to measure, got {len(faces)}")
    order = np.random.default_rng(seed).permutation(len(faces))
    moving = {int(one): int(other) for one, other in zip(order, np.roll(order, -1), strict=True)}
    return [
        LabelledPair(pair_name(face, faces[moving[place]]), _arrays(face), _arrays(faces[moving[place]]))
        for place, face in enumerate(faces)
    ]


def pair_name(fixed: Face, moving: Face) -> str:
    """Returns the name of a pair, from which `faces_of_pair` finds its faces."""
    return f"{fixed.name} < {moving.name}"


def faces_of_pair(name: str, faces: Mapping[str, Face]) -> tuple[Face, Face]:
    """Returns the fixed and the moving face of a pair."""
    fixed, moving = name.split(" < ")
    return faces[fixed], faces[moving]


def _arrays(face: Face) -> LabelledArrays:
    return LabelledArrays(face.image.astype(np.float16), face.labels)
