"""Corrections of several frames at once: their checks, the fusion between them, files, the job and the command."""

from dataclasses import replace

import numpy as np
import pytest

from landmark_bench import QUERY_PX, swaying_clip, truth_px
from UltrasoundMotionLib.cli.main import main
from UltrasoundMotionLib.errors import Cancelled, InputError, OptionError
from UltrasoundMotionLib.images import read_sequence, write_sequence
from UltrasoundMotionLib.images.filled_frames import FilledFrames
from UltrasoundMotionLib.jobs import run_job, track_corrected_job
from UltrasoundMotionLib.lab.benchmarks.corrections import benchmark_corrections
from UltrasoundMotionLib.lab.phantom_cases import BenchmarkCase, thin_points
from UltrasoundMotionLib.simulation import phantom_set
from UltrasoundMotionLib.tracking import (
    Correction,
    TrackRequest,
    available_trackers,
    read_corrections_csv,
    read_tracks_csv,
    track_corrected,
    track_points,
    write_corrections_csv,
)
from UltrasoundMotionLib.tracking.corrections.corrections import CorrectedFrames
from UltrasoundMotionLib.tracking.corrections.doubt import most_doubtful
from UltrasoundMotionLib.tracking.corrections.fusion import FusionConfig, Pass, fuse_passes
from UltrasoundMotionLib.tracking.point_tracks import PointTracks

LABELS = ("P1", "P2", "P3")
LAST = 15


@pytest.fixture(scope="module")
def clip():
    return swaying_clip(LAST + 1)


def placed(*frames, labels=LABELS, moved=(0.0, 0.0)):
    """The true positions of some points on some frames, as corrections."""
    truth = truth_px(LAST + 1)
    columns = [LABELS.index(label) for label in labels]
    return [
        Correction(frame, LABELS[column], tuple(truth[frame, column] + moved)) for frame in frames for column in columns
    ]


def test_corrected_frames_are_kept_exactly_and_the_ends_are_plain_tracks(clip):
    shift = np.array([3.0, -2.0])
    found = track_corrected(clip, placed(4, 11, moved=shift), device="cpu")
    truth = truth_px(LAST + 1)
    np.testing.assert_array_equal(found.tracks.positions_px[[4, 11]], truth[[4, 11]] + shift)
    assert found.corrected.sum() == 6 and found.corrected[[4, 11]].all()
    assert (found.tracks.confidence[[4, 11]] == 1).all() and found.tracks.query_frame == 4
    before = track_points(clip, truth[4] + shift, query_frame=4, direction="backward", device="cpu")
    after = track_points(clip, truth[11] + shift, query_frame=11, direction="forward", device="cpu")
    np.testing.assert_allclose(found.tracks.positions_px[:4], before.positions_px[:4], atol=1e-9)
    np.testing.assert_allclose(found.tracks.positions_px[12:], after.positions_px[12:], atol=1e-9)
    assert np.isnan(found.disagreement_px[:4]).all() and np.isfinite(found.disagreement_px[4:12]).all()
    np.testing.assert_allclose(found.tracks.positions_px, truth + shift, atol=0.5)


def test_each_point_has_frames_of_its_own(clip):
    corrections = [*placed(0), *placed(6, labels=("P2",), moved=(5, 0)), *placed(LAST, labels=("P3",))]
    found = track_corrected(clip, corrections, labels=LABELS, device="cpu")
    plain = track_points(clip, QUERY_PX, labels=LABELS, device="cpu")
    np.testing.assert_allclose(found.tracks.positions_px[:, 0], plain.positions_px[:, 0], atol=1e-9)
    np.testing.assert_allclose(found.tracks.positions_px[6:, 1], truth_px(LAST + 1)[6:, 1] + [5, 0], atol=0.5)
    np.testing.assert_array_equal(found.tracks.positions_px[LAST, 2], truth_px(LAST + 1)[LAST, 2])
    assert found.tracks.labels == LABELS


