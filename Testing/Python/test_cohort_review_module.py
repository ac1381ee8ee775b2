"""Cohort Review: cases of all verbs opened, decided on, corrected and put back, from the console and by clicks."""

import json

import numpy as np
import pytest
import slicer

import slicer_stand_ins
from cohort_samples import FRAMES, run_cases, wall_tracks, write_clips
from module_bench import needs_qt
from registration_pairs import node_names
from trajectory_samples import speckle_clip
from UltrasoundMotionLib import ImageSequence, write_sequence
from UltrasoundMotionLib.cli.main import main
from UltrasoundMotionLib.cohort.manifest import read_manifest
from UltrasoundMotionLib.cohort.review import read_case
from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.mrml.displacement_transforms import transform_points
from UltrasoundMotionLib.mrml.image_geometry import pixels_to_ras_mm
from UltrasoundMotionLib.mrml.track_links import derived_nodes
from UltrasoundMotionLib.tracking import read_tracks_csv
from widget_api import check_recorded

MODULE = "CohortReview"
SHIFT = 2


@pytest.fixture
def tracked(tmp_path):
    """The results of two tracked clips, both doubtful."""
    out = run_cases(write_clips(tmp_path / "in", 2), tmp_path / "out")
    for path, doubt in zip(sorted((out / "cases").glob("*/done.json")), (0.3, 0.6), strict=True):
        content = json.loads(path.read_text()) | {"doubt": doubt, "doubts": ["a: confidence low"]}
        path.write_text(json.dumps(content))
    return out


@pytest.fixture
def strain(tmp_path):
    """The results of strain of a wall, with its clip."""
    frames = np.repeat(speckle_clip(3, 0.0)[0], 20, axis=0)[:20]
    frames = np.pad(frames, ((0, 0), (0, 160 - frames.shape[1]), (0, 160 - frames.shape[2])))
    write_sequence(tmp_path / "clip.seq.nrrd", ImageSequence(frames))
    wall_tracks(tmp_path / "wall.csv")
    table = tmp_path / "strain.csv"
    table.write_text("case,verb,tracks,clip,view\nw,strain,wall.csv,clip.seq.nrrd,A2C\n")
    return run_cases(table, tmp_path / "out")


def registration(tmp_path):
    """The results of a pair of which the moving image lies to the right."""
    import SimpleITK as sitk

    blob = np.exp(-(((np.mgrid[:24, :24] - 12) / 4.0) ** 2).sum(axis=0)) * 100
    for name, shift in (("fixed", 0), ("moving", SHIFT)):
        image = np.roll(blob, shift, axis=1)
        for ending, array in (("", image.astype(np.float32)), ("_labels", (image > 40).astype(np.uint8))):
            picture = sitk.GetImageFromArray(array)
            picture.SetSpacing((0.5, 0.5))
            sitk.WriteImage(picture, str(tmp_path / f"{name}{ending}.nrrd"))
    table = tmp_path / "pairs.csv"
    table.write_text(
        "case,verb,fixed,moving,fixed_labels,moving_labels,method\n"
        "p,register,fixed.nrrd,moving.nrrd,fixed_labels.nrrd,moving_labels.nrrd,demons\n"
    )
    return run_cases(table, tmp_path / "out")


def run_again(out, name):
    """The case as `cohort review OUT --apply` runs it, in this process."""
    from UltrasoundMotionLib.cohort.case_run import run_case

    record = run_case(read_case(out, name).case, out, main)
    assert not record.reason, record.reason
    return read_case(out, name)


def left_of(scene, before):
    """What a case left in the scene, but parameters, colours and views, which others use too."""
    shared = ("vtkMRMLScriptedModuleNode", "vtkMRMLProceduralColorNode", "vtkMRMLSlice")
    return [name for name in node_names(scene) if name not in before and not name.startswith(shared)]


def drag(opened, frame, number, to_px):
    opened.clip.browser.SetSelectedItemNumber(frame)
    proxy = opened.landmarks.proxy if opened.landmarks is not None else opened.wall.curve
    proxy.SetNthControlPointPosition(number, *pixels_to_ras_mm(opened.sequence, np.array(to_px)))


