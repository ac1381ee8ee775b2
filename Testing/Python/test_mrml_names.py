"""Scenes whose nodes and files have any name open again."""

import numpy as np
import pytest

from UltrasoundMotionLib.errors import OutputError
from UltrasoundMotionLib.images import ImageSequence
from UltrasoundMotionLib.tracking import PointTracks

pytest.importorskip("slicer", reason="needs slicer-core: pip install --editable '.[slicer]'")

NAMES = [
    "4ch & 2ch [a]",
    "a <b> \"c\" 'd'",
    "a/b\\c",
    "two\nlines\tand a tab",
    "x" * 300,
    "心臓 القلب сердце 😀",
    "100% $x^2$;|:*?,",
    "..",
]


def result(name):
    frames = np.random.default_rng(0).integers(0, 255, (3, 16, 20)).astype("u1")
    times = np.arange(3) / 10
    sequence = ImageSequence(frames, (0.5, 0.5), times, name=name)
    positions = np.array([[[5 + frame, 6.0], [9, 10 + frame]] for frame in range(3)])
    sure = np.ones((3, 2))
    tracks = PointTracks(
        positions_px=positions, confidence=sure, visible=sure > 0, labels=(name, f"{name} 2"), query_frame=0,
        times_s=times, spacing_mm=(0.5, 0.5), model="lucas-kanade",
    )  # fmt: skip
    return sequence, tracks


def nodes_of(scene, kind):
    return [scene.GetNthNodeByClass(index, kind) for index in range(scene.GetNumberOfNodesByClass(kind))]


@pytest.mark.parametrize("name", NAMES, ids=range(len(NAMES)))
def test_a_scene_of_any_name_opens_again(slicer_core, tmp_path, name):
    from UltrasoundMotionLib.mrml.headless_scene import HeadlessScene
    from UltrasoundMotionLib.mrml.scene_files import read_scene
    from UltrasoundMotionLib.mrml.tracking_scene import write_tracking_scene

    sequence, tracks = result(name)
    path = tmp_path / f"{name.replace('/', '_')[:150]}.mrb" if name != ".." else tmp_path / "...mrb"
    write_tracking_scene(path, sequence, tracks, curve_labels=tracks.labels)
    assert [file.name for file in tmp_path.iterdir()] == [path.name]
    with HeadlessScene() as scene:
        read_scene(scene, path)
        assert name.replace("\t", " ") in [node.GetName() for node in nodes_of(scene, "vtkMRMLScalarVolumeNode")]
        sequences = nodes_of(scene, "vtkMRMLSequenceNode")
        assert [node.GetNumberOfDataNodes() for node in sequences] == [3, 3, 3]
        (points,) = [node for node in sequences if node.GetName().endswith("landmarks sequence")]
        item = points.GetNthDataNode(2)
        assert tuple(item.GetNthControlPointLabel(index) for index in range(2)) == tracks.labels
        position = [0.0, 0.0, 0.0]
        item.GetNthControlPointPosition(0, position)
        np.testing.assert_allclose(position, (-7 * 0.5, -6 * 0.5, 0))
        table, rounded, plotted = nodes_of(scene, "vtkMRMLTableNode")
        assert rounded.GetName() == f"{table.GetName()}, rounded"
        for shown in (table, rounded):
            assert (shown.GetNumberOfRows(), shown.GetNumberOfColumns()) == (6, 7)
        assert (plotted.GetNumberOfRows(), plotted.GetNumberOfColumns()) == (3, 4)
        columns = [plotted.GetColumnName(column) for column in range(4)]
        assert all(node.GetYColumnName() in columns for node in nodes_of(scene, "vtkMRMLPlotSeriesNode"))


def test_saving_leaves_names_and_file_names_as_they_were(scene, tmp_path):
    from UltrasoundMotionLib.mrml.image_nodes import add_image_sequence
    from UltrasoundMotionLib.mrml.scene_files import write_scene

    nodes = add_image_sequence(scene, result("a & [b]")[0])
    write_scene(scene, tmp_path / "s.mrb")
    assert nodes.sequence.GetNthDataNode(0).GetName() == "a & [b]"
    assert not nodes.sequence.GetStorageNode().GetFileName()


def test_a_name_with_control_characters_is_refused(scene, tmp_path):
    from UltrasoundMotionLib.mrml.image_nodes import add_image_sequence
    from UltrasoundMotionLib.mrml.scene_files import write_scene

    add_image_sequence(scene, result("bell\x07")[0])
    with pytest.raises(OutputError, match=r"s\.mrb: the name 'bell.* control characters"):
        write_scene(scene, tmp_path / "s.mrb")
    assert not list(tmp_path.iterdir())


def test_a_long_clip_can_be_thinned_in_the_scene(slicer_core, tmp_path):
    from UltrasoundMotionLib.cli.tracking_outputs import TrackingOutputs
    from UltrasoundMotionLib.mrml.headless_scene import HeadlessScene
    from UltrasoundMotionLib.mrml.scene_files import read_scene

    frames = np.random.default_rng(0).integers(0, 255, (20, 16, 20)).astype("u1")
    sequence = ImageSequence(frames, (0.5, 0.5), np.arange(20) / 10, name="clip")
    positions = np.stack([np.full((20, 1), 5.0) + np.arange(20)[:, None] / 4, np.full((20, 1), 6.0)], axis=2)
    sure = np.ones((20, 1))
    tracks = PointTracks(positions, sure, sure > 0, ("A",), 7, np.arange(20) / 10, (0.5, 0.5), "lucas-kanade")
    outputs = TrackingOutputs(scene=tmp_path / "s.mrb", scene_every=5)
    outputs.write(sequence, tracks, quiet=True)
    with HeadlessScene() as scene:
        read_scene(scene, tmp_path / "s.mrb")
        images, points = nodes_of(scene, "vtkMRMLSequenceNode")
        times = [float(images.GetNthIndexValue(index)) for index in range(images.GetNumberOfDataNodes())]
        np.testing.assert_allclose(times, [0.2, 0.7, 1.2, 1.7])
        position = [0.0, 0.0, 0.0]
        points.GetNthDataNode(3).GetNthControlPointPosition(0, position)
        np.testing.assert_allclose(position, (-(5 + 17 / 4) * 0.5, -3.0, 0), atol=1e-6)
    assert outputs.scene_notes(sequence) == ()

    class Long:
        shape, dtype = (100_000, 512, 512), np.dtype("u1")

        def __getitem__(self, index):
            return np.zeros((512, 512), "u1")

    assert "--scene-every" in TrackingOutputs(scene=tmp_path / "s.mrb").scene_notes(ImageSequence(Long()))[0]