def test_the_fusion_is_that_of_the_formula():
    """Two points of five frames between two corrections, with the weights computed by hand."""
    positions = np.full((5, 1, 2), np.nan)
    positions[0], positions[4] = [10, 20], [14, 20]
    lost = np.zeros((5, 1), dtype=bool)
    lost[2] = True
    frames = CorrectedFrames(("A",), positions, lost)
    there = Pass(
        np.array([[10, 20], [11, 20], [12, 21], [13, 21], [16, 20]], dtype=float)[:, None],
        np.array([1.0, 0.8, 0.5, 0.5, 0.5])[:, None],
        np.ones((5, 1), dtype=bool),
    )
    back = Pass(
        np.array([[10, 21], [11, 21], [12, 20], [13, 20], [14, 20]], dtype=float)[:, None],
        np.array([0.5, 0.5, 0.8, 0.9, 1.0])[:, None],
        np.array([True, True, True, False, True])[:, None],
    )
    fused = fuse_passes(frames, there, back, 2.0, FusionConfig())
    drift, measured, hidden = 0.01, 0.25, 1.0  # squared
    steps = [drift + measured * 0.25, drift + measured + hidden, drift + measured, drift + measured]
    forward = 4 * np.cumsum([0, *steps])
    steps = [drift + measured * (1 / 0.9 - 1) + hidden, drift + measured * 0.25 + hidden, drift + measured]
    backward = 4 * np.cumsum([0, *steps, drift + measured])[::-1]
    forward *= 1 + 2.0**2 / (2 * forward[-1])  # arrives 2 px beside the correction
    backward *= 1 + 1.0**2 / (2 * backward[0])
    for frame in (1, 2, 3):
        weights = np.array([1 / forward[frame], 1 / backward[frame]])
        expected = weights @ np.stack([there.positions_px[frame, 0], back.positions_px[frame, 0]]) / weights.sum()
        np.testing.assert_allclose(fused.positions_px[frame, 0], expected)
    np.testing.assert_array_equal(fused.positions_px[[0, 4]], positions[[0, 4]])
    assert not fused.visible[2, 0] and fused.confidence[2, 0] == 0
    np.testing.assert_allclose(fused.disagreement_px[:, 0], [1, 1, 1, 1, 2])


def test_inverse_variance_weights_are_the_least_squares_of_two_random_walks():
    """The weights against a general solver: the most likely truth, given two walks that start at its two ends."""
    rng = np.random.default_rng(3)
    count = 9
    truth = np.cumsum(rng.normal(size=(count, 2)), axis=0)
    positions = np.full((count, 1, 2), np.nan)
    positions[0], positions[-1] = truth[0], truth[-1]
    ones, seen = np.ones((count, 1)), np.ones((count, 1), dtype=bool)
    there = Pass((truth + np.cumsum(rng.normal(size=truth.shape) * 0.3, axis=0))[:, None], ones, seen)
    back = Pass((truth + np.cumsum(rng.normal(size=truth.shape) * 0.3, axis=0)[::-1])[:, None], ones, seen)
    there.positions_px[0], back.positions_px[-1] = truth[0], truth[-1]
    there.positions_px[-1], back.positions_px[0] = truth[-1], truth[0]  # both close: no scaling
    fused = fuse_passes(CorrectedFrames(("A",), positions, ~seen), there, back, 1.0, FusionConfig())
    walk = np.minimum.outer(np.arange(1, count), np.arange(1, count)) * 0.01  # covariance of a walk of the config's
    for frame in range(1, count - 1):
        both = np.diag([walk[frame - 1, frame - 1], walk[count - 2 - frame, count - 2 - frame]])
        design = np.ones((2, 1))
        solver = np.linalg.inv(design.T @ np.linalg.inv(both) @ design) @ design.T @ np.linalg.inv(both)
        expected = solver @ np.stack([there.positions_px[frame, 0], back.positions_px[frame, 0]])
        np.testing.assert_allclose(fused.positions_px[frame, 0], expected[0])


def test_a_point_is_lost_where_the_user_says_so(clip):
    lost = [Correction(frame, "P1") for frame in (5, 6, 7)]
    found = track_corrected(clip, [*placed(0, LAST), *lost], labels=LABELS, device="cpu")
    assert not found.tracks.visible[5:8, 0].any() and (found.tracks.confidence[5:8, 0] == 0).all()
    assert found.tracks.visible[[4, 8], 0].all() and found.tracks.visible[5:8, 1].all()
    assert np.isfinite(found.tracks.positions_px).all()  # a guess stays
    assert found.lost[5:8, 0].all() and found.lost.sum() == 3


