"""Points are not visible after a cut, and a note says where it is; a clip without one is tracked as before."""

import numpy as np
import pytest
from scipy import ndimage

from UltrasoundMotionLib.images import ImageSequence
from UltrasoundMotionLib.simulation.phantom_set import phantom_set
from UltrasoundMotionLib.tracking import track_points

CUT = 6


def clip(after, frames=12):
    """A texture that moves slowly; from frame 6 on another picture is made of it."""
    noise = ndimage.gaussian_filter(np.random.default_rng(2).normal(size=(140, 180)), 2.5)
    noise = (noise - noise.min()) / np.ptp(noise) * 250
    still = [ndimage.shift(noise, (0.3 * t, 0.2 * t), order=1, mode="nearest") for t in range(frames)]
    shown = [after(one) if t >= CUT else one for t, one in enumerate(still)]
    return ImageSequence(np.stack(shown)[:, 10:130, 10:170].astype(np.uint8))


POINTS = [[60.0, 50.0], [90.0, 40.0], [110.0, 80.0], [50.0, 80.0], [80.0, 70.0]]
OTHERS = {
    "mirrored": lambda frame: frame[:, ::-1],
    "magnified": lambda frame: ndimage.affine_transform(frame, np.diag([1 / 1.4] * 2), order=1),
    "another view": lambda frame: frame[::-1, ::-1].T[: frame.shape[0]].repeat(2, axis=1)[:, : frame.shape[1]],
}


@pytest.mark.parametrize("other", OTHERS)
@pytest.mark.parametrize("model", ["lucas-kanade", "kcf", "block-matching"])
def test_points_are_hidden_after_a_cut(other, model):
    tracks = track_points(clip(OTHERS[other]), POINTS, model=model)
    assert tracks.visible[:CUT].mean() > 0.9
    assert tracks.visible[CUT:].mean() <= 0.1
    assert any(note.startswith(f"frame {CUT}: the picture becomes another") for note in tracks.notes)


def test_points_stay_hidden_where_the_other_picture_is_held():
    """Videos often hold each picture two or three times; the second time was as visible as before the cut."""
    sequence = clip(OTHERS["mirrored"])
    held = ImageSequence(np.repeat(sequence.frames, 3, axis=0))
    tracks = track_points(held, POINTS)
    assert tracks.visible[: 3 * CUT].mean() > 0.9
    assert not tracks.visible[3 * CUT :].any()


def test_a_cut_is_found_both_ways_and_in_tracking_there_and_back():
    sequence = clip(OTHERS["mirrored"])
    back = track_points(sequence, POINTS, query_frame=9)
    assert back.visible[CUT:].mean() > 0.9
    assert back.visible[:CUT].mean() <= 0.1
    assert any(note.startswith(f"frame {CUT - 1}: ") for note in back.notes)
    offline = track_points(sequence, POINTS, offline=True)
    assert offline.visible[:CUT].mean() > 0.9
    assert offline.visible[CUT:].mean() <= 0.1


def test_black_frames_are_no_cut_and_do_not_hide_one():
    frames = np.stack([clip(lambda frame: frame).frame(t) for t in range(12)]).astype(np.uint8)
    frames[5] = 0
    tracks = track_points(ImageSequence(frames), POINTS)
    assert not any("becomes another" in note for note in tracks.notes)
    frames[6:] = frames[6:, :, ::-1]
    assert track_points(ImageSequence(frames), POINTS).notes[0].startswith("frame 6: the picture becomes another")


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["heart", "liver"])
def test_moving_tissue_is_no_cut(kind):
    for case in phantom_set(kind, "extreme", 2, 100, frame_count=24):
        simulated = case.simulate()
        tracks = track_points(simulated.sequence, simulated.truth.positions_px[0])
        assert not any("becomes another" in note for note in tracks.notes)
