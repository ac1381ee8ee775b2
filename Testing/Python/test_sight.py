"""Visibility and confidence: jumps, frozen and black video, shadows, whole clips; the model, its fit and its report."""

import numpy as np
import pytest
from scipy import ndimage

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.images import ImageSequence
from UltrasoundMotionLib.lab.benchmarks.confidence.fit import fit_calibration
from UltrasoundMotionLib.lab.benchmarks.confidence.report import Reliability, Share, area_under_curve, confidence_row
from UltrasoundMotionLib.lab.benchmarks.confidence.samples import DECOYS, Samples, collect, collect_decoys
from UltrasoundMotionLib.lab.hardened_clips import HARDENINGS, hardened
from UltrasoundMotionLib.tracking import find_tracker, track_points
from UltrasoundMotionLib.tracking.clip_tracker import ClipTracks
from UltrasoundMotionLib.tracking.point_tracks import PointTracks
from UltrasoundMotionLib.tracking.query import PointQuery
from UltrasoundMotionLib.tracking.run import run_clip_query
from UltrasoundMotionLib.tracking.sight.evidence import EVIDENCE

FRAMES, HEIGHT, WIDTH = 18, 128, 160
POINTS = np.array([[60.0, 50.0], [90.0, 40.0], [110.0, 80.0], [50.0, 80.0], [80.0, 70.0]])


def moving_clip():
    """A texture that moves by a third of a pixel a frame, with noise, and the truth."""
    rng = np.random.default_rng(6)
    noise = ndimage.gaussian_filter(rng.normal(size=(HEIGHT + 40, WIDTH + 40)), 2.2)
    noise = (noise - noise.min()) / np.ptp(noise) * 220 + 20
    way = np.stack([np.arange(FRAMES) / 3, np.arange(FRAMES) / 5], axis=1)
    frames = [ndimage.shift(noise, (y, x), order=1, mode="nearest")[20:-20, 20:-20] for x, y in way.tolist()]
    shown = np.clip(np.stack(frames) + rng.normal(0, 3, (FRAMES, HEIGHT, WIDTH)), 1, 255).astype(np.uint8)
    places = POINTS + way[:, None]
    seen = np.ones(places.shape[:2])
    return ImageSequence(shown, name="moving"), PointTracks(places, seen, seen > 0, tuple("abcde"), 0)


def made(kind):
    sequence, truth = moving_clip()
    other = ndimage.gaussian_filter(np.random.default_rng(9).normal(size=(FRAMES, HEIGHT, WIDTH)), (0, 4, 3))
    return hardened(kind, sequence, truth, other=128 + 300 * other, seed=1)


