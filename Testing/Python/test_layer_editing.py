"""Corrections of a tracked point list in the scene: their steps, undo and redo, reload, and the layers of observers."""

import numpy as np
import pytest
import slicer

from landmark_bench import QUERY_PX, swaying_clip, truth_px
from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.mrml import correction_history
from UltrasoundMotionLib.mrml.image_geometry import pixels_to_ras_mm
from UltrasoundMotionLib.mrml.image_nodes import add_image_sequence
from UltrasoundMotionLib.mrml.layer_corrections import frame_state, layer_corrections, nearest_label, read_disagreement
from UltrasoundMotionLib.mrml.layer_editing import LayerEditor
from UltrasoundMotionLib.mrml.live_tracks import LiveTracks
from UltrasoundMotionLib.mrml.observer_layers import (
    add_disagreement,
    add_layer,
    disagreement_of,
    layers_on,
    named_layers,
    observer_of,
    observer_tracks,
    set_observer,
    show_layers,
)
from UltrasoundMotionLib.mrml.scene_files import read_scene, write_scene
from UltrasoundMotionLib.mrml.sequence_nodes import find_sequence_nodes
from UltrasoundMotionLib.mrml.track_links import image_of
from UltrasoundMotionLib.mrml.tracking_scene import add_tracks
from UltrasoundMotionLib.mrml.tracks_from_nodes import tracks_from_markups
from UltrasoundMotionLib.steps import run_steps
from UltrasoundMotionLib.tracking import PointTracks, track_corrected
from UltrasoundMotionLib.tracking.files.observers_csv import write_observers_csv

COUNT = 12


@pytest.fixture(scope="module")
def clip():
    return swaying_clip(COUNT, whole_pixels=True)


@pytest.fixture
def image(scene, clip):
    return add_image_sequence(scene, clip)


@pytest.fixture
def editor(image, clip):
    truth = truth_px(COUNT)
    confidence = np.full((COUNT, 3), 0.7)
    confidence[0] = 1.0
    tracks = PointTracks(
        truth,
        confidence,
        np.ones((COUNT, 3), dtype=bool),
        ("P1", "P2", "P3"),
        0,
        clip.times_s,
        clip.spacing_mm,
        "lucas-kanade",
    )
    return LayerEditor(add_tracks(image, clip, tracks).landmarks, clip)


def whole(editor):
    """Everything that undo must restore."""
    return editor.history.snapshot(range(COUNT))


def undo(editor):
    for _ in editor.history.undo():
        pass


def redo(editor):
    for _ in editor.history.redo():
        pass


def drag(editor, frame, number, to_px):
    """What the mouse does on the proxy; returns the state before, as the panel keeps it."""
    editor.landmarks.browser.SetSelectedItemNumber(frame)
    before = editor.history.snapshot([frame])
    editor.landmarks.proxy.SetNthControlPointPosition(number, *pixels_to_ras_mm(editor.sequence, np.array(to_px)))
    return before


def test_every_step_is_undone_exactly_by_one_press_and_made_again_by_another(editor):
    states = [whole(editor)]
    before = drag(editor, 4, 1, (60.0, 61.0))
    assert editor.take_moved([4], before) == ("P2",)
    states.append(whole(editor))
    assert editor.accept(6) == ("P1", "P2", "P3")
    states.append(whole(editor))
    editor.mark_lost(["P3"], range(7, 10))
    states.append(whole(editor))
    editor.add_point("P4", 5, (30.0, 33.0))
    states.append(whole(editor))
    editor.place("P1", 8, (44.0, 45.5))
    states.append(whole(editor))
    assert len({str(state) for state in states}) == 6
    for state in states[-2::-1]:
        undo(editor)
        assert whole(editor) == state
    assert editor.history.next_undo == ""
    assert editor.history.next_redo == "moving P2"
    for state in states[1:]:
        redo(editor)
        assert whole(editor) == state
    undo(editor)
    editor.accept(11)
    assert editor.history.next_redo == ""  # a new step ends what could be made again
    assert editor.landmarks.proxy.GetNumberOfControlPoints() == 4


def test_what_is_shown_follows_an_undo(editor):
    before = drag(editor, 4, 1, (60.0, 61.0))
    editor.take_moved([4], before)
    undo(editor)
    shown = editor.landmarks.proxy.GetNthControlPointPosition(1)
    np.testing.assert_allclose(shown, pixels_to_ras_mm(editor.sequence, truth_px(COUNT)[4, 1]))


