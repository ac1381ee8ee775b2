"""The weight-free trackers against textures that move exactly as known."""

import numpy as np
import pytest
from scipy import ndimage

from UltrasoundMotionLib.errors import Cancelled, InputError
from UltrasoundMotionLib.images.image_sequence import ImageSequence
from UltrasoundMotionLib.tracking import PointQuery, stream_tracks, track_points
from UltrasoundMotionLib.tracking.registry import available_trackers, find_tracker

MODELS = ("lucas-kanade", "block-matching")
FRAMES = 24


def _motion(t):
    return np.array([7 * np.sin(t / 4), 4 * np.cos(t / 4) - 4])


@pytest.fixture(scope="module")
def moving_texture():
    """A speckled texture that moves as `_motion` says; its points and their exact trajectories."""
    generator = np.random.default_rng(0)
    texture = np.abs(ndimage.gaussian_filter(generator.normal(size=(260, 260)), 1.8))
    spline = ndimage.spline_filter(texture / texture.max() * 255)
    y, x = np.mgrid[:160, :176].astype(float)
    frames = np.empty((FRAMES, 160, 176), np.float32)
    for t in range(FRAMES):
        dx, dy = _motion(t)
        frames[t] = ndimage.map_coordinates(spline, [y + 50 - dy, x + 40 - dx], prefilter=False)
    points = generator.uniform(30, 130, (12, 2))
    return ImageSequence(frames.clip(0, 255)), points, np.stack([points + _motion(t) for t in range(FRAMES)])


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("query_frame", [0, 9, FRAMES - 1])
def test_follows_a_known_motion_from_any_query_frame(moving_texture, model, query_frame):
    sequence, _, truth = moving_texture
    tracks = track_points(sequence, truth[query_frame], query_frame=query_frame, model=model, device="cpu")
    error = np.linalg.norm(tracks.positions_px - truth, axis=-1)
    assert np.median(error) < 0.1
    assert error.max() < 0.4
    assert tracks.visible.all()
    assert tracks.confidence[query_frame].min() == 1
    assert tracks.reached.all()


@pytest.mark.parametrize("model", MODELS)
def test_a_single_point_is_followed_as_well_as_many(moving_texture, model):
    sequence, points, truth = moving_texture
    tracks = track_points(sequence, points[:1], model=model, device="cpu")
    assert np.linalg.norm(tracks.positions_px - truth[:, :1], axis=-1).max() < 0.3


@pytest.mark.parametrize("model", MODELS)
def test_a_point_behind_a_shadow_is_reported_and_found_again(moving_texture, model):
    sequence, points, truth = moving_texture
    generator = np.random.default_rng(1)
    frames = np.array(sequence.frames)
    target = int(np.argmin(np.abs(points - [88, 80]).sum(1)))
    for t in range(8, 15):
        x, y = truth[t, target].round().astype(int)
        frames[t, max(0, y - 22) : y + 23, max(0, x - 22) : x + 23] = generator.uniform(0, 6, (45, 45))[
            : 45 + min(0, y - 22), : 45 + min(0, x - 22)
        ]
    tracks = track_points(ImageSequence(frames), points[target : target + 1], model=model, device="cpu")
    error = np.linalg.norm(tracks.positions_px[:, 0] - truth[:, target], axis=-1)
    assert not tracks.visible[10:14, 0].any()
    assert tracks.visible[17:, 0].all()
    assert error[17:].max() < 0.5


