"""Clips made hard: cuts, jumps, shadows, graphics and more, done to a clip whose truth is known."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.images.image_sequence import ImageSequence
from UltrasoundMotionLib.tracking.point_tracks import PointTracks
from UltrasoundMotionLib.tracking.sight.picture_watch import FREEZE

JUMP_PX, ZOOM = 20.0, 1.4
_LEAVING_PX = 8.0
"""Pixels a frame, of a frame of 256, by which the picture moves out of the image and back."""


@dataclass(frozen=True)
class HardClip:
    """A clip made hard.

    Attributes:
        name: of the clip and of what was done.
        kind: what was done, a name of `HARDENINGS`, or "good".
        sequence: the frames.
        truth: the points; visible where their tissue is in sight and shown as on the query frame.
        event: (T,) bool, the frames in which it happens.
        hidden: (T, N) bool, the positions that the event hides.
    """

    name: str
    kind: str
    sequence: ImageSequence
    truth: PointTracks
    event: np.ndarray
    hidden: np.ndarray


@dataclass(frozen=True)
class _Made:
    """Frames (T, H, W) float32, positions (T, N, 2), hidden (T, N), and pixels that were filled (H, W), if any."""

    frames: np.ndarray
    positions: np.ndarray
    hidden: np.ndarray
    filled: np.ndarray | None = None


def good_clip(sequence: ImageSequence, truth: PointTracks) -> HardClip:
    """Returns the clip as it is."""
    shape = truth.visible.shape
    return HardClip(sequence.name, "good", sequence, truth, np.zeros(shape[0], dtype=bool), np.zeros(shape, dtype=bool))


def hardened(
    kind: str, sequence: ImageSequence, truth: PointTracks, *, other: np.ndarray | None = None, seed: int = 0
) -> HardClip:
    """Makes a clip hard in the middle third of its frames, or from there on.

    Args:
        kind: a name of `HARDENINGS`.
        sequence: a clip of at least 9 frames.
        truth: its points, given on a frame of the first third.
        other: (T, H, W) frames of another view, for "cut".
        seed: of the direction, place and grain of what is done.

    Raises:
        InputError: an unknown kind, a clip that is too short, or "cut" without `other`.
    """
    from UltrasoundMotionLib.images.filled_frames import FilledFrames

    if kind not in HARDENINGS:
        raise InputError(f"hardening must be one of {', '.join(HARDENINGS)}, got {kind}")
    count = len(sequence)
    first, last = count // 3, 2 * count // 3
    if count < 9 or truth.query_frame >= first:
        raise InputError(f"{sequence.name}: {count} frames, query frame {truth.query_frame}: too short to be made hard")
    event = np.zeros(count, dtype=bool)
    event[first : count if kind in ("jump", "leave") else last] = True
    frames = np.stack([sequence.frame(index) for index in range(count)]).astype(np.float32)
    if kind == "cut":
        if other is None:
            raise InputError("the hardening cut needs frames of another view")
        made = _replaced(frames, truth, event, np.resize(other, frames.shape).astype(np.float32))
    else:
        made = HARDENINGS[kind](frames, truth, event, np.random.default_rng(seed))
    height, width = frames.shape[1:]
    outside = np.any((made.positions < 0) | (made.positions > [width - 1, height - 1]), axis=2)
    hidden = made.hidden | (outside & event[:, None])
    positions = np.clip(made.positions, 0, [width - 1, height - 1])
    shown = np.clip(made.frames, 0, 255).round().astype(np.uint8)
    clip = replace(
        sequence,
        name=f"{sequence.name} {kind}",
        frames=shown if made.filled is None else FilledFrames(shown, made.filled),
        notes=(),
    )
    tracks = replace(truth, positions_px=positions, visible=truth.visible & ~hidden & ~outside)
    return HardClip(clip.name, kind, clip, tracks, event, hidden)


def _replaced(frames: np.ndarray, truth: PointTracks, event: np.ndarray, others: np.ndarray) -> _Made:
    """Shows other frames during the event; no point is in sight there."""
    shown = np.where(event[:, None, None], others, frames)
    return _Made(shown, truth.positions_px, event[:, None] & np.ones_like(truth.visible))


def _mirror(frames: np.ndarray, truth: PointTracks, event: np.ndarray, rng: np.random.Generator) -> _Made:
    return _replaced(frames, truth, event, frames[:, :, ::-1])


def _zoom(frames: np.ndarray, truth: PointTracks, event: np.ndarray, rng: np.random.Generator) -> _Made:
    height, width = frames.shape[1:]
    y, x = (_magnified_places(size) for size in (height, width))
    rows, rest_y = np.floor(y).astype(int), (y % 1)[:, None]
    columns, rest_x = np.floor(x).astype(int), x % 1
    next_rows, next_columns = np.minimum(rows + 1, height - 1), np.minimum(columns + 1, width - 1)
    upper = frames[:, rows] * (1 - rest_y) + frames[:, next_rows] * rest_y
    return _replaced(frames, truth, event, upper[:, :, columns] * (1 - rest_x) + upper[:, :, next_columns] * rest_x)


def _magnified_places(size: int) -> np.ndarray:
    middle = (size - 1) / 2
    return (np.arange(size) - middle) / ZOOM + middle


def _jump(frames: np.ndarray, truth: PointTracks, event: np.ndarray, rng: np.random.Generator) -> _Made:
    angle = rng.uniform(0, 2 * np.pi)
    shift = np.rint(JUMP_PX * max(frames.shape[1:]) / 256 * np.array([np.cos(angle), np.sin(angle)])).astype(int)
    return _moved(frames, truth, event[:, None] * shift)


def _leave(frames: np.ndarray, truth: PointTracks, event: np.ndarray, rng: np.random.Generator) -> _Made:
    """Moves the picture out of the image sideways and back."""
    place = np.cumsum(event)
    way = np.minimum(place, place[-1] - place) * event * _LEAVING_PX * max(frames.shape[1:]) / 256
    sign = rng.choice([-1, 1])
    return _moved(frames, truth, np.rint(np.stack([sign * way, np.zeros(len(way))], axis=1)).astype(int))


def _moved(frames: np.ndarray, truth: PointTracks, shifts: np.ndarray) -> _Made:
    """Moves each frame by whole pixels (T, 2); black comes in at the border."""
    height, width = frames.shape[1:]
    shown = np.zeros_like(frames)
    for index, (x, y) in enumerate(shifts.tolist()):
        if abs(x) < width and abs(y) < height:
            shown[index, max(0, y) : height + min(0, y), max(0, x) : width + min(0, x)] = frames[
                index, max(0, -y) : height + min(0, -y), max(0, -x) : width + min(0, -x)
            ]
    return _Made(shown, truth.positions_px + shifts[:, None], np.zeros_like(truth.visible))


def _freeze(frames: np.ndarray, truth: PointTracks, event: np.ndarray, rng: np.random.Generator) -> _Made:
    """Shows one frame again and again; from the fourth repetition on the points count as hidden: the picture is old."""
    first = int(np.argmax(event))
    shown = np.where(event[:, None, None], frames[first], frames)
    positions = np.where(event[:, None, None], truth.positions_px[first], truth.positions_px)
    old = event & (np.cumsum(event) > FREEZE.frozen_frames)
    return _Made(shown, positions, old[:, None] & np.ones_like(truth.visible))


def _black(frames: np.ndarray, truth: PointTracks, event: np.ndarray, rng: np.random.Generator) -> _Made:
    return _replaced(frames, truth, event, np.zeros_like(frames))


def _shadow(frames: np.ndarray, truth: PointTracks, event: np.ndarray, rng: np.random.Generator) -> _Made:
    """Sweeps a shadow of a third of the width over the image: all but noise is gone in it."""
    _, height, width = frames.shape
    half, edge = width / 6, 0.02 * width
    progress = np.cumsum(event) / max(event.sum(), 1)
    middle = -half + (width + 2 * half) * (progress if rng.random() < 0.5 else 1 - progress)
    lean = rng.uniform(-0.3, 0.3)
    y, x = np.mgrid[:height, :width]
    shown, hidden = frames.copy(), np.zeros_like(truth.visible)
    for index in np.flatnonzero(event).tolist():
        across = np.abs(x + lean * (y - height / 2) - middle[index])
        loss = rng.uniform(90, 160) / (1 + np.exp((across - half) / edge))
        grain = rng.gamma(1.0, 6.0, (height, width)) * (frames[index] > 0)
        shown[index] = np.maximum(frames[index] - loss, np.minimum(grain, frames[index]))
        places = truth.positions_px[index]
        hidden[index] = np.abs(places[:, 0] + lean * (places[:, 1] - height / 2) - middle[index]) < half - edge
    return _Made(shown, truth.positions_px, hidden)


def _box(frames: np.ndarray, truth: PointTracks, event: np.ndarray, rng: np.random.Generator) -> _Made:
    """Lays a box of colour flow, read as grey levels, over half of the image; its patches flicker."""
    return _covered(frames, truth, event, _flow(frames.shape, rng), rng)


def _graphics(frames: np.ndarray, truth: PointTracks, event: np.ndarray, rng: np.random.Generator) -> _Made:
    """Lays a still panel of lines and letters over half of the image."""
    _, height, width = frames.shape
    panel = np.full((height, width), 30.0)
    panel[:: max(4, height // 12)] = 220
    panel[:, :: max(4, width // 9)] = 180
    letters = rng.random((-(-height // 4), -(-width // 4))) < 0.15
    panel[np.kron(letters, np.ones((4, 4), dtype=bool))[:height, :width]] = 255
    return _covered(frames, truth, event, np.broadcast_to(panel, frames.shape), rng)


def _covered(
    frames: np.ndarray, truth: PointTracks, event: np.ndarray, cover: np.ndarray, rng: np.random.Generator
) -> _Made:
    low, high = _half(frames.shape, rng)
    inside = np.zeros(frames.shape[1:], dtype=bool)
    inside[low[1] : high[1], low[0] : high[0]] = True
    shown = np.where(event[:, None, None] & inside, cover, frames)
    under = np.all((truth.positions_px >= low) & (truth.positions_px < high), axis=2)
    return _Made(shown, truth.positions_px, under & event[:, None])


def _filled(frames: np.ndarray, truth: PointTracks, event: np.ndarray, rng: np.random.Generator) -> _Made:
    """Fills a region that graphics cover in all frames, as tracking does; the points in it are hidden throughout."""
    low, high = _half(frames.shape, rng)
    middle, size = (low + high) / 2, (high - low) / 6
    low, high = (middle - size).astype(int), (middle + size).astype(int)
    mask = np.zeros(frames.shape[1:], dtype=bool)
    mask[low[1] : high[1], low[0] : high[0]] = True
    under = np.all((truth.positions_px >= low) & (truth.positions_px < high), axis=2)
    return _Made(frames, truth.positions_px, under, mask)


def _half(shape: tuple[int, ...], rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Returns the corners (x, y) of a box of half the image's sides."""
    size = np.array([shape[2], shape[1]])
    low = (rng.uniform(0.1, 0.4, 2) * size).astype(int)
    return low, low + size // 2


