"""Measures of tracks against examples worked out by hand and loops, and `evaluate tracks`."""

import json
from dataclasses import replace

import numpy as np
import pytest

from track_samples import make_tracks, run_verb
from UltrasoundMotionLib.cli import evaluate
from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.evaluation import (
    compare_tracks,
    forward_backward_error,
    measure_tracks,
    points_lost,
    report_tracks,
)
from UltrasoundMotionLib.images.image_sequence import ImageSequence
from UltrasoundMotionLib.lab.benchmarks.trackers import same_points
from UltrasoundMotionLib.text_table import markdown_table, text_table
from UltrasoundMotionLib.tracking import (
    write_clust_tracks,
    write_tracks_csv,
)


def off_by(errors_px):
    """Truth at rest at (10, 20), and tracks that are off along x by the given (T, N) pixels."""
    errors_px = np.asarray(errors_px, dtype=float)
    truth = np.broadcast_to([10.0, 20.0], (*errors_px.shape, 2)).copy()
    tracks = truth.copy()
    tracks[..., 0] += errors_px
    return make_tracks(tracks), make_tracks(truth)


def test_measures_of_an_example_worked_out_by_hand():
    # Point a is off by 0.5, 1, 3; point b by 6, 20, 1.5; frame 0 is the query frame and does not count.
    tracks, truth = off_by([[0, 0], [0.5, 6], [1, 20], [3, 1.5]])
    measures = measure_tracks(compare_tracks(tracks, truth))
    # Under 1 px: only 0.5, because an error of exactly 1 is not under it. Under 2: 0.5, 1, 1.5. Under 4: and 3. Under
    # 8: and 6. 20 never.
    assert measures.position_accuracy == pytest.approx((1 / 6, 3 / 6, 4 / 6, 5 / 6, 5 / 6))
    assert measures.delta_avg == pytest.approx(18 / 30)
    assert measures.median_trajectory_error_px == pytest.approx((1 + 6) / 2)
    assert measures.median_error_px == pytest.approx((1.5 + 3) / 2)
    error = measures.tracking_error
    assert (error.unit, error.min, error.max) == ("px", 0.5, 20)
    assert error.mean == pytest.approx(32 / 6)
    assert error.std == pytest.approx(np.sqrt((0.25 + 1 + 9 + 36 + 400 + 2.25) / 6 - (32 / 6) ** 2))
    assert error.percentile_95 == pytest.approx(6 + 0.75 * 14)  # rank 0.95 * 5 = 4.75 between 6 and 20
    assert (measures.point_count, measures.annotation_count, measures.lost_count) == (2, 6, 0)
    assert measures.occlusion_accuracy is None
    assert measures.average_jaccard is None


def test_errors_in_mm_take_each_axis_by_its_spacing_and_no_tracking_error_is_the_motion():
    truth = make_tracks([[[0, 0]], [[3, 4]]], spacing_mm=(2.0, 0.5))
    tracks = make_tracks([[[0, 0]], [[2, 2]]])
    errors = compare_tracks(tracks, truth)
    assert errors.error_px[1, 0] == pytest.approx(np.hypot(1, 2))
    assert errors.error_mm[1, 0] == pytest.approx(np.hypot(2, 1))
    assert errors.no_tracking_px[1, 0] == pytest.approx(5)
    assert errors.no_tracking_mm[1, 0] == pytest.approx(np.hypot(6, 2))
    measures = measure_tracks(errors)
    assert measures.tracking_error.unit == "mm"
    assert measures.no_tracking_error.mean == pytest.approx(np.hypot(6, 2))
    assert np.isnan(errors.error_px[0, 0]), "the query frame does not count"


def test_rescaling_to_256_scales_each_axis_and_leaves_mm_alone():
    tracks, truth = off_by([[0], [4]])
    errors = compare_tracks(tracks, truth, rescale_from=(512, 256), spacing_mm=(0.5, 0.5))
    assert errors.error_px[1, 0] == pytest.approx(2)
    assert errors.error_mm[1, 0] == pytest.approx(2)