@pytest.mark.parametrize("model", ["lucas-kanade", pytest.param("block-matching", marks=pytest.mark.slow)])
def test_both_memories_together_beat_each_alone_when_speckle_decorrelates(model):
    from UltrasoundMotionLib.tracking import run_tracker
    from UltrasoundMotionLib.tracking.matching.block_matching import BlockMatcher, BlockMatchingConfig
    from UltrasoundMotionLib.tracking.matching.long_short_tracker import LongShortTracker
    from UltrasoundMotionLib.tracking.matching.lucas_kanade import LucasKanadeConfig, LucasKanadeMatcher
    from UltrasoundMotionLib.tracking.matching.settings import (
        LongMemorySettings,
        LongShortSettings,
        NeighbourSettings,
        ShortMemorySettings,
    )

    generator = np.random.default_rng(3)
    count, shift = 60, np.array([0.37, -0.21])
    structure = ndimage.gaussian_filter(generator.normal(size=(150, 150)), 5) * 60
    speckle = generator.normal(size=(150, 150))
    frames = np.empty((count, 128, 128), np.float32)
    y, x = np.mgrid[:128, :128].astype(float)
    for t in range(count):
        dx, dy = shift * 20 * np.sin(t / 8)
        field = np.abs(ndimage.gaussian_filter(speckle, 1.6)) * 6 * (1 + 0.4 * structure / structure.std())
        frames[t] = ndimage.map_coordinates(field, [y + 11 - dy, x + 11 - dx], order=3)
        speckle = 0.97 * speckle + np.sqrt(1 - 0.97**2) * generator.normal(size=speckle.shape)
    sequence = ImageSequence((255 * frames.clip(0, None) / frames.max()).astype(np.float32))
    points = generator.uniform(25, 100, (10, 2))
    truth = np.stack([points + shift * 20 * np.sin(t / 8) for t in range(count)])

    def error(**switches):
        def create():
            config = LongShortSettings(neighbours=NeighbourSettings(length=0), **switches)
            matcher = (
                LucasKanadeMatcher(LucasKanadeConfig())
                if model == "lucas-kanade"
                else BlockMatcher(BlockMatchingConfig())
            )
            return LongShortTracker(matcher, config)

        tracks = run_tracker(sequence, create, points)
        return np.sqrt(np.mean((tracks.positions_px - truth) ** 2))

    both = error()
    assert both < error(long=LongMemorySettings(enabled=False))
    assert both < error(short=ShortMemorySettings(enabled=False))


@pytest.mark.parametrize("model", MODELS)
def test_a_point_that_vanishes_for_one_frame_does_not_jump_to_its_twin(model):
    y, x = np.mgrid[:128, :160].astype(float)
    frames = np.empty((14, 128, 160), np.float32)
    truth = np.array([[50 + 0.5 * t, 60.0] for t in range(14)])
    for t, (centre, _) in enumerate(truth):
        left, right = (
            150 * np.exp(-(((x - at) / 5) ** 2 + ((y - 60 - 0.3 * (x - at)) / 2) ** 2)) for at in (centre, centre + 24)
        )
        frames[t] = right if t == 7 else left + right
    frames += np.random.default_rng(0).uniform(0, 6, frames.shape).astype(np.float32)
    tracks = track_points(ImageSequence(frames), truth[:1], model=model, device="cpu")
    error = np.linalg.norm(tracks.positions_px[:, 0] - truth, axis=-1)
    assert not tracks.visible[7, 0]
    assert error[8:].max() < 1
    assert tracks.visible[9:, 0].all()


def test_streams_one_frame_at_a_time(moving_texture):
    sequence, points, _ = moving_texture

    class Counting:
        shape, dtype, reads = sequence.frames.shape, sequence.frames.dtype, 0

        def __getitem__(self, index):
            self.reads += 1
            return sequence.frames[index]

    source = Counting()
    stream = stream_tracks(
        ImageSequence(source),
        lambda: find_tracker("lucas-kanade").make("cpu"),
        PointQuery.on(ImageSequence(source), points),
    )
    for expected, (index, _) in zip(range(5), stream, strict=False):
        assert index == expected
        assert source.reads == expected + 1


