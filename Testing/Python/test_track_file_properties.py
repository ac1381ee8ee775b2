"""Tracks and landmarks of any kind, through their text files and back."""

import csv

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.images import ImageSequence
from UltrasoundMotionLib.tracking import (
    PointTracks,
    read_clust_tracks,
    read_query_points,
    read_tracks_csv,
    write_clust_tracks,
    write_tracks_csv,
)

TEXTS = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=12).filter(
    lambda text: text == text.strip()  # a table's cells are read without the spaces around them
)
FILE_NAMES = st.text("abcXYZ019 _-.äß漢", min_size=1, max_size=12).filter(
    lambda text: text.strip() == text and not set(text) <= {"."}
)


@st.composite
def tracks(draw, labels=TEXTS):
    """Tracks that reached their first and last frame; elsewhere a point may have no position."""
    names = tuple(draw(st.lists(labels, min_size=1, max_size=3, unique=True)))
    frame_count = draw(st.integers(1, 5))
    shape = (frame_count, len(names))
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    positions = random.uniform(-1e4, 1e4, (*shape, 2))
    confidence, visible = random.choice([0.0, 1.0, 0.9999999, random.random()], shape), random.random(shape) < 0.7
    unreached = random.random(shape) < draw(st.sampled_from([0.0, 0.3]))
    unreached[[0, -1]] = False
    positions[unreached], confidence[unreached], visible[unreached] = np.nan, 0.0, False
    query_frame = draw(st.integers(0, frame_count - 1))
    if not unreached[query_frame].any():
        confidence[query_frame], visible[query_frame] = 1.0, True
    times = np.cumsum(random.uniform(1e-4, 1, frame_count)) if draw(st.booleans()) else None
    return PointTracks(positions, confidence, visible, names, query_frame, times)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("tracks")


@given(tracks())
def test_tracks_come_back_from_their_table(folder, written):
    write_tracks_csv(folder / "t.csv", written)
    read = read_tracks_csv(folder / "t.csv")
    assert read.labels == written.labels
    np.testing.assert_allclose(read.positions_px, written.positions_px, rtol=0, atol=5.1e-7)
    np.testing.assert_allclose(read.confidence, written.confidence, rtol=0, atol=1e-6)
    assert np.array_equal(read.confidence == 1, written.confidence == 1)
    assert np.array_equal(read.visible, written.visible)
    if written.times_s is None:
        assert read.times_s is None
    else:
        known = np.isfinite(written.positions_px).all(axis=2).any(axis=1)
        np.testing.assert_allclose(read.times_s[known], written.times_s[known], rtol=0, atol=5.1e-10)
    certain = np.all((written.confidence == 1) & written.visible, axis=1)
    if certain.any():
        assert read.query_frame == np.argmax(certain)


@given(tracks(), st.floats(0, 1, exclude_max=True))
def test_a_table_that_ends_early_is_refused_or_holds_what_is_left(folder, written, share):
    path = folder / "short.csv"
    write_tracks_csv(path, written)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    try:
        read = read_tracks_csv(path)
    except InputError as error:
        assert path.name in str(error)
        assert "\n" not in str(error)
    else:
        assert set(read.labels) <= set(written.labels)
        assert len(read.positions_px) <= len(written.positions_px)


@given(tracks(FILE_NAMES))
def test_tracks_come_back_from_the_files_of_clust(folder, written):
    files = write_clust_tracks(folder, written)
    read = read_clust_tracks(files, frame_count=len(written.positions_px))
    assert read.labels == written.labels
    np.testing.assert_allclose(read.positions_px, written.positions_px, rtol=0, atol=5.1e-4)


@given(
    st.lists(st.tuples(TEXTS, st.floats(-0.5, 39.5), st.floats(-0.5, 29.5)), min_size=1, unique_by=lambda row: row[0])
)
def test_points_come_back_from_their_table(folder, rows):
    path = folder / "points.csv"
    with path.open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows([("label", "x", "y"), *rows])
    points = read_query_points(path, ImageSequence(np.zeros((1, 30, 40), np.uint8)))
    assert points.labels == tuple(label for label, _, _ in rows)
    assert np.array_equal(points.points_px, [(x, y) for _, x, y in rows])