def test_a_point_that_is_dragged_back_is_corrected_to_where_it_is(editor):
    at = truth_px(COUNT)[4, 1]
    drag(editor, 4, 1, at + np.array([6.0, 0]))
    editor.take_moved([4])
    drag(editor, 4, 1, at)
    assert editor.take_moved([4]) == ("P2",)
    (found,) = [one for one in editor.corrections if (one.frame, one.label) == (4, "P2")]
    np.testing.assert_allclose(found.position_px, at, atol=1e-6)
    assert editor.take_moved([4]) == ()


def test_the_history_forgets_the_oldest_changes(editor, monkeypatch):
    monkeypatch.setattr(correction_history, "_MOST_POINTS", 25)
    for frame in range(1, 8):
        editor.place("P1", frame, (20.0, 20.0 + frame))  # three points before and after
    kept = 0
    while editor.history.next_undo:
        undo(editor)
        kept += 1
    assert kept == 4


def test_corrections_begin_with_the_points_as_they_were_placed(editor):
    first = editor.corrections
    assert [(one.frame, one.label) for one in first] == [(0, "P1"), (0, "P2"), (0, "P3")]
    np.testing.assert_allclose([one.position_px for one in first], QUERY_PX, atol=1e-6)
    with pytest.raises(InputError, match="no point was corrected since the last run"):
        editor.to_track()
    drag(editor, 0, 0, (52.0, 46.0))  # the placed point itself
    editor.take_moved([0])
    assert editor.to_track()[0] == ("P1",)


def test_only_points_whose_corrections_changed_are_tracked_again(editor, clip):
    editor.place("P2", 6, tuple(truth_px(COUNT)[6, 1] + [3, 0]))
    editor.accept(9, ["P2"])
    editor.mark_lost(["P2"], [2])
    labels, corrections = editor.to_track()
    assert labels == ("P2",)
    assert [one.frame for one in corrections] == [0, 2, 6, 9]
    before, untouched = whole(editor), frame_state(editor.landmarks, 5)[0]
    found = track_corrected(clip, corrections, labels=labels, device="cpu")
    LiveTracks(clip, nodes=editor.landmarks).show(found.tracks)
    run_steps(editor.storing_tracked(found, before))
    tracks = tracks_from_markups(editor.landmarks, image_of(editor.landmarks), clip)
    np.testing.assert_allclose(tracks.positions_px[6, 1], truth_px(COUNT)[6, 1] + [3, 0], atol=1e-6)
    assert not tracks.visible[2, 1] and tracks.visible[2, [0, 2]].all()
    assert frame_state(editor.landmarks, 5)[0] == untouched
    apart = read_disagreement(editor.landmarks, tracks.labels)
    np.testing.assert_allclose(apart[:, 1], found.disagreement_px[:, 0], atol=0.05)
    assert np.isnan(apart[:, 0]).all()
    with pytest.raises(InputError, match="no point was corrected"):
        editor.to_track()
    undo(editor)
    assert whole(editor) == before
    assert editor.to_track()[0] == ("P2",)


def test_marks_survive_saving_and_reloading(editor, scene, tmp_path):
    editor.mark_lost(["P1"], [3, 4])
    editor.accept(5, ["P3"])
    editor.place("P2", 6, (70.0, 40.0))
    expected, states = editor.corrections, [frame_state(editor.landmarks, frame) for frame in range(COUNT)]
    name = editor.landmarks.proxy.GetName()
    write_scene(scene, tmp_path / "s.mrb")
    read_scene(scene, tmp_path / "s.mrb")
    again = find_sequence_nodes(scene.GetFirstNodeByName(name))
    assert layer_corrections(again, editor.sequence) == expected
    missing = slicer.vtkMRMLMarkupsNode.PositionMissing
    for frame, state in enumerate(states):
        found = frame_state(again, frame)
        assert [(one.label, one.status, one.description) for one in found] == [
            (one.label, one.status, one.description) for one in state
        ]
        for one, two in zip(found, state, strict=True):
            if two.status != missing:
                np.testing.assert_allclose(one.position, two.position, atol=1e-4)
    assert [one.frame for one in layer_corrections(again, editor.sequence) if one.lost] == [3, 4]


@pytest.mark.parametrize(
    ("step", "message"),
    [
        (lambda editor: editor.accept(12), r"frame 12 does not exist; there are 12 \(0 to 11\)"),
        (lambda editor: editor.accept(2, ["P9"]), "no point is called 'P9'; there are P1, P2, P3"),
        (lambda editor: editor.place("P1", 2, (200.0, 5.0)), r"\(200, 5\) lies outside the image of 140 x 120 pixels"),
        (lambda editor: editor.mark_lost(["P1"], [0]), "P1 is placed on no other frame; correct it elsewhere first"),
        (lambda editor: editor.add_point("P1", 2, (5.0, 5.0)), "a new point needs a label of its own, got 'P1'"),
        (lambda editor: editor.add_point("P4", -1, (5.0, 5.0)), "frame -1 does not exist"),
    ],
)
def test_a_bad_step_changes_nothing(editor, step, message):
    before = whole(editor)
    with pytest.raises(InputError, match=message):
        step(editor)
    assert whole(editor) == before
    assert editor.history.next_undo == ""


