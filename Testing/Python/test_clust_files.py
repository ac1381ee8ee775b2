"""CLUST's annotation files: positions, frames and labels, and what is refused."""

import numpy as np
import pytest

from track_samples import make_tracks
from UltrasoundMotionLib.errors import InputError, OutputError
from UltrasoundMotionLib.tracking import (
    read_clust_annotation,
    read_clust_tracks,
    write_clust_tracks,
)


def test_clust_files_keep_positions_frames_and_labels(tmp_path):
    positions = np.random.default_rng(0).uniform(0, 500, (30, 2, 2)).round(3)
    positions[5:20, 1] = np.nan
    written = write_clust_tracks(tmp_path, make_tracks(positions, labels=("ETH-01-1_1", "ETH-01-1_2")))
    assert [path.name for path in written] == ["ETH-01-1_1.txt", "ETH-01-1_2.txt"]
    assert written[0].read_text().splitlines()[0] == f"1 {positions[0, 0, 0]:.3f} {positions[0, 0, 1]:.3f}"
    back = read_clust_tracks(tmp_path, frame_count=32)
    assert back.labels == ("ETH-01-1_1", "ETH-01-1_2")
    assert np.allclose(back.positions_px[:30], positions, atol=1e-9, equal_nan=True)
    assert np.isnan(back.positions_px[30:]).all()
    assert np.array_equal(back.visible[:30], np.isfinite(positions[..., 0]))


def test_clust_annotation_counts_frames_from_one_and_takes_commas_and_blank_lines(tmp_path):
    (tmp_path / "L1.txt").write_text("\ufeff1 10.5 20\n\n 11,11.5,21 \n", encoding="utf-8")
    annotation = read_clust_annotation(tmp_path / "L1.txt")
    assert annotation.label == "L1"
    assert annotation.frames.tolist() == [0, 10]
    assert annotation.positions_px.tolist() == [[10.5, 20], [11.5, 21]]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("1 2 3\n5 2 3\n4 2 3\n", "line 3: frame 4 comes after frame 5"),
        ("1 2 3\n1 2 3\n", "line 2: frame 1 comes after frame 1"),
        ("1 2 3\n2 x 3\n", "line 2: expected three numbers"),
        ("1 2\n", "line 1: expected three numbers"),
        ("0 2 3\n", "frame 0 must be a whole number from 1 on"),
        ("1.5 2 3\n", "frame 1.5 must be a whole number"),
        ("1 nan 3\n", "not finite"),
        ("\n", "no annotation"),
        ("1 2 3\n40 2 3\n", "frame 40 is annotated, the sequence has 30 frames"),
    ],
)
def test_bad_clust_files_are_refused_with_their_line(tmp_path, content, words):
    path = tmp_path / "L1.txt"
    path.write_text(content)
    with pytest.raises(InputError, match=words) as caught:
        read_clust_tracks(path, frame_count=30)
    assert str(path) in str(caught.value)


def test_clust_refuses_what_is_missing_or_cannot_be_named(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        read_clust_annotation(tmp_path / "none.txt")
    with pytest.raises(InputError, match=r"no \.txt annotation"):
        read_clust_tracks(tmp_path)
    (tmp_path / "b.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="not a text file"):
        read_clust_annotation(tmp_path / "b.txt")
    with pytest.raises(InputError, match="name of a file"):
        write_clust_tracks(tmp_path, make_tracks(np.zeros((1, 1, 2)), labels=("../x",)))
    with pytest.raises(OutputError):
        write_clust_tracks(tmp_path / "no" / "folder", make_tracks(np.zeros((1, 1, 2))))