def test_frames_behind_a_lost_mark_are_left_to_the_other_track(clip):
    """A forward track that went astray while its point was lost counts little behind it."""
    positions = np.full((9, 1, 2), np.nan)
    positions[0] = positions[8] = [50, 50]
    there = Pass(np.full((9, 1, 2), 50.0), np.ones((9, 1)), np.ones((9, 1), dtype=bool))
    back = Pass(np.full((9, 1, 2), 50.0), np.ones((9, 1)), np.ones((9, 1), dtype=bool))
    there.positions_px[3:] = [60, 50]
    none, marked = np.zeros((9, 1), dtype=bool), np.zeros((9, 1), dtype=bool)
    marked[2:4] = True
    config = FusionConfig()
    plain = fuse_passes(CorrectedFrames(("A",), positions, none), there, back, 1.0, config)
    told = fuse_passes(CorrectedFrames(("A",), positions, marked), there, back, 1.0, config)
    assert abs(told.positions_px[4, 0, 0] - 50) < abs(plain.positions_px[4, 0, 0] - 50)


@pytest.mark.parametrize("name", [entry.name for entry in available_trackers()])
@pytest.mark.slow
def test_every_tracker_goes_through_corrections(name):
    short = swaying_clip(5, whole_pixels=True)
    truth = truth_px(5)
    corrections = [Correction(frame, "A", tuple(truth[frame, 0])) for frame in (1, 3)]
    found = track_corrected(short, corrections, model=name, device="cpu")
    np.testing.assert_array_equal(found.tracks.positions_px[[1, 3], 0], truth[[1, 3], 0])
    assert np.isfinite(found.tracks.positions_px).all() and found.tracks.model == name


@pytest.mark.parametrize(
    ("corrections", "message"),
    [
        ([*placed(0), Correction(3, "P9", (5, 5))], "corrections: no point is called 'P9'; there are P1, P2, P3"),
        (
            [*placed(0), Correction(16, "P1", (5, 5))],
            "corrections: P1 on frame 16, which does not exist; there are 16 (0 to 15)",
        ),
        (
            [*placed(0), Correction(3, "P1", (500, 5))],
            "corrections: P1 on frame 3 at (500, 5) lies outside the image of 140 x 120 pixels",
        ),
        ([*placed(0), Correction(0, "P2", (5, 5))], "corrections: P2 is corrected twice on frame 0"),
        ([*placed(0), Correction(0, "P2")], "corrections: P2 is corrected twice on frame 0"),
        (placed(0, labels=("P1", "P2")), "corrections: P3 is placed on no frame; place it on at least one"),
        (
            [*placed(0), Correction(3, "P1", (float("nan"), 5))],
            "corrections: P1 on frame 3 at (nan, 5) lies outside the image of 140 x 120 pixels",
        ),
    ],
)
def test_bad_corrections_are_refused_in_one_line(clip, corrections, message):
    with pytest.raises(InputError) as refused:
        track_corrected(clip, corrections, labels=LABELS)
    assert str(refused.value) == message


@pytest.mark.parametrize(
    "option", [{"offline": True}, {"direction": "forward"}, {"query_frame": "auto"}, {"ahead_frames": 3}]
)
def test_options_that_corrections_exclude_are_refused(clip, option):
    with pytest.raises(OptionError, match=next(iter(option))):
        track_corrected(clip, placed(0, LAST), **option)


def test_progress_counts_every_frame_of_every_run_and_stops(clip):
    seen = []
    track_corrected(clip, placed(4, 11), device="cpu", progress=lambda *call: seen.append(call[:2]))
    assert seen == [(done, 26) for done in range(1, 27)]  # 12 + 5 forwards and 5 + 12 backwards would be 34
    with pytest.raises(Cancelled):
        track_corrected(clip, placed(4, 11), device="cpu", progress=_cancel_after(3))


def _cancel_after(count):
    def progress(done, total, message):
        if done >= count:
            raise Cancelled("enough")

    return progress


