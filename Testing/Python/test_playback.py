"""While a clip plays, labels are hidden and points locked; afterwards everything is as it was."""

import pytest

slicer = pytest.importorskip("slicer", reason="needs slicer-core: pip install 'ultrasound-motion[slicer]'")

import slicer_stand_ins  # noqa: E402
from landmark_bench import LandmarkBench  # noqa: E402
from mrml_clips import clip, tracks_on  # noqa: E402
from slicer_stand_ins import slicer_application  # noqa: E402
from UltrasoundMotionLib.mrml.headless_scene import HeadlessScene  # noqa: E402
from UltrasoundMotionLib.mrml.image_nodes import add_image_sequence  # noqa: E402
from UltrasoundMotionLib.mrml.markups_items import set_locked  # noqa: E402
from UltrasoundMotionLib.mrml.playback import QuietPlayback  # noqa: E402
from UltrasoundMotionLib.mrml.sequence_nodes import find_sequence_nodes  # noqa: E402
from UltrasoundMotionLib.mrml.tracking_scene import add_tracks  # noqa: E402
from UltrasoundMotionLib.steps import run_steps  # noqa: E402


@pytest.fixture
def played():
    with HeadlessScene() as scene:
        sequence = clip()
        image = add_image_sequence(scene, sequence)
        yield image, add_tracks(image, sequence, tracks_on(sequence)).landmarks


def state(landmarks):
    return bool(landmarks.proxy.GetDisplayNode().GetPointLabelsVisibility()), bool(landmarks.proxy.GetLocked())


@pytest.mark.parametrize("locked", [True, False])
@pytest.mark.parametrize("labels", [True, False])
def test_points_are_quiet_while_the_browser_plays_and_as_before_afterwards(played, labels, locked):
    image, landmarks = played
    set_locked(landmarks, locked)
    landmarks.proxy.GetDisplayNode().SetPointLabelsVisibility(labels)
    playback = QuietPlayback()
    playback.update(image.browser)
    assert state(landmarks) == (labels, locked)
    image.browser.SetPlaybackActive(True)
    playback.update(image.browser)
    for frame in (2, 4):
        image.browser.SetSelectedItemNumber(frame)
        playback.update(image.browser)
        assert state(landmarks) == (False, True)
    image.browser.SetPlaybackActive(False)
    playback.update(image.browser)
    image.browser.SetSelectedItemNumber(1)
    assert state(landmarks) == (labels, locked)


def test_points_are_unlocked_also_where_another_clip_plays_before_all_frames_are(played):
    image, landmarks = played
    sequence = clip(name="other")
    other = add_image_sequence(image.scene, sequence)
    others = add_tracks(other, sequence, tracks_on(sequence)).landmarks
    for one in (landmarks, others):
        set_locked(one, False)
    started = []
    playback = QuietPlayback(started.append)
    for nodes in (image, other):
        nodes.browser.SetPlaybackActive(True)
    playback.update(image.browser)
    next(started[-1])
    playback.update(other.browser)
    assert state(landmarks)[1] is False and state(others)[1] is True
    run_steps(started[-1])
    assert locked_items(landmarks) == []
    assert len(locked_items(others)) == 8


def test_what_is_removed_meanwhile_is_left_out(played):
    image, landmarks = played
    set_locked(landmarks, False)
    image.browser.SetPlaybackActive(True)
    playback = QuietPlayback()
    playback.update(image.browser)
    scene = image.scene
    scene.RemoveNode(landmarks.sequence)
    scene.RemoveNode(landmarks.proxy)
    playback.restore()
    assert scene.GetFirstNodeByClass("vtkMRMLMarkupsFiducialNode") is None


def locked_items(landmarks):
    sequence = landmarks.sequence
    return [number for number in range(sequence.GetNumberOfDataNodes()) if sequence.GetNthDataNode(number).GetLocked()]


@pytest.fixture
def bench():
    if slicer_stand_ins.qt_stand_ins is None:
        pytest.skip("needs Qt for Python: pip install 'ultrasound-motion[test]'")
    with HeadlessScene() as scene, slicer_application(scene) as application:
        yield LandmarkBench(scene, application)


@pytest.mark.slow
def test_the_panel_is_quiet_while_its_clip_plays_also_while_correcting(bench):
    widget = bench.open()
    widget.ui.applyButton.click()
    bench.wait_until_done(widget)
    landmarks = find_sequence_nodes(widget.parameters.trackedLandmarks)
    widget.ui.correctButton.checked = True
    assert state(landmarks) == (True, False)
    bench.clip.browser.SetPlaybackActive(True)
    bench.clip.browser.SetSelectedItemNumber(3)
    assert state(landmarks) == (False, True)
    bench.clip.browser.SetPlaybackActive(False)
    assert state(landmarks) == (True, False)
    assert widget.ui.correctButton.checked
    bench.application.wait(lambda: not widget._clipSection._steps.running)
    assert locked_items(landmarks) == []
    bench.clip.browser.SetPlaybackActive(True)
    assert locked_items(landmarks) == [3]  # the others in steps, which must not stop the application
    bench.application.wait(lambda: not widget._clipSection._steps.running)
    assert len(locked_items(landmarks)) == 24
    assert state(landmarks) == (False, True)
    widget.exit()  # playback goes on in another module
    assert state(landmarks) == (True, False)
    assert bench.application.errors == []


@pytest.mark.slow
def test_a_reload_while_the_clip_plays_leaves_labels_and_points_as_they_were(bench):
    widget = bench.open()
    widget.ui.applyButton.click()
    bench.wait_until_done(widget)
    landmarks = find_sequence_nodes(widget.parameters.trackedLandmarks)
    widget.ui.correctButton.checked = True
    bench.application.wait(lambda: not widget._annotationSection._steps.running)
    bench.clip.browser.SetPlaybackActive(True)
    widget = bench.application.reload_module("LandmarkTracking")
    assert state(landmarks) == (False, True)  # for the new panel, which follows the clip too
    bench.clip.browser.SetPlaybackActive(False)
    bench.application.wait(lambda: not widget._clipSection._steps.running)
    assert state(landmarks) == (True, False)
    assert locked_items(landmarks) == []