def tapvid_reference(predicted, predicted_visible, truth, truth_visible):
    """TAP-Vid's measures, one annotation after the other, as its paper words them (arrays (T, N), without the query
    frame).
    """
    agree = total = 0
    within, jaccard = [], []
    for threshold in (1, 2, 4, 8, 16):
        hits = seen = true_positive = false_positive = 0
        for t, n in np.ndindex(truth_visible.shape):
            near = np.hypot(*(predicted[t, n] - truth[t, n])) < threshold
            seen += truth_visible[t, n]
            hits += truth_visible[t, n] and near
            true_positive += truth_visible[t, n] and near and predicted_visible[t, n]
            false_positive += predicted_visible[t, n] and not (truth_visible[t, n] and near)
            if threshold == 1:
                total += 1
                agree += predicted_visible[t, n] == truth_visible[t, n]
        within.append(hits / seen)
        jaccard.append(true_positive / (seen + false_positive))
    return np.array(within), np.mean(jaccard), agree / total


def test_measures_with_hidden_points_agree_with_tapvid_written_out_as_loops():
    generator = np.random.default_rng(3)
    truth = generator.uniform(0, 200, (12, 7, 2))
    predicted = truth + generator.normal(0, 5, truth.shape)
    truth_visible, predicted_visible = generator.random((12, 7)) < 0.7, generator.random((12, 7)) < 0.6
    query_frame = 4
    measures = measure_tracks(
        compare_tracks(
            make_tracks(predicted, predicted_visible, query_frame=query_frame), make_tracks(truth, truth_visible)
        )
    )
    kept = np.arange(12) != query_frame
    within, jaccard, agreement = tapvid_reference(
        predicted[kept], predicted_visible[kept], truth[kept], truth_visible[kept]
    )
    assert measures.position_accuracy == pytest.approx(within)
    assert measures.delta_avg == pytest.approx(within.mean())
    assert measures.average_jaccard == pytest.approx(jaccard)
    assert measures.occlusion_accuracy == pytest.approx(agreement)


def test_sparse_truth_counts_only_where_it_is_and_labels_are_matched_by_name():
    tracks, truth = off_by([[0, 0], [1, 2], [3, 4], [5, 6]])
    positions = truth.positions_px.copy()
    positions[[1, 3], 0] = np.nan
    positions[2:, 1] = np.nan
    sparse = make_tracks(positions[:3])
    swapped = replace(
        sparse, positions_px=sparse.positions_px[:, ::-1], visible=sparse.visible[:, ::-1], labels=("b", "a")
    )
    for reordered in (sparse, swapped):
        errors = compare_tracks(tracks, reordered)
        assert sorted(errors.error_px[errors.counted]) == pytest.approx([2, 3])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda tracks, truth: (tracks, replace(truth, labels=("a", "tip"))), "no point named tip; they have a, b"),
        (
            lambda tracks, truth: (make_tracks(tracks.positions_px[:2]), truth),
            "truth of point a has frame 2, the tracks end at frame 1",
        ),
        (
            lambda tracks, truth: (
                make_tracks(np.where(np.arange(3)[:, None, None] == 2, np.nan, tracks.positions_px)),
                truth,
            ),
            "frame 2 of point a",
        ),
        (lambda tracks, truth: (tracks, make_tracks(truth.positions_px[:1])), "no position besides the query frame 0"),
        (lambda tracks, truth: (replace(tracks, spacing_mm=(1, 1)), replace(truth, spacing_mm=(0.3, 0.3))), "spacing"),
    ],
)
def test_what_does_not_fit_is_named(change, words):
    tracks, truth = change(*off_by([[0, 0], [1, 2], [3, 4]]))
    with pytest.raises(InputError, match=words) as caught:
        compare_tracks(tracks, truth, name="clip 7")
    assert "clip 7" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_lost_for_good_looks_at_the_last_tenth_only():
    errors = np.zeros((20, 4))
    errors[:18, 0] = 50  # found again
    errors[18:, 1] = 50  # lost in the end
    errors[19, 2] = 50  # one bad frame of the last two
    errors[10:, 3] = 50  # lost; annotated only until frame 12
    tracks, truth = off_by(errors)
    positions = truth.positions_px.copy()
    positions[13:, 3] = np.nan
    compared = compare_tracks(tracks, make_tracks(positions))
    assert points_lost(compared).tolist() == [False, True, False, True]
    assert not points_lost(compared, threshold_px=60).any()


