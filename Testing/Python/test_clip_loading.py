"""Clips get in: read in the child process, loaded and chosen in every panel; why other images are not listed."""

from pathlib import Path

import numpy as np
import pytest
import slicer
import vtk

import slicer_stand_ins
from landmark_bench import LandmarkBench
from module_bench import needs_qt
from mrml_clips import OBLIQUE, clip
from myocardial_bench import MyocardialBench
from registration_pairs import linear_transform
from test_images_dicom import dicom_file
from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.images import colour_frame, read_sequence, write_sequence
from UltrasoundMotionLib.images.volume import Volume
from UltrasoundMotionLib.jobs import run_job
from UltrasoundMotionLib.jobs.capabilities.read_clip import read_clip_job
from UltrasoundMotionLib.mrml.clip_of_volume import clip_of_volume
from UltrasoundMotionLib.mrml.image_nodes import add_image_sequence, image_sequence_from_node
from UltrasoundMotionLib.mrml.sequence_nodes import create_sequence, find_sequence_nodes
from UltrasoundMotionLib.mrml.volume_nodes import add_volume, volume_from_node

RED_CORNER = np.random.default_rng(6).integers(0, 200, (5, 24, 32, 1)).astype(np.uint8).repeat(3, axis=3)
RED_CORNER[:, :6, :8] = (220, 30, 10)


@pytest.fixture
def open_panel(open_bench):
    """Gives `open_panel(module)`, its panel on a scene whose clip is chosen, and the bench."""

    def open_one(name):
        bench = open_bench(MyocardialBench if name == "MyocardialTracking" else LandmarkBench)
        if name != bench.name:
            bench.application.load_module(name)
        widget = bench.application.open_module(name)
        if name == "DeformableRegistration":
            widget.parameters.preset = next(one for one in type(widget.parameters.preset) if one.value.ofSequence)
        return bench, widget

    return open_one


def chosen(widget):
    parameters = widget.parameters
    return parameters.inputClip if hasattr(parameters, "inputClip") else parameters.sequenceVolume


def loading_of(widget):
    return widget.clipLoading


def load(bench, widget, path, monkeypatch, *, folder=False):
    """What a user does: the menu of the button, and a file or a folder."""
    name = "getExistingDirectory" if folder else "getOpenFileName"
    monkeypatch.setattr(slicer_stand_ins.qt_stand_ins.QtWidgets.QFileDialog, name, lambda *_: str(path))
    loading = loading_of(widget)
    (loading.folderAction if folder else loading.fileAction).trigger()
    bench.wait_until_done(widget)


# In the child process


@pytest.mark.parametrize("ending", [".mha", ".nrrd", ".nii.gz"])
def test_a_clip_arrives_as_the_library_reads_it(kept_process, tmp_path, ending):
    path = tmp_path / f"clip{ending}"
    write_sequence(path, clip())
    read, expected = run_job(read_clip_job(path), kept_process).sequence, read_sequence(path)
    np.testing.assert_array_equal(read.frames, [frame for _, frame in expected.iterate()])
    np.testing.assert_allclose(read.spacing_mm, expected.spacing_mm)
    np.testing.assert_allclose(read.times_s, expected.times_s)
    np.testing.assert_allclose(read.direction, expected.direction)
    np.testing.assert_allclose(read.direction, OBLIQUE, atol=1e-6)
    assert read.origin_mm == expected.origin_mm
    assert (read.name, read.path, read.notes) == (expected.name, expected.path, expected.notes)


def test_a_clip_in_colour_stays_in_colour_and_a_grey_one_stored_as_rgb_becomes_grey(kept_process, tmp_path):
    coloured = run_job(read_clip_job(dicom_file(tmp_path / "a.dcm", RED_CORNER, "RGB")), kept_process).sequence
    np.testing.assert_array_equal(colour_frame(coloured, 3), RED_CORNER[3])
    grey = RED_CORNER.copy()
    grey[:, :6, :8] = 7
    read = run_job(read_clip_job(dicom_file(tmp_path / "b.dcm", grey, "RGB")), kept_process).sequence
    assert colour_frame(read, 3) is None
    np.testing.assert_array_equal(read.frames[3], grey[3, ..., 0])


