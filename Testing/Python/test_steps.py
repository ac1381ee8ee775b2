"""Work on a scene in short steps: slices by a clock, cancelled, undone, and how much of the scene a step touches."""

from dataclasses import replace

import numpy as np
import pytest
import slicer

from mrml_clips import clip, tracks_on
from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.mrml.image_nodes import add_image_sequence
from UltrasoundMotionLib.mrml.live_tracks import LiveTracks
from UltrasoundMotionLib.mrml.node_removal import remove_node, undone_unless_finished
from UltrasoundMotionLib.mrml.track_nodes import adding_landmarks
from UltrasoundMotionLib.mrml.tracking_results import renewing_derived
from UltrasoundMotionLib.mrml.tracking_scene import add_tracks, adding_tracks
from UltrasoundMotionLib.steps import StepRunner, StepsCancelled, not_cancelled, run_steps


class Clock:
    """Seconds that pass only where steps say so."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now

    def steps(self, *seconds, then=None):
        for number, duration in enumerate(seconds):
            yield number, len(seconds), "working"
            self.now += duration
        return then


def slices(runner, budget_s):
    """The time that each slice took."""
    taken = []
    while not runner.finished:
        before = runner._clock()
        runner.advance(budget_s)
        taken.append(round(runner._clock() - before, 6))
    return taken


def test_a_slice_ends_before_a_step_like_the_longest_would_exceed_the_budget():
    clock = Clock()
    assert slices(StepRunner(clock.steps(*[0.004] * 9), clock), 0.015) == [0.0, 0.012, 0.012, 0.012]
    assert slices(StepRunner(clock.steps(0.001, 0.012, *[0.001] * 5), clock), 0.015)[:3] == [0.0, 0.013, 0.004]
    runner = StepRunner(clock.steps(0.001, then="done"), clock)
    slices(runner, 0.015)
    assert runner.result == "done"


def test_every_slice_goes_on_by_a_step_at_least():
    clock = Clock()
    assert slices(StepRunner(clock.steps(*[0.5] * 4), clock), 0.0) == [0.0, *[0.5] * 4]


def test_a_step_of_another_kind_begins_a_slice():
    """The time it takes is not known."""
    clock = Clock()

    def steps():
        yield from clock.steps(*[0.001] * 3)
        yield 0, 1, "something else"
        clock.now += 0.014

    assert slices(StepRunner(steps(), clock), 0.015) == [0.0, 0.003, 0.014]


def test_a_cancel_reaches_the_steps_where_they_stand_and_some_go_on():
    left = []

    def steps():
        try:
            for number in range(3):
                yield number, 3, "working"
        except StepsCancelled:
            left.append(number)
            yield 0, 1, "tidying up"
            return "cancelled"
        return "whole"

    for wrap, result in ((lambda one: one, "cancelled"), (not_cancelled, "whole")):
        runner = StepRunner(wrap(steps()))
        runner.advance(0.0)
        runner.advance(0.0)
        runner.cancel()
        while not runner.finished:
            runner.advance(0.0)
        assert runner.result == result
    assert left == [1]


def test_a_progress_that_raises_stops_the_steps():
    def stop(done, total, message):
        if done == 1:
            raise KeyboardInterrupt

    closed = []

    def steps():
        try:
            yield 0, 2, "first"
            yield 1, 2, "second"
        finally:
            closed.append(True)

    with pytest.raises(KeyboardInterrupt):
        run_steps(steps(), stop)
    assert closed == [True]


# In a scene


@pytest.fixture
def tracked(scene):
    """A clip in the scene, the clip, and tracks on it."""
    sequence = clip()
    return add_image_sequence(scene, sequence), sequence, tracks_on(sequence)


def names(scene):
    return sorted(scene.GetNthNode(number).GetName() for number in range(scene.GetNumberOfNodes()))


@pytest.mark.parametrize("how", ["closed", "cancelled", "failed"])
def test_steps_that_do_not_finish_leave_only_what_others_added(scene, how):
    def steps():
        for name in ("first", "second"):
            scene.AddNewNodeByClass("vtkMRMLTextNode", name)
            yield 0, 1, name
        raise InputError("no third")

    before = names(scene)
    runner = StepRunner(undone_unless_finished(scene, steps()))
    runner.advance(0.0)
    scene.AddNewNodeByClass("vtkMRMLTextNode", "the user's")
    runner.advance(0.0)
    if how == "closed":
        runner.close()
    elif how == "cancelled":
        runner.cancel()
    if how != "closed":
        with pytest.raises((StepsCancelled, InputError)):
            runner.advance(0.0)
    assert names(scene) == sorted([*before, "the user's"])


def added_in_each_step(scene, steps):
    """The nodes that each step adds, apart from display and storage nodes; and what the steps return."""
    counts = []
    while True:
        before = {scene.GetNthNode(number) for number in range(scene.GetNumberOfNodes())}
        try:
            next(steps)
        except StopIteration as finished:
            return counts, finished.value
        finally:
            after = {scene.GetNthNode(number) for number in range(scene.GetNumberOfNodes())}
            new = [one for one in after - before if not one.IsA("vtkMRMLDisplayNode")]
            counts.append(len([one for one in new if not one.IsA("vtkMRMLStorageNode")]))


def test_a_step_adds_a_node_or_two(scene, tracked):
    """The application runs displayable managers, selectors and the Data module for each."""
    image, sequence, tracks = tracked
    counts, nodes = added_in_each_step(scene, adding_tracks(image, sequence, tracks))
    assert max(counts) <= 2
    assert sum(counts) == 2 + 5 + 2 + 1 + 6 + 1  # landmarks, paths, tables, and the chart with its table and lines
    removed = []
    for _ in renewing_derived(image, sequence, nodes.landmarks, trajectories=True):
        removed.append(scene.GetNumberOfNodes())
    assert np.diff(removed).min() >= -3  # a curve with its display and storage nodes


def updates_of_proxies(browser, steps):
    """How often each step makes Slicer update everything that a browser shows."""
    updates, counts = [], []
    event = slicer.vtkMRMLSequenceBrowserNode.SequenceNodeModifiedEvent
    tag = browser.AddObserver(event, lambda *_: updates.append(1))
    try:
        for _ in steps:
            counts.append(len(updates))
            updates.clear()
    finally:
        browser.RemoveObserver(tag)
    return [*counts, len(updates)]


def test_what_is_shown_changes_only_with_the_frame_that_is_shown(scene, tracked):
    """Each change of a sequence makes Slicer update everything that the browser plays, in every view."""
    image, sequence, tracks = tracked
    landmarks = run_steps(adding_landmarks(image, sequence, tracks))
    image.browser.SetSelectedItemNumber(3)
    moved = replace(tracks, positions_px=tracks.positions_px + 1.5)
    live = LiveTracks(sequence, nodes=landmarks)
    updates = updates_of_proxies(image.browser, live.showing(moved))
    assert updates == [0, 0, 0, 0, 1, 0, 0, 0, 1]  # in the step of frame 3, and at the end
    expected = landmarks.sequence.GetNthDataNode(3).GetNthControlPointPosition(0)
    assert landmarks.proxy.GetNthControlPointPosition(0) == expected
    image.browser.SetSelectedItemNumber(6)
    expected = landmarks.sequence.GetNthDataNode(6).GetNthControlPointPosition(0)
    assert landmarks.proxy.GetNthControlPointPosition(0) == expected


def test_derived_nodes_are_linked_in_one_change(scene, tracked):
    image, sequence, tracks = tracked
    landmarks = run_steps(adding_landmarks(image, sequence, tracks))
    assert sum(updates_of_proxies(image.browser, adding_tracks(image, sequence, tracks, landmarks=landmarks))) == 1


@pytest.mark.parametrize("removed", ["clip", "landmarks", "browser"])
def test_a_node_removed_in_between_ends_the_steps_with_a_sentence_and_leaves_nothing(scene, tracked, removed):
    image, sequence, tracks = tracked
    landmarks = run_steps(adding_landmarks(image, sequence, tracks))
    runner = StepRunner(adding_tracks(image, sequence, tracks, landmarks=landmarks))
    for _ in range(4):
        runner.advance(0.0)
    for node in {"clip": [image.sequence, image.proxy], "landmarks": [landmarks.sequence], "browser": [image.browser]}[
        removed
    ]:
        remove_node(node)
    with pytest.raises(InputError, match="was removed from the scene in the meantime"):
        while not runner.finished:
            runner.advance(0.0)
    assert not [name for name in names(scene) if "path" in name or "displacement" in name or "tracks" in name]


def test_a_path_that_the_user_deletes_in_between_is_left_out(scene, tracked):
    image, sequence, tracks = tracked
    runner = StepRunner(adding_tracks(image, sequence, tracks))
    while scene.GetFirstNodeByName("clip path of P0") is None:
        runner.advance(0.0)
    remove_node(scene.GetFirstNodeByName("clip path of P0"))
    while not runner.finished:
        runner.advance(0.0)
    assert scene.GetFirstNodeByName("clip path of P1") is not None
    assert scene.GetFirstNodeByName("clip path of P0") is None


def test_at_once_is_the_same_as_in_steps(scene, tracked):
    image, sequence, tracks = tracked
    counts, _ = added_in_each_step(scene, adding_tracks(image, sequence, tracks))
    before = scene.GetNumberOfNodesByClass("vtkMRMLMarkupsNode")
    add_tracks(image, sequence, tracks)
    assert scene.GetNumberOfNodesByClass("vtkMRMLMarkupsNode") == 2 * before
    assert len(counts) > 20
    assert isinstance(scene.GetFirstNodeByName("clip landmarks"), slicer.vtkMRMLMarkupsFiducialNode)
