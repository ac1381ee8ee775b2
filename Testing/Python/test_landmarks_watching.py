"""What is added to any tracker: shadows, stuck video, prediction, looking ahead; and CLUST's tables.

References are dense or in closed form.
"""

import numpy as np
import pytest
from scipy import ndimage
from scipy.linalg import solveh_banded

from UltrasoundMotionLib.cli.main import main
from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.images import ImageSequence
from UltrasoundMotionLib.images.confidence_map import confidence_map
from UltrasoundMotionLib.tracking import FrameTracks, run_tracker
from UltrasoundMotionLib.tracking.query import PointQuery
from UltrasoundMotionLib.tracking.registry import find_tracker
from UltrasoundMotionLib.tracking.wrappers.ahead_tracker import AheadTracker
from UltrasoundMotionLib.tracking.wrappers.offline_tracks import track_offline
from UltrasoundMotionLib.tracking.wrappers.track_smoothing import smooth_paths
from UltrasoundMotionLib.tracking.wrappers.watched_tracker import WatchedTracker


def test_confidence_map_is_that_of_a_dense_solve():
    image = np.random.default_rng(0).uniform(0, 255, (11, 9))
    grey = (image - image.min()) / np.ptp(image) * np.exp(-2.0 * np.arange(11)[:, None] / 10)
    steps = [(a, b) for a in (-1, 0, 1) for b in (-1, 0, 1) if (a, b) != (0, 0)]
    pairs = [
        ((r, c), (r + a, c + b))
        for r in range(11)
        for c in range(9)
        for a, b in steps
        if 0 <= r + a < 11 and 0 <= c + b < 9
    ]
    largest = max(abs(grey[p] - grey[q]) for p, q in pairs)
    laplacian = np.zeros((99, 99))
    for p, q in pairs:
        across = {0: 0.0, 1: 0.05}[abs(p[1] - q[1])] * (np.sqrt(2) if p[0] != q[0] else 1)
        weight = np.exp(-90 * (abs(grey[p] - grey[q]) / largest + across)) + 1e-5
        laplacian[9 * p[0] + p[1], 9 * q[0] + q[1]] -= weight
        laplacian[9 * p[0] + p[1], 9 * p[0] + p[1]] += weight
    free = slice(9, 90)
    expected = np.linalg.solve(laplacian[free, free], -laplacian[free, :9].sum(axis=1))
    assert np.allclose(confidence_map(image)[1:-1].ravel(), expected, atol=1e-9)


def test_confidence_map_is_low_behind_a_shadow():
    image = 100 + 20 * np.random.default_rng(1).standard_normal((96, 96))
    image[20:, 40:56] *= 0.1
    confidence = confidence_map(image)
    assert np.median(confidence[60, 44:52]) < 0.5 * np.median(confidence[60, :30])


def test_a_confidence_map_is_one_solve_within_a_band_of_one_row(monkeypatch):
    """That band is what makes it quick: the work is the number of pixels times the width squared."""
    bands = []

    def solve(band, right, **options):
        bands.append(band.shape)
        return solveh_banded(band, right, **options)

    monkeypatch.setattr("UltrasoundMotionLib.images.confidence_map.solveh_banded", solve)
    confidence_map(np.random.default_rng(1).uniform(0, 255, (60, 24)))
    assert bands == [(24 + 2, 58 * 24)]  # the diagonal, and up to the neighbour aslant in the next row


def breathing_clip(frame_count=150, size=160, seed=4):
    """Speckle that breathes by (8, 3) pixels with a period of 30 frames under a dark band of 34 columns that passes
    once; and the motion (T, 2).
    """
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).standard_normal((size, size)), 1.5, mode="wrap")
    texture = 110 + 35 * noise / noise.std()
    motion = np.outer(np.sin(2 * np.pi * np.arange(frame_count) / 30), [8.0, 3.0])
    spectrum = np.fft.fft2(texture)
    frames = np.stack([np.fft.ifft2(ndimage.fourier_shift(spectrum, shift[::-1])).real for shift in motion])
    for frame in range(70, frame_count):
        middle = -20 + 4.0 * (frame - 70)
        loss = 1 / (1 + np.exp((np.abs(np.arange(size) - middle) - 17) / 1.0))
        frames[frame, 12:] *= 1 - 0.97 * loss
    frames += 3 * np.random.default_rng(seed + 1).standard_normal(frames.shape)
    return ImageSequence(frames=np.clip(frames, 1, 255).astype(np.uint8)), motion


