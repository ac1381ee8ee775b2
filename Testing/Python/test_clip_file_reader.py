"""The reader that drag and drop and Add Data offer as "Ultrasound clip (UltrasoundMotion)"."""

import builtins
import inspect
import io
import os
import re
from fnmatch import fnmatch
from types import SimpleNamespace

import numpy as np
import pytest
import slicer

from landmark_bench import LandmarkBench
from module_bench import needs_qt
from mrml_clips import OBLIQUE, clip
from slicer_signatures import COMMITS, held_reader
from UltrasoundMotionLib.images import write_sequence
from UltrasoundMotionLib.mrml.image_nodes import image_sequence_from_node
from UltrasoundMotionLib.mrml.sequence_nodes import find_sequence_nodes

VERSIONS = tuple(COMMITS)
SLICERS_LEAST = 0.5
"""The confidence of Slicer's readers begins here (qSlicerFileReader::canLoadFileConfidence)."""


class ReaderParent:
    """The qSlicerScriptedFileReader that a scripted reader gets."""

    def __init__(self):
        self.loadedNodes, self._messages, self.reader = [], slicer.vtkMRMLMessageCollection(), None

    def supportedNameFilters(self, path):  # noqa: N802
        patterns = [one for text in self.reader.extensions() for one in text.partition("(")[2].rstrip(")").split()]
        return [one for one in patterns if fnmatch(path.lower(), one)]

    def userMessages(self):  # noqa: N802
        return self._messages


@pytest.fixture
def bench(open_bench):
    return open_bench(LandmarkBench)


@pytest.fixture
def reader(bench, monkeypatch):
    parent = ReaderParent()
    parent.reader = bench.module.LandmarkTrackingFileReader(parent)
    shown = []
    monkeypatch.setattr(slicer.modules, "sequences", SimpleNamespace(showSequenceBrowser=shown.append), raising=False)
    parent.reader.shown = shown
    return parent.reader


def test_it_is_named_and_offered_for_every_kind_of_clip(reader):
    assert reader.description() == "Ultrasound clip (UltrasoundMotion)"
    assert reader.fileType() == "UltrasoundClipFile"
    for name in ("a.mp4", "a.AVI", "a.mha", "a.mhd", "a.nrrd", "a.seq.nrrd", "a.nii", "a.nii.gz", "IM1.dcm"):
        assert reader.canLoadFile(name) is True
        assert reader.canLoadFileConfidence(name) > 0
    for name in ("a.mrb", "a.png", "a.stl", "a", "nrrd"):
        assert reader.canLoadFile(name) is False
        assert reader.canLoadFileConfidence(name) == 0.0


@pytest.mark.parametrize("version", VERSIONS)
def test_it_has_what_slicer_calls_and_calls_what_slicer_has(reader, version):
    interface = held_reader()[version]
    own = {name for name in dir(type(reader)) if not name.startswith("_")}
    assert own == set(interface["called"])
    asked = set(re.findall(r"self\.parent\.(\w+)", inspect.getsource(type(reader).__mro__[1])))
    assert asked == {"loadedNodes", "supportedNameFilters", "userMessages"}
    assert asked <= set(interface["offered"])


def test_volumes_and_dicom_stay_with_slicers_own_readers(reader, tmp_path):
    for name in ("a.mha", "a.mhd", "a.nrrd", "a.nii", "a.nii.gz", "IM1.dcm"):
        assert reader.canLoadFileConfidence(name) < SLICERS_LEAST
    for name in ("a.mp4", "a.avi"):  # Slicer's volume reader claims all files with 0.5 and cannot read these
        assert reader.canLoadFileConfidence(name) > SLICERS_LEAST
    assert type(reader.canLoadFileConfidence("a.mp4")) is float  # Slicer takes nothing else


def test_it_answers_from_the_name_alone(reader, monkeypatch):
    """Slicer asks all readers about each file that it loads: none of them may wait for a disk."""

    def refuse(*_arguments, **_options):
        raise AssertionError("the disk was asked")

    with monkeypatch.context() as patches:
        for module, name in ((builtins, "open"), (io, "open"), (os, "open"), (os, "stat"), (os, "scandir")):
            patches.setattr(module, name, refuse)
        confidence = reader.canLoadFileConfidence("/a folder/a file that is not there.nrrd")
    assert confidence > 0


@needs_qt
def test_a_file_becomes_a_clip_that_an_open_panel_chooses(bench, reader, tmp_path):
    widget = bench.open()
    path = tmp_path / "heart.mha"
    write_sequence(path, clip())
    assert reader.load({"fileName": str(path), "fileType": "UltrasoundClipFile"}) is True
    proxy = bench.scene.GetNodeByID(reader.parent.loadedNodes[0])
    nodes = find_sequence_nodes(proxy)
    assert reader.parent.loadedNodes == [one.GetID() for one in (nodes.proxy, nodes.sequence, nodes.browser)]
    assert reader.shown == [nodes.browser]
    read = image_sequence_from_node(nodes.sequence)
    np.testing.assert_allclose(read.spacing_mm, clip().spacing_mm)
    np.testing.assert_allclose(np.diff(read.times_s), np.diff(clip().times_s), atol=1e-9)
    np.testing.assert_allclose(read.direction, OBLIQUE, atol=1e-6)
    bench.application.wait(lambda: widget.parameters.inputClip is proxy)


@needs_qt
def test_the_name_that_is_asked_for_is_given(bench, reader, tmp_path):
    path = tmp_path / "heart.nrrd"
    write_sequence(path, clip())
    assert reader.load({"fileName": str(path), "name": "Four chambers"})
    assert bench.scene.GetNodeByID(reader.parent.loadedNodes[0]).GetName() == "Four chambers"


@needs_qt
def test_what_is_no_clip_is_reported_and_leaves_nothing(bench, reader, tmp_path):
    before = bench.nodes()
    path = tmp_path / "still.mha"
    write_sequence(path, clip(frame_count=1))
    assert reader.load({"fileName": str(path)}) is False
    messages = reader.parent.userMessages()
    assert messages.GetNumberOfMessages() == 1
    assert "holds one frame" in messages.GetNthMessageText(0)
    assert bench.nodes() == before
    assert reader.parent.loadedNodes == []


@needs_qt
def test_it_can_be_cancelled_in_its_dialog(bench, reader, tmp_path, monkeypatch):
    before = bench.nodes()
    path = tmp_path / "long.nrrd"
    write_sequence(path, clip(frame_count=200))
    create = slicer.util.createProgressDialog

    def cancelled_at_once(**options):
        dialog = create(**options)
        dialog.cancel()
        return dialog

    monkeypatch.setattr(slicer.util, "createProgressDialog", cancelled_at_once)
    assert reader.load({"fileName": str(path)}) is False
    assert reader.parent.userMessages().GetNthMessageText(0) == "loading was cancelled"
    assert bench.nodes() == before