def test_the_job_gives_the_same_result(clip, kept_process):
    corrections = [*placed(2, 12), Correction(6, "P2")]
    expected = track_corrected(clip, corrections, labels=LABELS, device="cpu")
    job = track_corrected_job(clip, corrections, labels=LABELS, device="cpu")
    found = run_job(job, kept_process)
    for name in ("positions_px", "confidence", "visible"):
        np.testing.assert_array_equal(getattr(found.tracks, name), getattr(expected.tracks, name))
    np.testing.assert_array_equal(found.disagreement_px, expected.disagreement_px)
    np.testing.assert_array_equal(found.lost, expected.lost)
    assert found.tracks.labels == LABELS and found.tracks.query_frame == expected.tracks.query_frame
    with pytest.raises(Cancelled):
        run_job(job, kept_process, progress=_cancel_after(1))


def test_a_table_of_corrections_reads_back(tmp_path):
    corrections = (Correction(0, "A", (1.25, 2.5)), Correction(3, "A"), Correction(3, "b, c", (4.0, 5.123457)))
    write_corrections_csv(tmp_path / "c.csv", corrections)
    assert (tmp_path / "c.csv").read_text().splitlines()[:3] == ["frame,label,x,y", "0,A,1.25,2.5", "3,A,,"]
    assert read_corrections_csv(tmp_path / "c.csv") == corrections


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0,A,1,2\n0,A,3,4\n", "line 3: A is corrected twice on frame 0"),
        ("0,A,1,\n", "line 2: x and y must both be given, or neither for a point that is lost"),
        ("-1,A,1,2\n", "line 2: frame must be a whole number from 0, got '-1'"),
        ("0,,1,2\n", "line 2: the label is empty"),
        ("0,A,one,2\n", "line 2: x must be a number of pixels, got 'one'"),
        ("", "holds no correction, only the column names"),
    ],
)
def test_a_bad_table_is_refused_by_line_and_value(tmp_path, text, message):
    path = tmp_path / "c.csv"
    path.write_text("frame,label,x,y\n" + text)
    with pytest.raises(InputError) as refused:
        read_corrections_csv(path)
    assert str(refused.value) == f"{path}: {message}"


def test_the_command_takes_corrections(clip, tmp_path, capsys):
    write_sequence(tmp_path / "clip.seq.nrrd", clip)
    rows = "".join(f"{label},{x},{y}\n" for label, (x, y) in zip(LABELS, QUERY_PX, strict=True))
    (tmp_path / "points.csv").write_text("label,x,y\n" + rows)
    write_corrections_csv(tmp_path / "c.csv", [*placed(10, moved=(2, 0)), Correction(5, "P2")])
    words = ["track", tmp_path / "clip.seq.nrrd", "--points", tmp_path / "points.csv", "--device", "cpu"]
    words = [*map(str, words), "--corrections", str(tmp_path / "c.csv"), "--out", str(tmp_path / "t.csv")]
    assert main([*words, "--quiet"]) == 0
    tracks = read_tracks_csv(tmp_path / "t.csv")
    np.testing.assert_allclose(tracks.positions_px[0], QUERY_PX, atol=1e-6)
    np.testing.assert_allclose(tracks.positions_px[10], truth_px(LAST + 1)[10] + [2, 0], atol=1e-6)
    assert not tracks.visible[5, 1]
    capsys.readouterr()
    assert main([*words, "--offline"]) == 2
    assert "--offline: with --corrections: corrections are followed both ways" in capsys.readouterr().err
    write_corrections_csv(tmp_path / "c.csv", placed(0))
    assert main(words) == 2
    assert "c.csv: P1 on frame 0: --points places it there; leave one of them out" in capsys.readouterr().err
    write_corrections_csv(tmp_path / "c.csv", [Correction(3, "X", (1, 1))])
    assert main(words) == 2
    assert "c.csv: no point is called 'X'; there are P1, P2, P3" in capsys.readouterr().err