def test_a_clip_in_colour_is_the_same_in_the_scene(kept_process, tmp_path, scene):
    read = run_job(read_clip_job(dicom_file(tmp_path / "a.dcm", RED_CORNER, "RGB")), kept_process)
    nodes = add_image_sequence(scene, read.sequence, grey_levels=read.grey_levels, colour=True)
    assert nodes.proxy.GetClassName() == "vtkMRMLVectorVolumeNode"
    back = image_sequence_from_node(nodes.sequence)
    np.testing.assert_array_equal(colour_frame(back, 2), RED_CORNER[2])
    np.testing.assert_array_equal(back.frame(2), read.sequence.frame(2))


def one_frame(folder):
    path = folder / "still.mha"
    write_sequence(path, clip(frame_count=1))
    return path, "holds one frame"


def series(folder):
    for number in range(3):
        dicom_file(folder / f"{number}.dcm", RED_CORNER[:1, ..., 0], Modality="CT")
    return folder, "is a series and no clip"


def one_slice_of_a_series(folder):
    series(folder)
    return folder / "1.dcm", "its modality is CT"


def sheared(folder):
    path = folder / "sheared.mha"
    header = "ObjectType = Image\nNDims = 3\nDimSize = 8 6 4\nElementType = MET_UCHAR\nElementSpacing = 1 1 1\n"
    header += "TransformMatrix = 1 0 0 0.5 1 0 0 0 1\nElementDataFile = LOCAL\n"
    path.write_bytes(header.encode() + bytes(8 * 6 * 4))
    return path, "not at right angles"


def missing(folder):
    return folder / "gone.nrrd", "no such file"


BAD = [one_frame, series, one_slice_of_a_series, sheared, missing]


@pytest.mark.parametrize("make", BAD)
def test_what_is_no_clip_is_refused_in_one_line(kept_process, tmp_path, make):
    path, reason = make(tmp_path)
    with pytest.raises(InputError, match=reason) as raised:
        run_job(read_clip_job(path), kept_process)
    assert "\n" not in str(raised.value)
    assert str(path) in str(raised.value)


def test_a_folder_with_one_dicom_file_is_that_clip(tmp_path):
    dicom_file(tmp_path / "IM_0001", RED_CORNER, "RGB")
    (tmp_path / "notes.txt").write_text("not an image")
    assert len(read_sequence(tmp_path)) == 5


# In the panels

each_panel = pytest.mark.parametrize("name", ["LandmarkTracking", "MyocardialTracking", "DeformableRegistration"])


@needs_qt
@each_panel
def test_a_loaded_clip_is_chosen_with_spacing_times_and_place(open_panel, name, tmp_path, monkeypatch):
    bench, widget = open_panel(name)
    path = tmp_path / "heart.nrrd"
    write_sequence(path, clip(name="heart"))
    load(bench, widget, path, monkeypatch)
    assert bench.application.errors == []
    assert chosen(widget).GetName().startswith("heart")
    nodes = find_sequence_nodes(chosen(widget))
    read = image_sequence_from_node(nodes.sequence)
    np.testing.assert_allclose(read.spacing_mm, clip().spacing_mm)
    np.testing.assert_allclose(read.times_s, clip().times_s)
    np.testing.assert_allclose(read.direction, OBLIQUE, atol=1e-6)
    assert nodes.browser.GetPlaybackRateFps() == pytest.approx(2000)
    assert widget.ui.statusLabel.text.startswith("Loaded heart: 8 frames of 48 x 40 px, 0.312 x 0.2 mm")
    assert widget.ui.loadClipButton.enabled


@needs_qt
def test_a_folder_of_pictures_is_loaded(open_panel, tmp_path, monkeypatch):
    bench, widget = open_panel("LandmarkTracking")
    write_sequence(tmp_path / "pictures", clip())
    load(bench, widget, tmp_path / "pictures", monkeypatch, folder=True)
    assert chosen(widget).GetName() == "pictures"
    assert "pixel size unknown" in widget.ui.clipLabel.text


def test_registration_shows_a_loaded_clip_in_the_sequences_toolbar(open_panel, tmp_path, monkeypatch):
    """Its panel has no buttons to play, and the toolbar shows a new browser by itself only after an import."""
    bench, widget = open_panel("DeformableRegistration")
    path = tmp_path / "clip.mha"
    write_sequence(path, clip())
    load(bench, widget, path, monkeypatch)
    assert bench.application.shown_browsers[-1] == find_sequence_nodes(chosen(widget)).browser


