"""Strain as CSV and JSON: what was computed comes back, with units, and nothing is left where writing fails."""

import csv
import json
from dataclasses import fields, replace

import numpy as np
import pytest

from strain_motions import beat, half_ellipse, stretched, tracks_of
from UltrasoundMotionLib.errors import InputError, OutputError
from UltrasoundMotionLib.strain import StrainConfig, longitudinal_strain
from UltrasoundMotionLib.strain.strain_definitions import DEFINITIONS
from UltrasoundMotionLib.strain.strain_files import (
    read_strain_csv,
    read_strain_json,
    strain_report,
    write_strain_csv,
    write_strain_json,
)
from UltrasoundMotionLib.strain.strain_measures import GlobalStrainMeasures
from UltrasoundMotionLib.strain.strain_result import SegmentQuality

SEGMENTS = np.array([-0.10, -0.15, -0.20, -0.25, -0.12, -0.18])
END_SYSTOLE = 16


def wall(**changes):
    """Six segments that shorten by `SEGMENTS` at frame 16 of 41."""
    return tracks_of(stretched(half_ellipse(), 1 + beat(41, END_SYSTOLE)[:, None] * np.repeat(SEGMENTS, 8)), **changes)


def test_a_table_holds_the_curves_by_their_definition(tmp_path):
    path = tmp_path / "strain.csv"
    result = longitudinal_strain(wall())
    write_strain_csv(path, result)
    with path.open() as stream:
        header, *lines = list(csv.reader(stream))
    assert header[:5] == ["frame", "time (s)", "event", "global (%)", "basal inferoseptal (%)"]
    assert all(name.endswith(("(%)", "(1/s)")) for name in header[3:])
    assert len(lines) == 41
    numbers = np.array([[float(cell) for cell in line[3:10]] for line in lines])
    np.testing.assert_allclose(
        numbers[END_SYSTOLE, 1:], 100 * SEGMENTS, atol=0.03
    )  # chords of the curved wall differ by a thousandth
    np.testing.assert_allclose(
        numbers[:, 0], 100 * beat(41, END_SYSTOLE) * SEGMENTS.mean(), atol=0.03
    )  # segments of equal length
    assert lines[END_SYSTOLE][:3] == ["16", "0.32", "ES"]
    assert [line[2] for line in lines].count("ED") == 2

    table = read_strain_csv(path)
    assert table.segment_names == result.segment_names
    assert (table.end_diastole_frames, table.end_systole_frames) == ((0, 40), (16,))
    for read, computed in (
        (table.times_s, result.times_s),
        (table.global_percent, result.global_percent),
        (table.segmental_percent, result.segmental_percent),
        (table.strain_rate_per_s, result.strain_rate_per_s),
        (table.global_smoothed_percent, result.smoothed.global_percent),
        (table.segmental_smoothed_percent, result.smoothed.segmental_percent),
    ):
        np.testing.assert_allclose(read, computed, atol=6e-7)


def test_what_is_not_known_is_empty(tmp_path):
    result = longitudinal_strain(
        wall(times_s=np.empty(0), spacing_mm=None), config=StrainConfig(reject_segments=("apical septal",))
    )
    write_strain_csv(tmp_path / "s.csv", result)
    table = read_strain_csv(tmp_path / "s.csv")
    assert table.times_s is None
    assert table.strain_rate_per_s is None
    np.testing.assert_array_equal(
        np.isnan(table.segmental_percent).all(axis=0), [False, False, True, False, False, False]
    )
    write_strain_json(tmp_path / "s.json", result)
    report = read_strain_json(tmp_path / "s.json")
    assert report["segments"][2]["measures"]["end_systolic_percent"] is None
    assert report["segments"][2]["quality"]["accepted"] is False
    assert report["segments"][2]["quality"]["reason"]
    assert report["curves"]["time_s"] is None
    assert report["curves"]["length_mm"] is None
    assert any("spacing unknown" in note for note in report["notes"])