def test_tracks_are_opened_corrected_and_put_back(logic, scene, tracked, monkeypatch):
    before = node_names(scene)
    assert logic.nextCase(tracked) == "case-1" and logic.nextCase(tracked, ["case-1"]) == "case-0"
    opened = logic.open(tracked, "case-1")
    np.testing.assert_allclose(
        opened.tracks.positions_px, read_tracks_csv(tracked / "cases" / "case-1" / "tracks.csv").positions_px, atol=1e-5
    )
    assert not opened.isCorrected
    with pytest.raises(InputError, match="case-1: nothing was corrected"):
        logic.putBack(opened)
    assert logic.prepareCorrection(opened) == "LandmarkTracking"
    from UltrasoundMotionModuleLib.landmark_tracking.logic import LandmarkTrackingLogic

    tracking = LandmarkTrackingLogic()
    parameters = tracking.getParameterNode()
    assert parameters.trackedLandmarks is opened.landmarks.proxy and parameters.inputClip is opened.clip.proxy
    assert not opened.landmarks.proxy.GetLocked() and parameters.tracker == "lucas-kanade"
    drag(opened, FRAMES - 1, 0, (30.0, 20.0))
    drag(opened, 0, 1, (31.0, 22.0))  # on the frame on which the points were placed
    tracking.markLost(opened.landmarks.proxy, "b", [2])
    assert opened.isCorrected
    with pytest.raises(InputError, match="points were corrected"):
        logic.accept(opened)
    logic.putBack(opened, by="anna", note="b was wrong")
    assert not opened.isCorrected, "what was put back is what the results will have"
    pending = read_case(tracked, "case-1")
    assert pending.state == "to run" and pending.decision.by == "anna" and pending.decision.note == "b was wrong"
    # opened again before the cohort was run, the corrections are there
    again = logic.open(tracked, "case-1")
    assert set(again.currentCorrections()) == set(opened.currentCorrections())
    drag(again, 3, 0, (24.0, 24.0))
    logic.putBack(again)
    found = run_again(tracked, "case-1")
    assert found.state == "corrected"
    tracks = read_tracks_csv(found.folder / "tracks.csv")
    np.testing.assert_allclose(
        tracks.positions_px[[FRAMES - 1, 3, 0], [0, 0, 1]], [[30, 20], [24, 24], [31, 22]], atol=1e-4
    )
    assert not tracks.visible[2, 1]
    for one in (opened, again):
        logic.close(one)
        assert not one.isThere
    assert left_of(scene, before) == []
    with pytest.raises(InputError, match="open it again"):
        logic.putBack(opened)


def test_a_wall_is_opened_with_its_strain_and_its_tracks_are_put_back(logic, scene, strain):
    before = node_names(scene)
    opened = logic.open(strain, "w")
    assert opened.wall.view == "A2C" and derived_nodes(opened.wall.main, "vtkMRMLModelNode")
    assert logic.prepareCorrection(opened) == "MyocardialTracking" and opened.wall.editable
    assert not opened.isCorrected
    drag(opened, 9, 6, (64.0, 50.0))
    logic.putBack(opened)
    found = run_again(strain, "w")
    assert found.state == "corrected"
    original, corrected = read_tracks_csv(found.record.options["tracks"]), read_tracks_csv(found.option("tracks"))
    np.testing.assert_allclose(corrected.positions_px[9, 6], (64, 50), atol=1e-3)
    others = np.arange(20) != 9
    np.testing.assert_allclose(corrected.positions_px[others], original.positions_px[others], atol=1e-3)
    np.testing.assert_array_equal(corrected.times_s, original.times_s)
    assert corrected.labels == original.labels
    assert (strain / "reviewed" / "w" / "original" / "strain.csv").is_file()
    logic.close(opened)
    assert left_of(scene, before) == []


def test_strain_without_a_clip_takes_that_of_the_tracked_case(logic, scene, tracked, tmp_path):
    table = tmp_path / "strain.csv"
    tracks = tracked / "cases" / "case-1" / "tracks.csv"
    table.write_text(f"case,verb,tracks\ns,strain,{tracks}\nt,strain,{tmp_path / 'wall.csv'}\n")
    wall_tracks(tmp_path / "wall.csv")
    from UltrasoundMotionLib.cohort.case_run import CaseRecord
    from UltrasoundMotionLib.cohort.corrections import clip_of_case
    from UltrasoundMotionLib.cohort.decisions import NOT_REVIEWED
    from UltrasoundMotionLib.cohort.review import ReviewedCase

    def reviewed(case):
        record = CaseRecord(case.name, "strain", "", 0.0, options=dict(case.options))
        return ReviewedCase(record, tmp_path, case, case, NOT_REVIEWED)

    ours, others = read_manifest(table)
    assert clip_of_case(reviewed(ours)).path == tmp_path / "in" / "c1.seq.nrrd"
    with pytest.raises(InputError, match="t: the clip is not known: give it in the manifest's column clip"):
        clip_of_case(reviewed(others))


@pytest.mark.slow
def test_a_registration_is_opened_with_its_transform_and_run_with_other_options(logic, scene, tmp_path):
    before, out = node_names(scene), registration(tmp_path)
    opened = logic.open(out, "p")
    carried = transform_points(opened.transform, np.array([[(12 + SHIFT) * 0.5, 6.0, 0.0]]))
    assert abs(carried[0, 0] - 6.0) < 0.4, "the moving blob's middle lies on the fixed one's"
    assert opened.moving.GetTransformNodeID() == opened.transform.GetID()
    assert set(opened.segmentations) == {"fixed", "moving"}
    logic.accept(opened)
    assert read_case(out, "p").state == "accepted"
    assert logic.prepareCorrection(opened) == "DeformableRegistration"
    from UltrasoundMotionModuleLib.deformable_registration.logic import DeformableRegistrationLogic

    parameters = DeformableRegistrationLogic().getParameterNode()
    assert parameters.method == "demons" and parameters.fixedVolume is opened.fixed
    with pytest.raises(InputError, match="choose another method, start or refinement"):
        logic.putBack(opened)
    parameters.workingSpacing = 1.0
    logic.putBack(opened)
    assert read_case(out, "p").decision.options == {"working_spacing_mm": "1.0"}
    found = run_again(out, "p")
    assert found.state == "not reviewed", "nobody has seen its result"
    logic.close(opened)
    assert left_of(scene, before) == []