def test_stored_samples_can_be_removed(open_panel):
    bench, widget = open_panel("LandmarkTracking")
    loading, cache = loading_of(widget), Path(bench.application.cachePath)
    loading._menu._wrapped.aboutToShow.emit()
    assert loading.removeSamplesAction.text == "Remove stored samples (0.0 MB)"
    assert not loading.removeSamplesAction.enabled
    (cache / "other.nrrd").write_bytes(b"1")
    for folder in ("UltrasoundMotion-samples-0", "UltrasoundMotion-samples-1"):
        (cache / folder).mkdir()
        (cache / folder / "liver.seq.nrrd").write_bytes(bytes(2**20))
    loading._menu._wrapped.aboutToShow.emit()
    assert loading.removeSamplesAction.text == "Remove stored samples (2.0 MB)"
    loading.removeSamplesAction.trigger()
    assert [path.name for path in cache.glob("*")] == ["other.nrrd"]
    assert "Removed the stored samples (2.0 MB)" in widget.ui.statusLabel.text
    assert bench.application.errors == []


@needs_qt
def test_loading_needs_no_torch(open_panel, tmp_path, monkeypatch):
    from UltrasoundMotionModuleLib.shared import required_packages

    def refuse():
        raise AssertionError("asked for torch")

    bench, widget = open_panel("LandmarkTracking")
    monkeypatch.setattr(required_packages, "_installed", lambda _: False)
    monkeypatch.setattr(required_packages, "_installTorch", refuse)
    asked = []
    monkeypatch.setattr(required_packages, "_install", lambda packages, _: asked.append(packages))
    path = tmp_path / "heart.nrrd"
    write_sequence(path, clip())
    load(bench, widget, path, monkeypatch)
    assert asked == []
    load(bench, widget, tmp_path / "gone.mp4", monkeypatch)
    assert asked == [["av>=12"]]


@needs_qt
@pytest.mark.parametrize("make", BAD)
def test_what_is_no_clip_is_said_in_the_panel_and_leaves_nothing(open_panel, tmp_path, monkeypatch, make):
    bench, widget = open_panel("LandmarkTracking")
    before, clip_before = bench.nodes(), chosen(widget)
    path, reason = make(tmp_path)
    load(bench, widget, path, monkeypatch, folder=path.is_dir())
    assert reason in widget.ui.statusLabel.text
    assert widget.ui.statusLabel.text.startswith("Failed: ")
    assert bench.nodes() == before
    assert chosen(widget) is clip_before


@needs_qt
def test_what_is_read_is_not_shown_as_part_of_a_run(open_panel, tmp_path, monkeypatch):
    """A clip may be whole before the last progress is looked at: it is no result of tracking."""
    bench, widget = open_panel("LandmarkTracking")
    monkeypatch.setattr(widget, "onPartial", lambda _: bench.application.errors.append("shown"))
    path = tmp_path / "heart.nrrd"
    write_sequence(path, clip())
    loading_of(widget).load(path)
    bench.application.wait(lambda: widget.run.job is not None)
    bench.application.wait(lambda: widget.run is None or widget.run.job.ended)
    bench.wait_until_done(widget)
    assert bench.application.errors == []


@needs_qt
def test_a_long_clip_is_put_into_the_scene_in_short_steps(open_panel, tmp_path, monkeypatch):
    bench, widget = open_panel("LandmarkTracking")
    path = tmp_path / "long.nrrd"
    write_sequence(path, clip(frame_count=60, frame_size=(640, 480)), compress=False)
    from UltrasoundMotionModuleLib.shared import background_job

    slices, advance = [], background_job.BackgroundJob.advance

    def counted(run):
        slices.append(run)
        advance(run)

    monkeypatch.setattr(background_job.BackgroundJob, "advance", counted)
    monkeypatch.setattr(background_job, "_STEP_BUDGET_S", 0.0)  # every slice ends after the least that it can do
    load(bench, widget, path, monkeypatch)
    assert bench.application.errors == []
    assert find_sequence_nodes(chosen(widget)).sequence.GetNumberOfDataNodes() == 60
    assert len(slices) > 60


@needs_qt
def test_a_scene_closed_while_a_clip_is_added_stays_empty_of_it(open_panel, tmp_path):
    bench, widget = open_panel("LandmarkTracking")
    path = tmp_path / "long.nrrd"
    write_sequence(path, clip(frame_count=60, frame_size=(640, 480), name="long"), compress=False)
    loading_of(widget).load(path)
    bench.application.wait(lambda: "into the scene" in widget.ui.statusLabel.text)
    bench.scene.Clear(False)
    assert widget.run is None
    slicer_stand_ins.qt_stand_ins.process_events(50)
    assert not [name for name in bench.nodes() if "long" in name]