def test_cancel_raises_or_keeps_what_was_finished(moving_texture):
    sequence, points, _ = moving_texture

    def stop_at_six(done, total, message):
        if done == 6:
            raise Cancelled("enough")

    with pytest.raises(Cancelled):
        track_points(sequence, points, progress=stop_at_six, device="cpu")
    partial = track_points(sequence, points, progress=stop_at_six, keep_partial=True, device="cpu")
    assert partial.reached.tolist() == [True] * 6 + [False] * (FRAMES - 6)


def test_bad_input_is_named(moving_texture):
    sequence, points, _ = moving_texture
    with pytest.raises(InputError, match="point 1 at \\(500, 3\\)"):
        track_points(sequence, [[10, 10], [500, 3]])
    with pytest.raises(InputError, match="query frame 24"):
        track_points(sequence, points, query_frame=24)
    with pytest.raises(InputError, match="no tracker named nonsense; choose one of lucas-kanade"):
        track_points(sequence, points, model="nonsense")
    with pytest.raises(InputError, match="one frame"):
        track_points(ImageSequence(sequence.frames[:1]), points)
    with pytest.raises(InputError, match="labels"):
        track_points(sequence, points[:2], labels=("a", "a"))
    broken = np.array(sequence.frames)
    broken[3, 5, 5] = np.nan
    with pytest.raises(InputError, match="frame 3 holds values that are not finite"):
        track_points(ImageSequence(broken), points)
    with pytest.raises(InputError, match="device quantum"):
        track_points(sequence, points, device="quantum")


def test_registry_lists_both():
    assert {entry.name for entry in available_trackers()} >= set(MODELS)


def test_a_gpu_is_not_used_and_that_is_noted(moving_texture):
    sequence, points, _ = moving_texture
    for model in MODELS:
        on_cpu = track_points(sequence, points[:2], model=model, device="cpu")
        asked = track_points(sequence, points[:2], model=model, device="cuda")
        np.testing.assert_array_equal(on_cpu.positions_px, asked.positions_px)
        assert f"{model} runs on the CPU alone: the device cuda is not used" in asked.notes
        assert not any("CPU" in note for note in on_cpu.notes)


@pytest.mark.parametrize(
    ("direction", "reached"), [("forward", range(2, 5)), ("backward", range(3)), ("both", range(5))]
)
def test_one_direction_leaves_the_other_frames_unreached(direction, reached):
    frames = np.random.default_rng(3).integers(0, 255, (5, 64, 64)).astype(np.float32)
    tracks = track_points(ImageSequence(frames), [[30.0, 30.0]], query_frame=2, direction=direction)
    assert np.flatnonzero(tracks.reached).tolist() == list(reached)
    with pytest.raises(InputError, match="direction: expected one of both, forward, backward, got 'up'"):
        track_points(ImageSequence(frames), [[30.0, 30.0]], direction="up")


def test_neighbours_that_stretch_keep_their_stretch():
    from UltrasoundMotionLib.tracking.matching.neighbour_motion import share_motion

    places = np.random.default_rng(0).uniform(0, 150, (60, 2))
    linear = (places - places.mean(0)) @ np.array([[0.002, 0.0], [0.0, -0.001]])  # 0.15 px over the whole field
    doubtful = np.tile(0.5 * np.eye(2), (60, 1, 1))
    kept = {}
    for stretch in (0.0, 4.0):
        shared = share_motion(places, linear, doubtful, 60.0, 0.3, stretch=stretch).displacement
        kept[stretch] = float((shared * linear).sum() / np.square(linear).sum())
    assert kept[0.0] < 0.5, "as deviations from the mean they are shrunk by their doubt"
    assert kept[4.0] > 0.85
    same = np.ones((60, 2))
    np.testing.assert_allclose(
        share_motion(places, same, doubtful, 60.0, 0.3, stretch=4.0).displacement, same, atol=1e-9, rtol=0
    )


