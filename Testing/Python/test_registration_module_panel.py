"""Deformable Registration: its examples, its panel, and what the panel offers."""

import doctest
from dataclasses import replace

import pytest
import slicer

from registration_pairs import (
    linear_transform,
    node_names,
    pair_in,
    swaying_clip,
    table_of,
)
from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.mrml.image_nodes import add_image_sequence


@pytest.mark.parametrize("method", ["register", "registerSequence"])
def test_the_examples_run(logic, scene, method):
    if method == "register":
        nodes = pair_in(scene, (14, 16, 18))
        names = {
            "fixedNode": nodes["fixed"],
            "movingNode": nodes["moving"],
            "segmentationNode": nodes["moving segmentation"],
        }
    else:
        image = add_image_sequence(scene, swaying_clip(3))
        markups = scene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", "points")
        names = {"sequenceNode": image.sequence, "pointsNode": markups}
    examples = doctest.DocTestFinder().find(getattr(logic, method), method, globs=names | {"slicer": slicer})
    assert sum(len(example.examples) for example in examples) >= 4
    for example in examples:
        assert doctest.DocTestRunner().run(example).failed == 0


MODULE = "DeformableRegistration"


@pytest.fixture(scope="module")
def opened(application):
    pytest.importorskip("PySide6", reason="panels are shown with Qt for Python: pip install --editable '.[test]'")
    return application.open_module("DeformableRegistration")


@pytest.fixture
def panel(opened, scene):
    opened.enter()
    return opened


def test_apply_says_what_is_missing(scene, panel):
    from UltrasoundMotionModuleLib.deformable_registration.choices import Preset, Start

    nodes, ui, parameters = pair_in(scene), panel.ui, panel.parameters

    def reason():
        assert ui.applyButton.enabled == (ui.applyButton.toolTip == "Register")
        return "" if ui.applyButton.enabled else ui.applyButton.toolTip

    assert "Choose the fixed volume" in reason()
    parameters.fixedVolume = nodes["fixed"]
    assert "Choose the moving volume" in reason()
    parameters.movingVolume = nodes["fixed"]
    assert "same volume" in reason()
    parameters.movingVolume = nodes["moving"]
    assert reason() == ""
    parameters.start = Start.AS_THEY_LIE
    nodes["moving"].SetAndObserveTransformNodeID(linear_transform(scene, (0, 0, 0), (0, 500, 0)).GetID())
    assert "do not overlap" in reason()
    parameters.start = Start.PRESET
    assert reason() == ""
    parameters.fixedSegmentation = nodes["fixed segmentation"]
    assert "moving segmentation too" in reason()
    panel.onSwap()
    assert (parameters.fixedVolume, parameters.movingSegmentation) == (nodes["moving"], nodes["fixed segmentation"])
    parameters.outputWarped = nodes["fixed"]
    assert "is an input" in reason()
    parameters.outputWarped = None
    assert reason() == ""
    parameters.preset = Preset.ULTRASOUND_SEQUENCE
    assert "Choose a sequence" in reason()
    assert ui.fixedVolumeSelector.isHidden() and not ui.sequenceSelector.isHidden()
    image = add_image_sequence(scene, swaying_clip(3))
    parameters.sequenceVolume, parameters.referenceFrame = image.proxy, 3
    assert "no frame 3: the last is 2" in reason()
    image.browser.SetSelectedItemNumber(2)
    panel.onUseFrameShown()
    assert parameters.referenceFrame == 2 and reason() == ""
    with pytest.raises(InputError, match="registerSequence"):
        panel.commandArguments()


def test_decisions_on_a_pair_can_be_overridden(panel):
    from UltrasoundMotionModuleLib.deformable_registration.choices import Modality, Orientation, SearchRegion, Start

    parameters = panel.parameters
    request = panel.logic.request(parameters)
    assert (request.search_region, request.modality, request.orientation) == ("auto", "auto", "auto")
    assert not request.keep_folds
    parameters.start, parameters.searchRegion = Start.ROTATIONS, SearchRegion.WHOLE
    parameters.modality, parameters.orientation = Modality.DIFFERENT, Orientation.HEADER
    panel.ui.keepFoldsCheckBox.checked = True
    request = panel.logic.request(parameters)
    assert (request.initial_transform, request.search_region) == ("rotations", "whole")
    assert (request.modality, request.orientation, request.keep_folds) == ("different", "header", True)
    for name in ("searchRegion", "modality", "orientation"):
        box = getattr(panel.ui, f"{name}ComboBox")
        assert box.currentText == getattr(parameters, name).label()