@needs_qt
def test_loading_can_be_cancelled(open_panel, tmp_path, monkeypatch):
    bench, widget = open_panel("LandmarkTracking")
    before = bench.nodes()
    path = tmp_path / "long.nrrd"
    write_sequence(path, clip(frame_count=400, frame_size=(200, 160)), compress=False)
    loading_of(widget).load(path)
    assert widget.ui.applyButton.text == "&Cancel"
    assert not widget.ui.loadClipButton.enabled
    widget.ui.applyButton.click()
    bench.wait_until_done(widget)
    assert widget.ui.statusLabel.text == "Cancelled; nothing was finished"
    assert bench.nodes() == before


@needs_qt
@each_panel
def test_a_clip_that_others_load_is_chosen_while_the_panel_is_open(open_panel, name):
    bench, widget = open_panel(name)
    other = add_image_sequence(bench.scene, clip(name="other"))
    bench.application.wait(lambda: chosen(widget) is other.proxy)
    widget.exit()
    add_image_sequence(bench.scene, clip(name="while away"))
    slicer_stand_ins.qt_stand_ins.process_events(50)
    assert chosen(widget) is other.proxy


@needs_qt
@each_panel
def test_the_panel_says_why_an_image_is_not_listed(open_panel, name):
    bench, widget = open_panel(name)
    label = widget.ui.clipLabel
    assert "not listed" not in label.text
    volume = bench.scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "liver.mha")
    slicer.util.updateVolumeFromArray(volume, np.zeros((12, 6, 8), np.uint8))
    bench.application.wait(lambda: "not listed" in label.text)
    widget.onWatchedModified()
    assert "\u201cliver.mha\u201d is not listed: it is a volume of 12 slices, not a sequence" in label.text
    bench.scene.RemoveNode(volume)
    bench.application.wait(lambda: "not listed" not in label.text)

    sequence = create_sequence(bench.scene, "loose", find_sequence_nodes(bench.clip.proxy).index)
    item = slicer.vtkMRMLScalarVolumeNode()
    sequence.SetDataNodeAtValue(item, "0")
    bench.application.wait(lambda: "not listed" in label.text)
    assert "\u201cloose\u201d is not listed: no sequence browser plays it" in label.text


@needs_qt
def test_where_nothing_is_chosen_images_of_before_are_named_too(open_bench):
    bench = open_bench(LandmarkBench)
    image = bench.scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "picture")
    slicer.util.updateVolumeFromArray(image, np.zeros((1, 6, 8), np.uint8))
    widget = bench.application.open_module("LandmarkTracking")
    assert "not listed" not in widget.ui.clipLabel.text
    widget.parameters.inputClip = None
    assert (
        widget.ui.clipLabel.text == "\u201cpicture\u201d is not listed: it is a single image, not a sequence of frames."
    )


@needs_qt
def test_where_a_clips_proxy_is_deleted_the_new_one_is_chosen(open_panel):
    """The browser of a sequence makes another proxy at once."""
    bench, widget = open_panel("LandmarkTracking")
    bench.scene.RemoveNode(bench.clip.proxy)
    bench.application.wait(lambda: chosen(widget) is not None)
    assert find_sequence_nodes(chosen(widget)).sequence is bench.clip.sequence
    assert chosen(widget) is not bench.clip.proxy


# A volume that is loaded


def volume_in(scene, name="frames"):
    """12 x 6 x 8 voxels (K, J, I) that differ, on an oblique grid."""
    array = np.random.default_rng(2).integers(0, 255, (12, 6, 8)).astype(np.int16)
    return add_volume(scene, Volume(array, (0.5, 0.4, 2.0), (3.0, -4.0, 5.0), OBLIQUE, name), name)


@pytest.mark.parametrize(("axis", "size"), [("K", (12, 6, 8)), ("J", (6, 12, 8)), ("I", (8, 12, 6))])
def test_the_frames_of_a_volume_lie_where_its_voxels_do(scene, axis, size):
    node = volume_in(scene)
    made = clip_of_volume(node, axis, frame_rate_hz=20)
    assert made.frames.shape == size
    np.testing.assert_allclose(made.times_s, np.arange(size[0]) / 20)
    volume = volume_from_node(node)
    voxel = np.zeros(3)  # i, j, k of the pixel x = 3, y = 2 of the first frame
    voxel[[0, 1] if axis == "K" else [0, 2] if axis == "J" else [1, 2]] = 3, 2
    place = volume.direction @ (voxel * volume.spacing_mm) + volume.origin_mm
    np.testing.assert_allclose(made.pixels_to_lps_mm(np.array([3.0, 2.0])), place, atol=1e-9)
    assert made.frame(0)[2, 3] == volume.array[tuple(voxel[::-1].astype(int))]
    assert np.linalg.det(made.direction) == pytest.approx(1)


