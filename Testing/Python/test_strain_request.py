"""`StrainRequest`: one set of options for Python, JSON, the command line and a wall of the scene."""

import argparse
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from strain_motions import beat, half_ellipse, stretched, tracks_of
from UltrasoundMotionLib.cli.main import main
from UltrasoundMotionLib.cli.request_arguments import add_arguments, from_arguments, to_arguments
from UltrasoundMotionLib.errors import InputError, OptionError
from UltrasoundMotionLib.settings import from_plain, to_plain
from UltrasoundMotionLib.strain import (
    StrainConfig,
    StrainRequest,
    layered_strain,
    longitudinal_strain,
    measure_strain,
    segment_model,
)
from UltrasoundMotionLib.strain.strain_files import read_strain_csv, strain_columns, write_strain_csv
from UltrasoundMotionLib.tracking import read_tracks_csv, write_tracks_csv

FRAMES, SYSTOLE = 41, 16


def wall(percent=-18.0, size=1.0):
    middle = np.array([120, 190])
    shortening = 1 + beat(FRAMES, SYSTOLE)[:, None] * np.full(48, percent / 100)
    return stretched(middle + size * (half_ellipse() - middle), shortening)


@st.composite
def requests(draw):
    view = draw(st.sampled_from(("A4C", "A2C", "APLAX", "SAX-mid", "SAX-apex")))
    names = st.sets(st.sampled_from(segment_model(view).names))
    frames = st.none() | st.lists(st.integers(0, 500), min_size=1, unique=True).map(lambda found: tuple(sorted(found)))
    reject = draw(names)
    return StrainRequest(
        view=view,
        layers=draw(st.sampled_from((1, 3))),
        segments=draw(st.sampled_from((16, 17, 18))),
        end_diastole=draw(frames),
        end_systole=draw(frames),
        cycle=draw(st.none() | st.integers(0, 9)),
        compensate_drift=draw(st.booleans()),
        reject=tuple(sorted(reject)),
        accept=tuple(sorted(draw(names) - reject)),
    )


@given(requests())
def test_a_request_survives_json_and_the_command_line(request):
    assert from_plain(StrainRequest, json.loads(json.dumps(to_plain(request)))) == request
    parser = argparse.ArgumentParser()
    add_arguments(parser, StrainRequest)
    assert from_arguments(StrainRequest, parser.parse_args(to_arguments(request))) == request


def test_the_defaults_are_those_of_the_computation():
    assert StrainRequest().config == StrainConfig()
    assert StrainRequest(settings={"maximum_gap_s": 0.2}).config == StrainConfig(maximum_gap_s=0.2)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"view": "A5C"}, "view must be one of"),
        ({"layers": 2}, "layers: expected one of 1, 3, got 2"),
        ({"cycle": -1}, "cycle: expected a whole number from 0 on, got -1"),
        ({"end_systole": (3, -1)}, "end_systole: expected whole numbers from 0 on, got -1"),
        ({"reject": ("apex",)}, "reject: A4C has no segment 'apex'"),
        ({"reject": ("apical septal",), "accept": ("apical septal",)}, "cannot be both accepted and rejected"),
        ({"settings": {"cycle": 1}}, "settings: cycle is set by an option of its own"),
        ({"settings": {"gap": 1}}, "StrainConfig has no gap"),
        ({"settings": {"maximum_gap_s": -1}}, "maximum_gap_s must lie between"),
    ],
)
def test_bad_options_are_refused_by_name(options, words):
    with pytest.raises(InputError, match=words):
        StrainRequest(**options)


def test_python_command_line_and_scene_give_the_same_strain(tmp_path):
    rng = np.random.default_rng(0)
    path = tmp_path / "tracks.csv"
    write_tracks_csv(path, tracks_of(wall() + rng.normal(size=(FRAMES, 49, 2)) * 0.2))
    options = ["--end-systole", "14", "--reject", "apical septal", "--compensate-drift", "--quiet"]
    assert main(["strain", str(path), "--out", str(tmp_path / "line.csv"), *options]) == 0

    measured = measure_strain(
        read_tracks_csv(path), end_systole=(14,), reject=("apical septal",), compensate_drift=True
    )
    write_strain_csv(tmp_path / "python.csv", measured.result)
    assert (tmp_path / "python.csv").read_text() == (tmp_path / "line.csv").read_text()

    pytest.importorskip("slicer", reason="needs slicer-core")
    from UltrasoundMotionLib.mrml.wall_strain import StrainSettings

    found = read_strain_csv(tmp_path / "line.csv")
    settings = StrainSettings(
        end_diastole_frames=found.end_diastole_frames,
        end_systole_frames=(14,),
        compensate_drift=True,
        reject_segments=("apical septal",),
    )
    again = measure_strain(read_tracks_csv(path), request=settings.request("A4C", 1))
    for name, curve in strain_columns(measured.result).items():
        np.testing.assert_array_equal(strain_columns(again.result)[name], curve)


def test_layers_are_split_or_named():
    sizes = ((0.9, -22), (1.0, -18), (1.1, -14))
    tracks = tracks_of(np.concatenate([wall(percent, size) for size, percent in sizes], axis=1))
    names = {name: tracks.labels[49 * k : 49 * (k + 1)] for k, name in enumerate(("endo", "mid", "epi"))}
    expected = layered_strain(tracks, names)
    for measured in (measure_strain(tracks, layers=3), measure_strain(tracks, layer_labels=names)):
        assert measured.result is measured.layered.layers["mid"]
        np.testing.assert_array_equal(measured.layered.thickness.global_percent, expected.thickness.global_percent)
    with pytest.raises(OptionError, match="layers: 49 points cannot be shared evenly"):
        measure_strain(tracks_of(wall()), layers=3)
    with pytest.raises(OptionError, match="single contours"):
        measure_strain(tracks, layers=3, trackers={"one": tracks})


def test_trackers_that_disagree_widen_the_uncertainty():
    own, other = tracks_of(wall()), tracks_of(wall(-10))
    measured = measure_strain(own, trackers={"own": own, "other": other}).result
    assert [name for name, _ in measured.uncertainty.trackers_percent] == ["own", "other"]
    alone = longitudinal_strain(own)
    assert measured.uncertainty.standard_deviation_percent > alone.uncertainty.standard_deviation_percent
    with pytest.raises(InputError, match="short: tracks: 5 points"):
        measure_strain(own, trackers={"own": own, "short": tracks_of(wall()[:, ::12])})