def test_the_point_under_the_mouse_may_be_a_lost_one(editor):
    editor.mark_lost(["P1"], [3])
    at = truth_px(COUNT)[3, 0] + np.array([2, 0])
    assert nearest_label(editor.landmarks, editor.sequence, 3, at, 5.0) == "P1"
    assert nearest_label(editor.landmarks, editor.sequence, 3, at + np.array([9, 0]), 5.0) is None


# Layers


def test_each_observer_has_a_layer_of_their_own(editor, image, clip):
    first = editor.landmarks
    set_observer(first, " Ann ")
    second = add_layer(first, clip, "Bo")
    assert list(named_layers(image)) == ["Ann", "Bo"] and len(layers_on(image)) == 2
    LayerEditor(second, clip).place("P1", 5, (40.0, 40.0))
    assert len(layer_corrections(second, clip)) == 4 and len(layer_corrections(first, clip)) == 3
    with pytest.raises(InputError, match="Ann has a layer on this clip already"):
        add_layer(first, clip, "Ann")
    with pytest.raises(InputError, match="enter a name"):
        add_layer(first, clip, "  ")
    show_layers(image, second, together=True)
    colors = [layer.proxy.GetDisplayNode().GetSelectedColor() for layer in (first, second)]
    assert colors[0] != colors[1] and all(layer.proxy.GetDisplayNode().GetVisibility() for layer in (first, second))
    show_layers(image, second, together=False)
    assert not first.proxy.GetDisplayNode().GetVisibility() and second.proxy.GetDisplayNode().GetVisibility()


def test_a_copy_of_corrected_points_has_their_corrections(editor, clip):
    editor.place("P2", 6, (70.0, 40.0))
    layer = add_layer(editor.landmarks, clip, "Bo")
    assert layer_corrections(layer, clip) == editor.corrections


def test_layers_and_their_disagreement(editor, image, clip, scene, tmp_path):
    set_observer(editor.landmarks, "Ann")
    second = add_layer(editor.landmarks, clip, "Bo")
    other = LayerEditor(second, clip)
    x, y = truth_px(COUNT)[5, 0]
    other.place("P1", 5, (x + 10, y))  # 4 mm along x
    editor.accept(5, ["P1"])
    found = disagreement_of(image, clip)
    assert found.distance[5, 0] == pytest.approx(4.0, abs=1e-3)
    assert found.by_frame[5] == pytest.approx(4 / 3, abs=1e-3)
    every, by_hand = found.pairs
    assert every.count == 36 and by_hand.count == 1
    assert by_hand.bias[0] == pytest.approx(-4.0, abs=1e-3)
    nodes = add_disagreement(image, clip)
    assert nodes.table.GetNumberOfRows() == COUNT and nodes.summary.GetNumberOfRows() == 2
    titles = [nodes.summary.GetColumnName(column) for column in range(nodes.summary.GetNumberOfColumns())]
    assert titles[:4] == ["observers", "positions", "number", "mean distance"]
    count = scene.GetNumberOfNodes()
    add_disagreement(image, clip)  # replaces the last one
    assert scene.GetNumberOfNodes() == count
    write_observers_csv(
        tmp_path / "o.csv", {name: observer_tracks(layer, clip) for name, layer in named_layers(image).items()}
    )
    lines = (tmp_path / "o.csv").read_text().splitlines()
    assert lines[0] == "observer,frame,time_s,label,x,y,confidence,visible,state" and len(lines) == 1 + 2 * 36
    assert sum(line.startswith("Bo,5,") and line.endswith(",corrected") for line in lines) == 1
    assert sum(line.startswith("Ann,5,") and line.endswith(",accepted") for line in lines) == 1
    write_scene(scene, tmp_path / "s.mrb")
    read_scene(scene, tmp_path / "s.mrb")
    clips = find_sequence_nodes(scene.GetFirstNodeByName("clip"))
    assert [observer_of(layer) for layer in layers_on(clips)] == ["Ann", "Bo"]
    assert disagreement_of(clips, clip).distance[5, 0] == pytest.approx(4.0, abs=1e-3)