@pytest.mark.slow
def test_a_landmark_in_shadow_is_reported_predicted_and_taken_up_again():
    sequence, motion = breathing_clip()
    points = np.array([[60.0, 100.0]])
    plain = run_tracker(sequence, lambda: find_tracker("kcf").make("cpu"), points)
    watched = run_tracker(sequence, lambda: WatchedTracker(find_tracker("kcf").make("cpu")), points)
    truth = points + motion[:, None]
    dark = np.abs(truth[:, 0, 0] - (-20 + 4.0 * (np.arange(150) - 70))) < 12
    error = {
        name: np.linalg.norm(tracks.positions_px - truth, axis=2)[:, 0]
        for name, tracks in (("plain", plain), ("watched", watched))
    }
    assert not watched.visible[dark].any() and watched.visible[:80].all() and watched.visible[-20:].all()
    assert error["watched"][dark].max() < 3 and error["watched"][-20:].max() < 0.5
    assert error["watched"][dark].max() < 0.5 * error["plain"][dark].max()


@pytest.mark.parametrize("kind", ["frozen", "black"])
@pytest.mark.slow
def test_stuck_video_is_held_flagged_and_recovered(kind):
    sequence, motion = breathing_clip(60)
    frames = np.array(sequence.frames)
    frames[30:42] = frames[29] if kind == "frozen" else 0
    points = np.array([[60.0, 100.0], [100.0, 80.0]])
    tracks = run_tracker(ImageSequence(frames=frames), lambda: WatchedTracker(find_tracker("kcf").make("cpu")), points)
    assert not tracks.visible[32:42].any() and np.all(tracks.positions_px[30:42] == tracks.positions_px[29])
    assert tracks.visible[44:].all()
    assert np.linalg.norm(tracks.positions_px[44:] - points - motion[44:, None], axis=2).max() < 1


class KnownMotion:
    """A tracker that is told where the points are, and where it fails: errors (T, N) in x, visible (T, N)."""

    def __init__(self, motion, errors=None, visible=None):
        self.motion, self.errors, self.visible = motion, errors, visible

    def start(self, frame, query_points):
        self.index, self.begun = int(frame[0, 0]), query_points
        return self.answer()

    def update(self, frame):
        self.index = int(frame[0, 0])
        return self.answer()

    def answer(self):
        positions = np.array([[50.0, 50.0]]) + self.motion[self.index]
        if self.errors is not None:
            positions = positions + np.array([self.errors[self.index], 0])
        seen = np.array([True if self.visible is None else bool(self.visible[self.index])])
        return FrameTracks(positions, seen.astype(float), seen)


def numbered_frames(count):
    """Frames that tell `KnownMotion` which they are."""
    return ImageSequence(frames=np.tile(np.arange(count, dtype=np.float32)[:, None, None], (1, 100, 100)))


def test_ahead_of_time_knows_the_breath():
    motion = np.outer(np.sin(2 * np.pi * np.arange(151) / 30), [8.0, 3.0])
    tracks = run_tracker(numbered_frames(150), lambda: AheadTracker(KnownMotion(motion), 3), np.array([[50.0, 50.0]]))
    later = 50 + motion[3:150]
    lag = np.linalg.norm(50 + motion[:147] - later, axis=1)
    error = np.linalg.norm(tracks.positions_px[:147, 0] - later, axis=1)
    assert error[70:].max() < 0.05 * lag.max()  # after two breaths
    assert error[10:30].mean() < 0.6 * lag[10:30].mean()  # before, by its velocity


def test_smoother_is_the_least_squares_path():
    rng = np.random.default_rng(3)
    count, acceleration = 12, 0.4
    positions, variances = rng.normal(0, 5, (count, 1, 2)), rng.uniform(0.2, 3, (count, 1))
    variances[4:7] = np.inf
    noise = acceleration**2 * (np.array([[0.25, 0.5], [0.5, 1.0]]) + 1e-9 * np.eye(2))
    rows, right = [], []
    for frame in range(count):
        if np.isfinite(variances[frame, 0]):
            row = np.zeros((1, 2 * count))
            row[0, 2 * frame] = 1
            rows.append(row / np.sqrt(variances[frame, 0]))
            right.append(positions[frame, :1, :] / np.sqrt(variances[frame, 0]))
        if frame:
            row = np.zeros((2, 2 * count))
            row[:, 2 * frame - 2 : 2 * frame] = -np.array([[1.0, 1.0], [0.0, 1.0]])
            row[:, 2 * frame : 2 * frame + 2] = np.eye(2)
            whitening = np.linalg.inv(np.linalg.cholesky(noise))
            rows.append(whitening @ row)
            right.append(np.zeros((2, 2)))
    system = np.concatenate(rows)
    solution = np.linalg.lstsq(system, np.concatenate(right), rcond=None)[0]
    smoothed, variance = smooth_paths(positions, variances, acceleration)
    assert np.allclose(smoothed[:, 0], solution[::2], atol=1e-3)
    assert np.allclose(variance[:, 0], np.diag(np.linalg.inv(system.T @ system))[::2], rtol=1e-3)