def test_the_most_doubtful_frame_is_one_that_no_user_has_settled():
    confidence = np.array([[1, 1], [0.9, 0.5], [0.4, 0.95], [0.8, 0.97]])
    tracks = PointTracks(np.zeros((4, 2, 2)), confidence, np.ones((4, 2), dtype=bool), ("A", "B"), 0)
    settled = np.zeros((4, 2), dtype=bool)
    found = most_doubtful(tracks, settled)
    assert (found.frame, found.label, found.confidence) == (2, "A", 0.4) and np.isnan(found.disagreement_px)
    settled[2, 0] = True
    assert most_doubtful(tracks, settled).frame == 1
    assert most_doubtful(tracks, settled, label="A").frame == 3
    apart = np.full((4, 2), np.nan)
    apart[3, 1] = 9.0  # sure of itself, but the two ways end far apart
    found = most_doubtful(tracks, settled, apart)
    assert (found.frame, found.label, found.disagreement_px) == (3, "B", 9.0)
    settled[:] = True
    assert most_doubtful(tracks, settled) is None
    with pytest.raises(InputError, match="no point is called 'C'"):
        most_doubtful(tracks, settled, label="C")


@pytest.mark.parametrize("relative", ["liver-free-breathing/frames", "echo-video/input.mp4"])
@pytest.mark.slow
def test_on_a_real_clip_a_correction_pulls_the_track_from_both_sides(shared_data, relative):
    """No truth is known here: a correction 5 px beside the track must be met, and its pull must fade to the next."""
    clip = read_sequence(shared_data(relative))
    clip = replace(clip, frames=np.stack([clip.frames[frame] for frame in range(17)]), times_s=None, frame_fields={})
    middle = np.array(clip.frame_size) / 2
    points = middle + np.array([[-30.0, -20.0], [10.0, 15.0]])
    plain = track_points(clip, points, device="cpu")
    beside = plain.positions_px[8] + [5.0, 0.0]
    corrections = [
        *(Correction(0, label, tuple(point)) for label, point in zip("AB", points, strict=True)),
        *(Correction(8, label, tuple(point)) for label, point in zip("AB", beside, strict=True)),
        *(Correction(16, label, tuple(point)) for label, point in zip("AB", plain.positions_px[16], strict=True)),
    ]
    found = track_corrected(clip, corrections, device="cpu")
    np.testing.assert_array_equal(found.tracks.positions_px[8], beside)
    away = np.linalg.norm(found.tracks.positions_px - plain.positions_px, axis=2).mean(axis=1)
    assert away[[1, 15]].max() < away[[7, 9]].min() and away[[1, 15]].max() < 1 and away[8] == pytest.approx(5)
    assert found.disagreement_px[[4, 12]].min() > 1  # the two ways differ, and say so


@pytest.mark.slow
def test_fused_tracks_beat_following_forwards_and_straight_lines():
    """The benchmark on small phantoms, of seeds that nothing was tuned on: paired intervals exclude zero."""
    cases = []
    for kind in ("heart", "liver"):
        for phantom in phantom_set(kind, "hard", 3, seed=9231, frame_count=25, image_size=(128, 128)):
            simulated = phantom.simulate()
            truth = thin_points(simulated.truth_from(0), 6)
            cases.append(BenchmarkCase(kind, "hard", phantom.name, simulated.sequence, truth))
    found = benchmark_corrections(cases, counts=(2, 3), request=TrackRequest(device="cpu"))
    by_name = {(row.corrected, row.method): row for row in found.rows}
    for count in (2, 3):
        for method in ("forward", "straight lines"):
            difference = found.difference(by_name[count, method])
            assert difference.count == 6 and difference.low > 0, (count, method, difference)
    assert "95 % interval" in found.table()
    with pytest.raises(InputError, match="corrected frames must be at least 2"):
        benchmark_corrections(cases, counts=(1,))


def test_a_point_on_pixels_that_were_filled_is_not_visible_but_where_the_user_saw_it(clip):
    truth = truth_px(LAST + 1)
    mask = np.zeros(clip.frames.shape[1:], dtype=bool)
    x, y = np.rint(truth[8, 0]).astype(int)
    mask[y - 1 : y + 2, x - 1 : x + 2] = True
    filled = replace(clip, frames=FilledFrames(clip.frames, mask))
    request = TrackRequest(device="cpu", hide_graphics=False)
    found = track_corrected(filled, placed(0, LAST), labels=LABELS, request=request)
    assert not found.tracks.visible[8, 0] and found.tracks.confidence[8, 0] == 0
    assert found.tracks.visible[[0, LAST]].all() and found.tracks.visible[8, 1:].all()
    found = track_corrected(filled, placed(0, 8, LAST), labels=LABELS, request=request)
    assert found.tracks.visible[8, 0] and found.tracks.confidence[8, 0] == 1