@pytest.mark.parametrize("kind", HARDENINGS)
def test_hidden_points_are_not_visible_and_the_others_are(kind):
    clip = made(kind)
    tracks = track_points(clip.sequence, POINTS, hide_graphics=False)
    if clip.hidden.any():
        assert tracks.visible[clip.hidden].mean() <= 0.1
    before = ~clip.event & (np.arange(FRAMES) < FRAMES // 2)
    assert tracks.visible[before][clip.truth.visible[before]].mean() >= 0.97
    error = np.linalg.norm(tracks.positions_px - clip.truth.positions_px, axis=2)
    assert error[tracks.visible].max() < 8


def test_after_a_jump_the_points_are_found_at_once_and_a_note_says_how_far():
    clip = made("jump")
    tracks = track_points(clip.sequence, POINTS, hide_graphics=False)
    seen = clip.truth.visible & clip.event[:, None]
    assert tracks.visible[seen].mean() > 0.9
    assert np.linalg.norm(tracks.positions_px - clip.truth.positions_px, axis=2)[seen & tracks.visible].max() < 1.5
    moved = clip.truth.displacement_px[6, 0] - moving_clip()[1].displacement_px[6, 0]
    noted = [note for note in tracks.notes if "the picture jumps by" in note]
    assert noted[0].startswith("frame 6: ")
    stated = [float(word) for word in noted[0].split("(")[1].split(")")[0].split(",")]
    np.testing.assert_allclose(stated, moved, atol=1.5)


def test_notes_say_from_when_to_when_the_video_stood_still_or_showed_nothing():
    frozen = track_points(made("freeze").sequence, POINTS, hide_graphics=False)
    assert frozen.notes[0] == "frames 7 to 11: the video stands still; points are not visible there"
    black = track_points(made("black").sequence, POINTS, hide_graphics=False)
    assert black.notes[0] == "frames 6 to 11: nothing is shown; points are not visible there"
    assert any("magnified by about 1.4" in note for note in track_points(made("zoom").sequence, POINTS).notes)


def test_backwards_the_same_frames_are_named():
    sequence = made("freeze").sequence
    turned = ImageSequence(np.asarray(sequence.frames)[::-1].copy())
    places = moving_clip()[1].positions_px[0]
    notes = track_points(turned, places, query_frame=FRAMES - 1, hide_graphics=False).notes
    assert notes[0].startswith(f"frames {FRAMES - 12} to {FRAMES - 8}: the video stands still")


class Fixed:
    """A whole-clip tracker that finds every point where it was given, and is sure of it."""

    frames_at_most = 100

    def track(self, frames, query_points):
        shape = (len(frames), len(query_points))
        places = np.broadcast_to(query_points, (*shape, 2)).copy()
        return ClipTracks(places, np.full(shape, 0.95), np.ones(shape, dtype=bool))


def test_whole_clip_trackers_are_judged_by_what_the_places_look_like():
    sequence, _ = moving_clip()
    way = np.zeros((FRAMES, 2), dtype=int)
    way[9:] = [3, 0]
    still = np.stack([sequence.frame(0)] * FRAMES) + np.random.default_rng(3).normal(0, 2, (FRAMES, HEIGHT, WIDTH))
    drifting = np.stack([np.roll(still[0], (2 * max(0, t - 5), 3 * max(0, t - 5)), axis=(0, 1)) for t in range(FRAMES)])
    drifting = drifting + np.random.default_rng(4).normal(0, 2, drifting.shape)
    for frames, last in ((still, True), (drifting, False)):
        clip = ImageSequence(np.clip(frames, 1, 255).astype(np.uint8))
        tracks = run_clip_query(clip, Fixed, PointQuery.on(clip, POINTS), judged=True)
        assert tracks.visible[1:5].mean() > 0.97
        assert tracks.visible[-3:].mean() > 0.97 if last else tracks.visible[-3:].mean() <= 0.1


def test_area_reliability_and_shares_are_what_their_definitions_say():
    confidence, right = np.array([0.1, 0.4, 0.35, 0.8, 0.8]), np.array([False, False, True, True, False])
    pairs = [(a > b) + 0.5 * (a == b) for a in confidence[right] for b in confidence[~right]]
    assert area_under_curve(confidence, right) == pytest.approx(np.mean(pairs))
    assert np.isnan(area_under_curve(confidence, np.ones(5, dtype=bool)))
    curve = Reliability.of(np.array([0.05, 0.05, 0.95, 0.95]), np.array([False, True, True, True]))
    assert curve.expected_error == pytest.approx((2 * 0.45 + 2 * 0.05) / 4)
    share = Share.of([1, 0, 3], [10, 10, 10])
    assert share.value == pytest.approx(4 / 30) and share.low <= share.value <= share.high and share.count == 30
    assert Share.of([0], [0]).text == "-"


def test_the_fit_finds_a_known_model_and_no_weight_of_the_wrong_sign():
    rng = np.random.default_rng(0)
    looks, darker = EVIDENCE.index("look_middle"), EVIDENCE.index("darker")
    evidence = rng.normal(size=(60, 50, len(EVIDENCE)))
    odds = 0.5 + 2 * evidence[..., looks] - 1.5 * evidence[..., darker] + 0.8 * evidence[..., EVIDENCE.index("alone")]
    right = rng.random((60, 50)) < 1 / (1 + np.exp(-odds))
    nothing = np.zeros((60, 50))
    samples = Samples(
        "clip", "good", "toy", evidence, nothing, nothing > 0, np.where(right, 0.0, 9.0), nothing == 0, nothing > 0,
        nothing > 0,
    )  # fmt: skip
    found = fit_calibration([samples])
    assert found.weights["look_middle"] == pytest.approx(2, abs=0.3)
    assert found.weights["darker"] == pytest.approx(-1.5, abs=0.3)
    assert found.weights["alone"] == 0
    assert set(found.trackers) == {"toy"}


def test_samples_of_runs_and_decoys_are_kept_and_read_again(tmp_path):
    clip = made("shadow")
    samples = collect(clip, find_tracker("lucas-kanade"))
    assert samples.right.shape == (FRAMES - 1, 5) and samples.hidden.any()
    samples.save(tmp_path / "kept.npz")
    again = Samples.load(tmp_path / "kept.npz")
    assert again.clip == "moving" and again.kind == "shadow" and again.tracker == "lucas-kanade"
    np.testing.assert_array_equal(again.evidence, samples.evidence)
    row = confidence_row("shadow", "lucas-kanade", [again])
    assert row.hidden.value <= 0.1 and row.auc > 0.8
    for kind in DECOYS:
        decoys = collect_decoys(kind, *moving_clip(), seed=2)
        assert decoys.kind == kind and not decoys.right.all() and decoys.right[:5].all()


def test_what_cannot_be_made_hard_is_refused():
    sequence, truth = moving_clip()
    with pytest.raises(InputError, match="hardening must be one of cut, mirror"):
        hardened("rain", sequence, truth)
    with pytest.raises(InputError, match="needs frames of another view"):
        hardened("cut", sequence, truth)