@pytest.mark.slow
def test_the_self_test_of_the_application_passes_on_a_shorter_beat(application, scene, monkeypatch):
    import DeformableRegistration
    from UltrasoundMotionModuleLib.deformable_registration import sample as registration_sample

    short = replace(registration_sample.HEART, kind="heart", frameCount=12, title="short heart")
    monkeypatch.setattr(registration_sample, "HEART", short)
    DeformableRegistration.DeformableRegistrationTest().test_sample()


@pytest.mark.slow
def test_the_panel_registers_cancels_and_leaves_nothing_behind(application, scene, panel, capfd):
    nodes = pair_in(scene)
    parameters = panel.parameters
    parameters.fixedVolume, parameters.movingVolume = nodes["fixed"], nodes["moving"]
    parameters.movingSegmentation = nodes["moving segmentation"]
    before = node_names(scene)
    for _ in range(10):
        panel.onApply()
        assert panel.ui.applyButton.text == "&Cancel" and not panel.ui.sampleDataButton.enabled
        panel.onCancel()
        application.wait(lambda: not panel.applyButton.running)
        assert panel.ui.applyButton.text == "&Apply" and "Cancelled" in panel.ui.statusLabel.text
    assert node_names(scene) == before and panel.ui.sampleDataButton.enabled
    panel.onApply()
    application.wait(lambda: panel.ui.progressBar.value > 0)
    panel.onCancel()
    application.wait(lambda: not panel.applyButton.running)
    assert "frames" not in panel.ui.progressBar.format  # a pair is counted in steps
    assert "Cancelled" in panel.ui.statusLabel.text or "nothing folds" in panel.ui.statusLabel.text
    if (
        parameters.outputTransform is not None and "Cancelled" in panel.ui.statusLabel.text
    ):  # the best so far, and it says so
        assert table_of(parameters.outputTable)["interrupted"][1] == "yes"
    panel.onApply()
    application.wait(lambda: not panel.applyButton.running)
    assert application.errors == [] and "nothing folds" in panel.ui.statusLabel.text, (
        application.errors,
        panel.ui.statusLabel.text,
    )
    made = node_names(scene)
    assert parameters.outputTransform.GetName() in " ".join(made) and parameters.outputSegmentation is not None
    assert panel.commandArguments()[:2] == ("ultrasound-motion", "register")
    nodes["fixed"].SetAndObserveTransformNodeID(linear_transform(scene, (0, 0, 0), (1, 0, 0)).GetID())
    with pytest.raises(InputError, match="harden"):
        panel.commandArguments()
    scene.RemoveNode(nodes["fixed"].GetParentTransformNode())
    panel.onApply()
    application.wait(lambda: not panel.applyButton.running)
    assert node_names(scene) == made
    panel.onApply()
    application.wait(lambda: panel.ui.progressBar.value > 0)
    panel.onCancel()
    application.wait(lambda: not panel.applyButton.running)
    assert node_names(scene) == made and "interrupted" not in table_of(
        parameters.outputTable
    )  # a cancelled run spoils no earlier result
    panel.onApply()
    slicer.mrmlScene.Clear(False)
    application.wait(lambda: not panel.applyButton.running)
    assert scene.GetNumberOfNodesByClass("vtkMRMLTransformNode") == 0
    assert capfd.readouterr().err.count("Traceback") == 0


def test_methods_and_starts_are_the_library_s(application):
    from UltrasoundMotionLib.registration import available_methods
    from UltrasoundMotionLib.registration.request import STARTS

    assert choices().methods().all() == available_methods()
    assert {start.value for start in choices().Start} == {"", *STARTS}


def choices():
    from UltrasoundMotionModuleLib.deformable_registration import choices as registration_choices

    return registration_choices
