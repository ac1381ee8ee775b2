"""Strain doubts its input: times, rates, beats, contours, views and trackers that can hardly be as they are given."""

import numpy as np
import pytest

from strain_motions import beat, half_ellipse, ring, stretched, tracks_of
from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.images import ImageSequence
from UltrasoundMotionLib.strain import circumferential_strain, longitudinal_strain
from UltrasoundMotionLib.strain.measure import measure_strain
from UltrasoundMotionLib.strain.mirrored_view import with_mirror_doubt
from UltrasoundMotionLib.tracking import read_tracks_csv, write_tracks_csv

FRAMES, SYSTOLE, RATE_HZ = 41, 16, 50


def walls_of(*beats, percent=-18.0):
    """Positions of a wall over several beats, each given as (frames, end-systole, percent)."""
    parts = [
        (own / 100 if own is not None else percent / 100) * beat(frames, systole) for frames, systole, own in beats
    ]
    activation = np.concatenate([parts[0], *(part[1:] for part in parts[1:])])
    return stretched(half_ellipse(), 1 + activation[:, None] * np.ones(48))


def notes_of(positions, **changes):
    return " | ".join(longitudinal_strain(tracks_of(positions, **changes)).notes)


def test_a_plausible_clip_is_not_doubted():
    assert notes_of(walls_of((FRAMES, SYSTOLE, None))) == ""


@pytest.mark.parametrize(
    ("unit_s", "said"),
    [(1000 / RATE_HZ, "0.05 frames a second"), (1 / 500, "2 beats in 0.16 s"), (1 / 5, "7.5 beats a minute")],
    ids=["milliseconds", "500 instead of 50 Hz", "5 instead of 50 Hz"],
)
def test_times_that_cannot_be_are_doubted(unit_s, said):
    positions = walls_of((FRAMES, SYSTOLE, None), (FRAMES, SYSTOLE, None))
    notes = notes_of(positions, times_s=np.arange(len(positions)) * unit_s)
    assert said in notes
    assert "milliseconds" in notes


def test_one_beat_with_times_in_minutes_is_doubted():
    positions = walls_of((FRAMES, SYSTOLE, None))
    assert "cannot be in a person" in notes_of(positions, times_s=np.arange(FRAMES) / RATE_HZ / 60)


@pytest.mark.parametrize("bpm", [40, 60, 200])
def test_slow_and_fast_hearts_are_not_doubted(bpm):
    positions = walls_of((FRAMES, SYSTOLE, None), (FRAMES, SYSTOLE, None))
    notes = notes_of(positions, times_s=np.arange(len(positions)) * 60 / bpm / (FRAMES - 1))
    assert "cannot be" not in notes


def test_every_whole_beat_is_measured_and_the_choice_stated():
    positions = walls_of((FRAMES, SYSTOLE, -18), (FRAMES, SYSTOLE, -16), (FRAMES, SYSTOLE, -20))
    result = longitudinal_strain(tracks_of(positions))
    np.testing.assert_allclose(result.beats.percent, [-18, -16, -20], atol=0.01)
    assert result.beats.mean_percent == pytest.approx(-18, abs=0.01)
    assert result.beats.standard_deviation_percent == pytest.approx(2, abs=0.01)
    assert result.beats.durations_s == pytest.approx([0.8] * 3)
    assert not result.beats.irregular
    assert "that of one beat, -18.0 %" in " ".join(result.notes)


def test_an_irregular_rhythm_is_said():
    positions = walls_of((FRAMES, SYSTOLE, -18), (29, 12, -12), (FRAMES, SYSTOLE, -20))
    result = longitudinal_strain(tracks_of(positions))
    assert result.beats.irregular
    assert "irregular (0.80, 0.56, 0.80 s): report the mean" in " ".join(result.notes)


@pytest.mark.parametrize(("first", "last"), [(5, 30), (6, FRAMES)])
def test_a_clip_without_a_whole_beat_is_doubted(first, last):
    positions = walls_of((FRAMES, SYSTOLE, None))[first:last]
    result = longitudinal_strain(tracks_of(positions))
    assert "holds no whole beat" in " ".join(result.notes) or not result.cycle.whole_systole


def test_an_open_contour_is_no_ring_and_a_ring_no_apical_wall():
    apical = tracks_of(walls_of((FRAMES, SYSTOLE, None)))
    with pytest.raises(InputError, match=r"it is open: .* SAX-mid shows a ring"):
        circumferential_strain(apical, view="SAX-mid")
    shrinking = ring()[None] * (1 - 0.15 * beat(FRAMES, SYSTOLE))[:, None, None]
    with pytest.raises(InputError, match=r"it is a ring: .* A4C"):
        longitudinal_strain(tracks_of(shrinking))
    assert circumferential_strain(tracks_of(shrinking)).measures.gls_percent == pytest.approx(-15, abs=0.1)


def test_a_mirrored_view_has_its_own_names():
    """The septum shortens by 20 %, the lateral wall does not, as in a clip displayed mirrored."""
    shares = np.repeat([-0.2, -0.2, -0.2, 0, 0, 0], 8)
    usual = stretched(half_ellipse(), 1 + beat(FRAMES, SYSTOLE)[:, None] * shares)
    mirrored = np.array([300, 0]) + usual * [-1, 1]

    def septum(positions, orientation):
        result = measure_strain(tracks_of(positions), orientation=orientation).result
        return result.segment_measures[0].end_systolic_percent, " ".join(result.notes)

    assert septum(usual, "auto")[0] == pytest.approx(-20, abs=0.1)
    swapped, notes = septum(mirrored, "auto")
    assert swapped == pytest.approx(0, abs=0.1)
    assert "names would be swapped" in notes
    assert septum(mirrored, "mirrored")[0] == pytest.approx(-20, abs=0.1)
    assert septum(mirrored[:, ::-1], "mirrored")[0] == pytest.approx(-20, abs=0.1)


@pytest.mark.parametrize(("left_px", "orientation", "doubted"), [(20, "auto", True), (130, "auto", False)])
def test_a_ventricle_on_the_left_of_the_sector_is_doubted(left_px, orientation, doubted):
    rows, columns = np.mgrid[:256, :320]
    sector = (np.abs(columns - 160) < 0.6 * rows) & (np.hypot(columns - 160, rows) < 250)
    noise = np.random.default_rng(4).integers(40, 200, (FRAMES, 256, 320))
    sequence = ImageSequence((noise * sector).astype(np.uint8))
    positions = walls_of((FRAMES, SYSTOLE, None)) + np.array([left_px - 75, 20])
    result = measure_strain(tracks_of(positions), orientation=orientation).result
    notes = " ".join(with_mirror_doubt(result, sequence).notes)
    assert ("displayed mirrored" in notes) == doubted


def test_the_tracker_is_written_and_doubted_where_it_is_not_for_walls(tmp_path):
    path = tmp_path / "tracks.csv"
    notes = {}
    for name in ("lucas-kanade", "lucas-kanade-wall"):
        write_tracks_csv(path, tracks_of(walls_of((FRAMES, SYSTOLE, None)), model=name))
        tracks = read_tracks_csv(path)
        assert tracks.model == name
        result = longitudinal_strain(tracks)
        assert result.model == name
        notes[name] = " ".join(result.notes)
    assert "lucas-kanade-wall is made for walls" in notes["lucas-kanade"]
    assert "made for walls" not in notes["lucas-kanade-wall"]
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines[:2], lines[2].replace("lucas-kanade-wall", "kcf")]))
    with pytest.raises(InputError, match=r"tracker must be the same on every line, got 'lucas-kanade-wall' and 'kcf'"):
        read_tracks_csv(path)