def test_what_cannot_be_opened_is_said_and_leaves_nothing(logic, scene, tracked, tmp_path):
    before = node_names(scene)
    with pytest.raises(InputError, match="is no folder of a cohort's results"):
        logic.nextCase(tmp_path / "in")
    with pytest.raises(InputError, match="no case case-9 is finished"):
        logic.open(tracked, "case-9")
    (tmp_path / "in" / "c0.seq.nrrd").unlink()
    with pytest.raises(InputError, match=r"case-0: input: .*c0.seq.nrrd: no such file"):
        logic.open(tracked, "case-0")
    write_sequence(tmp_path / "in" / "c1.seq.nrrd", ImageSequence(np.zeros((3, 48, 48), np.uint8)))
    with pytest.raises(InputError, match="case-1: tracks of 6 frames for a clip of 3"):
        logic.open(tracked, "case-1")
    assert node_names(scene) == before


@needs_qt
def test_a_reviewer_goes_through_the_doubtful_cases_by_clicks(application, scene, tracked, monkeypatch):
    with slicer_stand_ins.qt_stand_ins.recorded() as used:
        click_through(application, scene, tracked, monkeypatch)
    check_recorded(used)


def click_through(application, scene, tracked, monkeypatch):
    panel = application.open_module(MODULE)
    ui, dialog = panel.ui, slicer_stand_ins.qt_stand_ins.QtWidgets.QFileDialog

    def wait():
        application.wait(lambda: panel.run is None)

    assert ui.applyButton.toolTip == "Choose the folder of a cohort's results" and not ui.openButton.enabled
    monkeypatch.setattr(dialog, "getExistingDirectory", lambda *_: str(tracked / "cases"))
    ui.chooseButton.click()
    assert "is no folder of a cohort's results" in ui.applyButton.toolTip
    monkeypatch.setattr(dialog, "getExistingDirectory", lambda *_: str(tracked))
    ui.chooseButton.click()
    assert ui.applyButton.enabled and ui.countsLabel.text == "2 not reviewed" and ui.caseSelector.count == 2
    assert not ui.acceptButton.enabled and ui.caseLabel.text == "No case is open"
    ui.applyButton.click()
    wait()
    assert ui.caseLabel.text.startswith("case-1 \u00b7 track \u00b7 lucas-kanade \u00b7 not reviewed\na: confidence")
    ui.reviewerEdit.text, ui.noteEdit.text = "anna", "follows"
    ui.acceptButton.click()
    assert ui.statusLabel.text == "case-1 is accepted" and ui.countsLabel.text == "1 not reviewed, 1 accepted"
    assert ui.noteEdit.text == "" and read_case(tracked, "case-1").decision.note == "follows"
    assert "by anna: follows" in ui.caseLabel.text
    clip = panel._opened.clip
    ui.applyButton.click()
    wait()
    assert panel._opened.case.name == "case-0" and clip.sequence.GetScene() is None, "the case before is closed"
    correct_and_open_another(application, panel, monkeypatch, wait)
    ui.putBackButton.click()
    assert ui.countsLabel.text == "1 to run, 1 accepted"
    assert ui.applyButton.toolTip == "No doubtful case is left; 0 cases without doubt are not reviewed"
    assert panel.commandArguments() == ("ultrasound-motion", "cohort", "review", str(tracked), "--apply")
    ui.reopenButton.click()
    assert ui.countsLabel.text == "1 not reviewed, 1 accepted"
    ui.rejectButton.click()
    assert ui.countsLabel.text == "1 accepted, 1 rejected" and application.errors == []
    scene.Clear(False)
    assert panel._opened is None and not ui.acceptButton.enabled
    assert (tracked / "reviewed" / "case-0" / "decision.json").is_file()


def correct_and_open_another(application, panel, monkeypatch, wait):
    """Corrects a point of the case that is open; another case that is opened then leaves it in the scene."""
    ui, chosen = panel.ui, []
    monkeypatch.setattr(slicer.util, "selectModule", chosen.append, raising=False)
    ui.correctButton.click()
    assert chosen == ["LandmarkTracking"]
    panel.exit()
    drag(panel._opened, FRAMES - 1, 0, (30.0, 20.0))
    panel.enter()
    ui.acceptButton.click()
    assert "points were corrected" in application.errors.pop()
    corrected = panel._opened
    ui.caseSelector.setCurrentIndex(0)
    ui.openButton.click()
    wait()
    assert "case-0 was corrected and not put back: it stays in the scene" in ui.statusLabel.text
    assert corrected.isThere
    panel._opened = corrected