def _reference_pair():
    """Two frames of a texture that moved by (2.3, -1.6) px, and 60 points on the first."""
    generator = np.random.default_rng(7)
    texture = ndimage.gaussian_filter(generator.normal(size=(260, 260)), 2.0)
    spline = ndimage.spline_filter(60 * texture / texture.std() + 128)
    y, x = np.mgrid[:181, :203].astype(float)
    frames = [
        ndimage.map_coordinates(spline, [y + 30 - dy, x + 25 - dx], prefilter=False) for dx, dy in ((0, 0), (2.3, -1.6))
    ]
    return np.clip(np.rint(frames), 0, 255).astype(np.uint8), generator.uniform(25, 150, (60, 2))


def test_lucas_kanade_agrees_with_the_motion_and_with_opencv():
    """One match without a prior to speak of: OpenCV's window has no weights, so the two differ a little."""
    cv2 = pytest.importorskip("cv2")
    from UltrasoundMotionLib.tracking.matching.image_pyramid import build_pyramid
    from UltrasoundMotionLib.tracking.matching.lucas_kanade import LucasKanadeConfig, LucasKanadeMatcher
    from UltrasoundMotionLib.tracking.matching.matcher import isotropic

    (first, second), points = _reference_pair()
    matcher = LucasKanadeMatcher(LucasKanadeConfig(iterations=8))
    pyramids = [build_pyramid(frame.astype(np.float32), 3, 0.0) for frame in (first, second)]
    match = matcher.match(matcher.describe(pyramids[0], points), pyramids[1], points, isotropic(400.0, len(points)))
    peer, found, _ = cv2.calcOpticalFlowPyrLK(
        first, second, points.astype(np.float32)[:, None], None, winSize=(17, 17), maxLevel=2
    )
    assert found.all()
    truth = points + np.array([2.3, -1.6])
    assert np.linalg.norm(match.points - truth, axis=1).max() < 0.1
    assert np.median(np.linalg.norm(match.points - truth, axis=1)) < 0.02
    assert np.linalg.norm(match.points - peer[:, 0], axis=1).max() < 0.1
    assert match.correlation.min() > 0.98


@pytest.mark.parametrize("shape", [(64, 64), (61, 47), (3, 9), (1, 2)])
@pytest.mark.parametrize("sigma", [0.0, 0.4, 1.3])
def test_a_pyramid_is_blurred_and_averaged(shape, sigma):
    from UltrasoundMotionLib.tracking.matching.image_pyramid import build_pyramid

    def blurred(image, deviation):
        radius = max(1, int(2.5 * deviation + 0.5))
        return ndimage.gaussian_filter(image, deviation, mode="nearest", radius=radius)

    image = np.random.default_rng(0).uniform(0, 255, shape).astype(np.float32)
    pyramid = build_pyramid(image, 3, sigma)
    expected = blurred(image.astype(np.float64), sigma) if sigma else image.astype(np.float64)
    for level in pyramid.levels:
        np.testing.assert_allclose(level, expected, atol=1e-3)
        assert level.flags.c_contiguous
        small = np.pad(blurred(expected, 0.8), [(0, size % 2) for size in expected.shape], mode="edge")
        expected = small.reshape(small.shape[0] // 2, 2, small.shape[1] // 2, 2).mean(axis=(1, 3))


def test_patches_beyond_the_border_continue_it():
    from UltrasoundMotionLib.tracking.matching.image_pyramid import PatchSampler

    image = np.random.default_rng(0).uniform(0, 255, (31, 40)).astype(np.float32)
    centres = np.array([[20.25, 15.75], [0.5, 30.0], [-3.2, 7.1], [44.9, -8.4], [39.0, 0.0], [-60.0, 99.5]])
    patches = PatchSampler(6).sample(image, centres)
    y, x = np.mgrid[-6:7, -6:7]
    for patch, (cx, cy) in zip(patches, centres, strict=True):
        expected = ndimage.map_coordinates(image.astype(np.float64), [y + cy, x + cx], order=1, mode="nearest")
        np.testing.assert_allclose(patch, expected, atol=1e-3)