def test_offline_takes_each_stretch_from_the_way_that_knows_it():
    motion = np.outer(np.sin(2 * np.pi * np.arange(90) / 30), [8.0, 3.0])
    lost = np.zeros(90)
    lost[40:60] = np.linspace(0, 12, 20)  # there: drifts away while hidden, back again after
    visible = np.ones(90, dtype=bool)
    visible[40:60] = False
    ways = iter((KnownMotion(motion, lost, visible), KnownMotion(motion)))
    steps = []
    progress = lambda done, total, message: steps.append((done, total))  # noqa: E731
    frames = numbered_frames(90)
    query = PointQuery.on(frames, np.array([[50.0, 50.0]]), direction="forward")
    tracks = track_offline(frames, lambda: next(ways), query, progress=progress)
    assert np.linalg.norm(tracks.positions_px[:, 0] - 50 - motion, axis=1).max() < 0.5
    assert tracks.visible.all() and steps[-1] == (180, 180)


def clust_sequence(folder, annotations):
    from PIL import Image

    clip, _ = breathing_clip(50)
    (folder / "Data").mkdir(parents=True)
    (folder / "Annotation").mkdir()
    for index in range(50):
        Image.fromarray(clip.frames[index]).save(folder / "Data" / f"{index + 1:05d}.png")
    (folder / "Annotation" / f"{folder.name}_1.txt").write_text(annotations)


@pytest.mark.slow
def test_clust_from_images_to_the_table(tmp_path, capsys):
    folder, results = tmp_path / "ETH-01-1", tmp_path / "results"
    motion = np.outer(np.sin(2 * np.pi * np.arange(50) / 30), [8.0, 3.0])
    frames = np.arange(0, 50, 7)
    clust_sequence(
        folder, "".join(f"{frame + 1} {60 + motion[frame, 0]:.3f} {100 + motion[frame, 1]:.3f}\n" for frame in frames)
    )
    arguments = ["evaluate", "clust", str(folder), "--results", str(results), "--spacing-mm", "0.5", "0.5"]
    assert main([*arguments, "--model", "kcf", "--watch-shadows", "--device", "cpu", "--quiet"]) == 0
    lines = (results / "ETH-01-1_1.txt").read_text().splitlines()
    assert len(lines) == 50 and lines[0] == "1 60.000 100.000"
    found = np.array([[float(word) for word in line.split()[1:]] for line in lines])[frames[1:]]
    error = 0.5 * np.linalg.norm(found - [60, 100] - motion[frames[1:]], axis=1)
    still = 0.5 * np.linalg.norm(motion[frames[1:]], axis=1)
    pooled = capsys.readouterr().out.splitlines()[-1].split()
    expected = [part for e in (error, still) for part in (e.mean(), e.std(), np.percentile(e, 95), e.min(), e.max())]
    assert pooled[:2] == ["pooled", "7"] and np.allclose([float(word) for word in pooled[2:]], expected, atol=0.0051)
    assert error.mean() < 0.1


@pytest.mark.parametrize(
    ("annotations", "said"),
    [
        ("1 60 100\n9 60 100\n5 60 100\n", "line 3: frame 5 comes after frame 9"),
        ("1 60 100\n51 60 100\n", "frame 51 is annotated"),
    ],
)
def test_clust_refuses_by_name(tmp_path, capsys, annotations, said):
    folder = tmp_path / "MED1-02"
    clust_sequence(folder, annotations)
    assert (
        main(["evaluate", "clust", str(folder), "--results", str(tmp_path / "out"), "--model", "kcf", "--quiet"]) == 2
    )
    error = capsys.readouterr().err
    assert said in error and "MED1-02_1.txt" in error and error.count("\n") == 1 and not (tmp_path / "out").exists()


def test_a_frame_of_another_size_and_a_landmark_at_the_border():
    sequence, _ = breathing_clip(4)
    tracker = WatchedTracker(find_tracker("kcf").make("cpu"))
    tracker.start(sequence.frame(0), np.array([[159.0, 80.0], [80.0, 80.0]]))
    assert tracker.update(sequence.frame(1)).visible.tolist() == [False, True]
    with pytest.raises(InputError, match="the frame is 90 x 70 pixels, the first one was 160 x 160"):
        tracker.update(np.zeros((70, 90), dtype=np.float32))