def test_a_report_says_what_its_numbers_mean(tmp_path):
    path = tmp_path / "strain.json"
    result = longitudinal_strain(wall())
    write_strain_json(path, result, {"tracks": "t.csv"})
    report = read_strain_json(path)
    assert report["tracks"] == "t.csv"
    assert report["not_for_clinical_use"] is True
    assert report["measures"]["gls_percent"] == pytest.approx(100 * SEGMENTS.mean(), abs=0.03)
    assert (
        report["uncertainty"]["low_percent"] < report["measures"]["gls_percent"] < report["uncertainty"]["high_percent"]
    )
    assert report["events"]["end_systole_frames"] == [16]
    assert report["smoothed_measures"]["gls_percent"] == result.smoothed.measures.gls_percent
    np.testing.assert_allclose(report["curves"]["segmental_percent"]["apical lateral"], result.segmental_percent[:, 3])
    np.testing.assert_allclose(report["curves"]["natural_global_percent"], 100 * np.log1p(result.global_percent / 100))
    said = set(report["measures"]) | set(report["segments"][0]["quality"])
    assert said - set(report["definitions"]) == {"accepted", "reason"}
    assert all(one["definition"] for one in report["definitions"].values())


def test_every_measure_has_a_definition():
    measures = {field.name for field in fields(GlobalStrainMeasures)} | {field.name for field in fields(SegmentQuality)}
    assert measures - {"name", "accepted", "reason"} <= set(DEFINITIONS)
    for name, (unit, _) in DEFINITIONS.items():
        if name.endswith("_percent"):
            assert unit == "%"
        assert ("1/s" if name.endswith("_per_s") else unit) == unit


def test_numbers_that_json_lacks_become_null():
    result = longitudinal_strain(wall())
    broken = replace(result, global_percent=np.where(np.arange(41) == 3, np.nan, result.global_percent))
    assert np.isnan(strain_report(broken)["curves"]["global_percent"][3])  # as Python; the file has null
    assert json.loads(json.dumps(strain_report(result), allow_nan=False))["format"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "line 1: expected the columns frame,time (s),event"),
        ("frame,time (s),event,global (%)\n", "holds no frame"),
        ("frame,time (s),event,global (%)\n0,,ED,0\n", "is not a strain table"),
        ("frame,time (s),event,global (%),a (%)\n0,,ED,0,0\n2,,,0,0\n", "line 3: frame must be 1, got '2'"),
        ("frame,time (s),event,global (%),a (%)\n0,,XX,0,0\n", "line 2: event must be ED, ES or nothing, got 'XX'"),
        (
            "frame,time (s),event,global (%),a (%)\n0,,ED,zero,0\n",
            "line 2: global (%) must be a number, or nothing, got 'zero'",
        ),
        ("frame,time (s),event,global (%),a (%)\n0,,ED,0\n", "line 2: expected 5 values, found 4"),
    ],
)
def test_a_wrong_table_is_refused_by_line_and_value(tmp_path, text, words):
    path = tmp_path / "s.csv"
    path.write_text(text)
    with pytest.raises(InputError) as error:
        read_strain_csv(path)
    assert str(path) in str(error.value)
    assert words in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [("{", "is not valid JSON"), ("[]", "is not a strain report"), ('{"format": "other"}', "format is 'other'")],
)
def test_a_wrong_report_is_refused(tmp_path, text, words):
    path = tmp_path / "s.json"
    path.write_text(text)
    with pytest.raises(InputError, match=words):
        read_strain_json(path)
    with pytest.raises(InputError, match="no such file"):
        read_strain_json(tmp_path / "missing.json")


def test_nothing_is_left_where_writing_fails(tmp_path):
    result = longitudinal_strain(wall())
    for write in (write_strain_csv, write_strain_json):
        with pytest.raises(OutputError):
            write(tmp_path / "none" / "s.csv", result)
    path = tmp_path / "s.csv"
    path.write_text("kept")
    with pytest.raises(ValueError, match=r"zip|argument|shape"):
        write_strain_csv(path, replace(result, segment_names=result.segment_names[:-1]))
    assert path.read_text() == "kept"
    assert [one.name for one in tmp_path.iterdir()] == ["s.csv"]