def test_pool_weighs_positions_and_spread_weighs_sequences():
    long = compare_tracks(*off_by([[0]] + [[1]] * 9), name="long", frames_per_second=10.0)
    short = compare_tracks(*off_by([[0], [11]]), name="short", frames_per_second=40.0)
    report = report_tracks([long, short])
    assert report.pooled.tracking_error.mean == pytest.approx((9 * 1 + 11) / 10)
    spread = report.spread["tracking_error_mean"]
    assert (spread.mean, spread.min, spread.max) == (6, 1, 11)
    assert spread.std == pytest.approx(np.sqrt(50))
    assert report.pooled.frames_per_second == pytest.approx(12 / (10 / 10 + 2 / 40))
    content = json.loads(json.dumps(report.as_dict()))
    assert content["pooled"]["tracking_error_mean"] == pytest.approx(2)
    assert [one["name"] for one in content["sequences"]] == ["long", "short"]
    assert report.table().splitlines()[2].startswith("long")
    with pytest.raises(InputError, match="some have none"):
        report_tracks([long, compare_tracks(*off_by([[0], [1]]), spacing_mm=(1, 1))])


def test_tables_line_up():
    lines = text_table(["name", "x"], [["a", "1.5"], ["longer", "-"]]).splitlines()
    assert lines == ["name      x", "------  ---", "a       1.5", "longer    -"]
    lines = markdown_table(["name", "x"], [["a|b", "1"]]).splitlines()
    assert lines == ["| name |   x |", "| ---- | --: |", "| a\\|b |   1 |"]


def test_forward_backward_error_is_twice_a_constant_drift_and_nan_outside_the_image():
    sequence = ImageSequence(np.zeros((5, 40, 50), np.uint8), spacing_mm=(0.5, 0.5))

    def drifting(sequence, points, query_frame):
        steps = np.abs(np.arange(len(sequence)) - query_frame)[:, None, None]
        return same_points(points[None] + steps * np.array([2.0, 0.0]), query_frame=query_frame)

    result = forward_backward_error(sequence, np.array([[10.0, 10.0], [45.0, 10.0]]), drifting, query_frame=1)
    assert result.error_px[0] == pytest.approx(2 * 3 * 2)
    assert result.error_mm[0] == pytest.approx(6)
    assert np.isnan(result.error_px[1])
    assert result.left_image_count == 1
    assert result.median_px == pytest.approx(12)


def test_evaluate_tracks_pools_pairs_of_files(tmp_path, capsys):
    for name, errors in (("one", [[0, 0], [0.5, 6], [1, 20]]), ("two", [[0, 0], [3, 3], [3, 3]])):
        tracks, truth = off_by(errors)
        write_tracks_csv(tmp_path / f"{name}.csv", tracks)
        write_tracks_csv(tmp_path / f"{name}_truth.csv", truth)
    files = [
        tmp_path / "one.csv",
        tmp_path / "two.csv",
        "--truth",
        tmp_path / "one_truth.csv",
        tmp_path / "two_truth.csv",
    ]
    assert run_verb(evaluate, "tracks", *files, "--spacing-mm", 0.5, 0.5, "--json", tmp_path / "r.json") == 0
    report = json.loads((tmp_path / "r.json").read_text())
    assert report["unit"] == "mm"
    assert report["pooled"]["tracking_error_mean"] == pytest.approx(0.5 * (0.5 + 6 + 1 + 20 + 12) / 8)
    assert "pooled" in capsys.readouterr().out
    assert run_verb(evaluate, "tracks", *files, "--markdown") == 0
    assert capsys.readouterr().out.startswith("| sequence")
    with pytest.raises(InputError, match="2 files of tracks but 1 of truth"):
        run_verb(evaluate, "tracks", *files[:4])


def test_evaluate_tracks_takes_clust_annotations(tmp_path, capsys):
    tracks, truth = off_by([[0, 0], [1, 2], [3, 4]])
    write_tracks_csv(tmp_path / "t.csv", tracks)
    folder = tmp_path / "clip" / "Annotation"
    folder.mkdir(parents=True)
    a, b = write_clust_tracks(folder, truth)
    for given in ([tmp_path / "clip"], [a, b]):
        assert run_verb(evaluate, "tracks", tmp_path / "t.csv", "--truth", *given, "--json", tmp_path / "r.json") == 0
        assert json.loads((tmp_path / "r.json").read_text())["pooled"]["tracking_error_mean"] == pytest.approx(2.5)
    (tmp_path / "t.mat").write_bytes(b"MATLAB 5.0 MAT-file")
    with pytest.raises(InputError, match=r"t\.mat: its content is of no format of labels \(tracks, "):
        run_verb(evaluate, "tracks", tmp_path / "t.csv", "--truth", tmp_path / "t.mat")