def test_the_pixel_size_of_an_uncalibrated_volume_is_unknown_and_times_are_not_invented(scene):
    node = volume_in(scene)
    node.SetSpacing(1, 1, 1)
    made = clip_of_volume(node)
    assert made.spacing_mm is None
    assert made.times_s is None


def test_a_sheared_volume_and_a_single_slice_are_refused(scene):
    node = volume_in(scene)
    with pytest.raises(InputError, match="fewer than two slices"):
        clip_of_volume(add_volume(scene, Volume(np.zeros((1, 6, 8)), (1, 1, 1), (0, 0, 0), np.eye(3), "one"), "one"))
    matrix = vtk.vtkMatrix4x4()
    node.GetIJKToRASMatrix(matrix)
    matrix.SetElement(0, 1, matrix.GetElement(0, 1) + 0.3)
    node.SetIJKToRASMatrix(matrix)
    with pytest.raises(InputError, match="not orthogonal"):
        clip_of_volume(node)


@needs_qt
@each_panel
def test_a_loaded_volume_becomes_a_clip(open_panel, name, monkeypatch):
    bench, widget = open_panel(name)
    loading = loading_of(widget)
    assert not loading.volumeAction.enabled
    volume = volume_in(bench.scene)
    transform = linear_transform(bench.scene, (10, 20, 30), (1, 2, 3))
    volume.SetAndObserveTransformNodeID(transform.GetID())
    bench.application.wait(lambda: loading.volumeAction.enabled)
    shown = []

    def answer(dialog):
        shown.append((dialog.sizeLabel.text, dialog.picture.pixmap.width()))
        dialog.axisBox.currentIndex = 1
        shown.append((dialog.sizeLabel.text, dialog.picture.pixmap.width()))
        dialog.rateBox.value = 25.0
        return True

    monkeypatch.setattr(type(loading).onVolume.__globals__["VolumeDialog"], "exec", answer)
    loading.volumeAction.trigger()
    bench.wait_until_done(widget)
    assert bench.application.errors == []
    assert shown == [("12 frames of 8 x 6 px", 8), ("6 frames of 8 x 12 px", 8)]
    nodes = find_sequence_nodes(chosen(widget))
    assert nodes.sequence.GetNumberOfDataNodes() == 6
    assert nodes.browser.GetPlaybackRateFps() == pytest.approx(25)
    assert nodes.proxy.GetTransformNodeID() == transform.GetID()
    assert widget.ui.statusLabel.text == "Made a clip of frames"
    slicer_stand_ins.qt_stand_ins.process_events(50)
    assert chosen(widget) is nodes.proxy


@needs_qt
def test_a_volume_that_cannot_be_a_clip_is_said_so_in_the_dialog(open_panel):
    bench, widget = open_panel("LandmarkTracking")
    volume = volume_in(bench.scene)
    matrix = vtk.vtkMatrix4x4()
    volume.GetIJKToRASMatrix(matrix)
    matrix.SetElement(0, 1, matrix.GetElement(0, 1) + 0.3)
    volume.SetIJKToRASMatrix(matrix)
    from UltrasoundMotionModuleLib.shared.volume_dialog import VolumeDialog

    dialog = VolumeDialog(widget.uiWidget, [volume])
    assert "not orthogonal" in dialog.sizeLabel.text
    assert not dialog.makeButton.enabled


@needs_qt
@pytest.mark.parametrize(
    ("path", "count"), [("echo-a4c-dicom/examples_ybr_color.dcm", 30), ("echo-video/input.mp4", None)]
)
@pytest.mark.slow
def test_real_clips_get_in(open_panel, shared_data, monkeypatch, path, count):
    if path.endswith(".mp4"):
        pytest.importorskip("av", reason="needs av: pip install --editable '.[video]'")
    bench, widget = open_panel("LandmarkTracking")
    load(bench, widget, shared_data(path), monkeypatch)
    assert bench.application.errors == []
    read, expected = (
        image_sequence_from_node(find_sequence_nodes(chosen(widget)).sequence),
        read_sequence(shared_data(path)),
    )
    assert len(read) == (count or len(expected))
    np.testing.assert_array_equal(read.frame(1), expected.frame(1))
    assert read.spacing_mm == pytest.approx(expected.spacing_mm) if expected.spacing_mm else read.spacing_mm is None
