"""`demo`: a real heart followed, its strain, and the scene that plays it."""

import csv
import io
from contextlib import redirect_stderr, redirect_stdout

import numpy as np
import pytest

from command_line import without_progress
from UltrasoundMotionLib.cli.main import main
from UltrasoundMotionLib.strain.strain_files import read_strain_csv, read_strain_json
from UltrasoundMotionLib.tracking import read_tracks_csv

SPACING_MM = (
    2 * 0.5104970559477806
)  # of the demo's clip: its DICOM region gives half of that for frames of twice the size


pytestmark = pytest.mark.slow  # what it puts together, tracks, strain and scene, is tested in the quick part


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """The demo, run once: its folder, and what it said."""
    folder = tmp_path_factory.mktemp("demo") / "new" / "folder"
    said, errors = io.StringIO(), io.StringIO()
    with redirect_stdout(said), redirect_stderr(errors):
        code = main(["demo", "--out", str(folder)])
    assert (code, without_progress(errors.getvalue())) == (0, "")
    return folder, said.getvalue()


def test_demo_follows_the_wall_of_a_real_heart(demo):
    folder, said = demo
    tracks = read_tracks_csv(folder / "wall-tracks.csv")
    assert tracks.positions_px.shape == (30, 21, 2)
    assert tracks.query_frame == 16
    excursion = np.linalg.norm(tracks.displacement_px, axis=2).max(axis=0)
    assert 3 < excursion.max() < 30, "the mitral ring moves by centimetres at most, a pixel is about a millimetre"
    assert np.mean(tracks.visible) > 0.8
    for line in (folder / "wall-points.csv", folder / "wall-tracks.csv"):
        assert str(line) in said
    with (folder / "wall-points.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    np.testing.assert_allclose([[float(row["x"]), float(row["y"])] for row in rows], tracks.positions_px[16])
    assert not [path for path in folder.iterdir() if path.name.startswith(".partial")]
    assert "Next:" in said
    if "Left out" not in said:
        assert {path.suffix for path in folder.iterdir()} == {".csv", ".mrb", ".png", ".gif", ".json"}


def test_demo_measures_strain_and_says_what_the_clip_does_not_hold(demo):
    folder, said = demo
    table, report = read_strain_csv(folder / "wall-strain.csv"), read_strain_json(folder / "wall-strain.json")
    assert table.global_percent.shape == (30,)
    assert -25 < report["measures"]["gls_percent"] < -8, "a heart that contracts, as the picture shows"
    assert (report["events"]["end_diastole_frames"], report["events"]["end_systole_frames"]) == ([21], [4])
    assert report["measures"]["peak_systolic_percent"] is None, "the clip begins within systole"
    assert any("starts after end-diastole" in note for note in report["notes"])
    assert f"GLS {report['measures']['gls_percent']:.1f}" in said


def test_scene_of_the_demo_plays_everything_together(slicer_core, demo):
    from UltrasoundMotionLib.mrml.headless_scene import HeadlessScene
    from UltrasoundMotionLib.mrml.scene_files import read_scene

    folder, _ = demo
    tracks = read_tracks_csv(folder / "wall-tracks.csv")
    with HeadlessScene() as scene:
        read_scene(scene, folder / "wall.mrb")
        (browser,) = slicer_core.util.getNodesByClass("vtkMRMLSequenceBrowserNode", scene)
        proxies = {
            name: scene.GetFirstNodeByClass(name) for name in ("vtkMRMLScalarVolumeNode", "vtkMRMLMarkupsFiducialNode")
        }
        proxies["curve"] = next(
            node
            for node in slicer_core.util.getNodesByClass("vtkMRMLMarkupsCurveNode", scene)
            if browser.IsProxyNode(node.GetID())
        )
        for node in proxies.values():
            assert browser.IsProxyNode(node.GetID())
            assert browser.GetSequenceNode(node).GetNumberOfDataNodes() == 30
        assert scene.GetNumberOfNodesByClass("vtkMRMLPlotChartNode") >= 1
        landmarks = proxies["vtkMRMLMarkupsFiducialNode"]
        for frame in (0, 16, 29):
            browser.SetSelectedItemNumber(frame)
            seen = [number for number in range(21) if tracks.visible[frame, number]]
            shown = np.array([landmarks.GetNthControlPointPosition(number) for number in seen])
            expected = tracks.positions_px[frame, seen] * [-SPACING_MM, -SPACING_MM]  # LPS to RAS, image at the origin
            np.testing.assert_allclose(shown[:, :2], expected, atol=1e-4)
            assert proxies["curve"].GetNumberOfControlPoints() >= len(seen)