def _flow(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """Returns flickering patches (T, H, W) as colour flow has them in grey levels."""
    count, height, width = shape
    coarse = rng.uniform(0, 255, (count, -(-height // 8), -(-width // 8)))
    return np.repeat(np.repeat(coarse, 8, axis=1), 8, axis=2)[:, :height, :width]


def _noise(frames: np.ndarray, truth: PointTracks, event: np.ndarray, rng: np.random.Generator) -> _Made:
    """Adds noise of a sixth of the grey range; the tissue stays in sight."""
    grain = rng.normal(0, 40, frames.shape).astype(np.float32) * (frames > 0)
    return _Made(frames + event[:, None, None] * grain, truth.positions_px, np.zeros_like(truth.visible))


HARDENINGS: dict[str, Callable[[np.ndarray, PointTracks, np.ndarray, np.random.Generator], _Made]] = {
    "cut": _mirror,
    "mirror": _mirror,
    "zoom": _zoom,
    "jump": _jump,
    "freeze": _freeze,
    "black": _black,
    "leave": _leave,
    "shadow": _shadow,
    "box": _box,
    "graphics": _graphics,
    "filled": _filled,
    "noise": _noise,
}
"""Ways of making a clip hard, by name; "cut" is given its frames."""
NO_PICTURE = ("cut", "mirror", "zoom", "black")
"""Ways during which no point is in sight."""
COVERING = ("leave", "shadow", "box", "graphics", "filled")
"""Ways that hide some points."""
