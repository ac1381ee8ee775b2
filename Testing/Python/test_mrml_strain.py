"""Strain in a scene: numbers on the curve, colours on the band, tables and chart, also after saving and loading."""

import numpy as np
import pytest
from PIL import Image
from vtkmodules.util.numpy_support import vtk_to_numpy

from strain_motions import beat, half_ellipse, stretched, tracks_of
from UltrasoundMotionLib.errors import InputError, OutputError
from UltrasoundMotionLib.images import ImageSequence
from UltrasoundMotionLib.mrml.headless_scene import HeadlessScene
from UltrasoundMotionLib.mrml.image_nodes import add_image_sequence
from UltrasoundMotionLib.mrml.scene_files import read_scene
from UltrasoundMotionLib.mrml.slice_rendering import SliceView
from UltrasoundMotionLib.mrml.strain_nodes import add_strain, write_strain_scene
from UltrasoundMotionLib.mrml.strain_wall import OPACITY, adding_strain_band, coloring_curve_by_strain, strain_of_curve
from UltrasoundMotionLib.mrml.track_nodes import add_curve
from UltrasoundMotionLib.pictures.strain_colors import segment_color, strain_colors
from UltrasoundMotionLib.steps import run_steps
from UltrasoundMotionLib.strain import StrainConfig, longitudinal_strain

FRAMES, SYSTOLE = 21, 8
SHORTENING = np.repeat([-0.10, -0.16, -0.22, -0.05, 0.08, -0.18], 8)
SIZE = (480, 480)  # two pixels of the view for one of the clip


@pytest.fixture(scope="module")
def tracks():
    return tracks_of(stretched(half_ellipse(), 1 + beat(FRAMES, SYSTOLE)[:, None] * SHORTENING), spacing_mm=(0.5, 0.5))


@pytest.fixture(scope="module")
def sequence(tracks):
    return ImageSequence(np.full((FRAMES, 240, 240), 40, np.uint8), (0.5, 0.5), tracks.times_s, name="beat")


@pytest.fixture(scope="module")
def result(tracks):
    return longitudinal_strain(tracks, config=StrainConfig(reject_segments=("apical lateral",)))


@pytest.fixture(scope="module")
def bundle(tmp_path_factory, sequence, result):
    return write_strain_scene(tmp_path_factory.mktemp("scene") / "strain.mrb", sequence, result)


def nodes_of(scene, class_name):
    return [scene.GetNthNodeByClass(number, class_name) for number in range(scene.GetNumberOfNodesByClass(class_name))]


def named(scene, class_name, ending):
    (node,) = [node for node in nodes_of(scene, class_name) if node.GetName().endswith(ending)]
    return node


def test_a_saved_scene_keeps_strain_on_the_curve_frame_by_frame(bundle, result):
    with HeadlessScene() as scene:
        read_scene(scene, bundle)
        (browser,) = nodes_of(scene, "vtkMRMLSequenceBrowserNode")
        assert browser.GetSelectedItemNumber() == SYSTOLE
        curve = named(scene, "vtkMRMLMarkupsCurveNode", "strain wall")
        for frame in (0, 3, SYSTOLE, FRAMES - 1):
            browser.SetSelectedItemNumber(frame)
            np.testing.assert_allclose(
                strain_of_curve(curve), result.point_percent[frame], atol=1e-6
            )  # NaN in both where rejected
            interpolated = vtk_to_numpy(curve.GetCurveWorld().GetPointData().GetArray("strain"))
            assert np.nanmin(interpolated) >= np.nanmin(result.point_percent[frame]) - 1e-6
        display = curve.GetDisplayNode()
        assert (display.GetActiveScalarName(), display.GetScalarVisibility()) == ("strain", 1)
        assert display.GetColorNode().GetName() == "Longitudinal strain (%)"


def test_slice_views_paint_the_wall_in_the_colours_of_the_report(bundle, result, tmp_path):
    with HeadlessScene() as scene:
        read_scene(scene, bundle)
        (browser,) = nodes_of(scene, "vtkMRMLSequenceBrowserNode")
        volume = browser.GetProxyNode(browser.GetMasterSequenceNode())
        try:
            view = SliceView(scene, volume, SIZE)
        except OutputError as error:
            pytest.skip(str(error))
        shown = {}
        with view:
            for frame in (0, SYSTOLE):
                browser.SetSelectedItemNumber(frame)
                shown[frame] = np.asarray(Image.open(view.write_png(tmp_path / f"{frame}.png")).convert("RGB")) / 255
    smoothed = result.smoothed.point_percent
    for frame, picture in shown.items():
        for point in (4, 12, 20, 28, 36, 44):  # the middle of each segment
            x, y = (2 * (result.positions_px[frame, point] + 0.5)).round().astype(int)
            accepted = result.quality[result.segment_of_point[point]].accepted
            expected = strain_colors(smoothed[frame, point] if accepted else np.array(np.nan))
            backdrop = picture[y, x] - OPACITY * expected  # the band lets a fifth of the (grey) frame through
            assert np.ptp(backdrop) < 0.06, (frame, point, picture[y, x], expected)
            assert -0.03 < backdrop.mean() < 1 - OPACITY + 0.03


def test_tables_and_chart_hold_every_segment(bundle, result):
    with HeadlessScene() as scene:
        read_scene(scene, bundle)
        curves = named(scene, "vtkMRMLTableNode", "longitudinal strain").GetTable()
        for name, values in (
            ("global (%)", result.global_percent),
            ("mid inferoseptal (%)", result.segmental_percent[:, 1]),
        ):
            column = vtk_to_numpy(curves.GetColumnByName(name))
            np.testing.assert_allclose(column, values, rtol=1e-5, atol=1e-5)  # a file has six digits
        measures = named(scene, "vtkMRMLTableNode", "measures").GetTable()
        rows = [measures.GetColumnByName("segment").GetValue(row) for row in range(measures.GetNumberOfRows())]
        assert rows == ["whole wall", *result.segment_names]
        peaks = vtk_to_numpy(measures.GetColumnByName("end-systolic"))
        np.testing.assert_allclose(
            peaks[[0, 1]], [result.measures.gls_percent, result.segment_measures[0].end_systolic_percent], rtol=1e-5
        )
        assert np.isnan(peaks[4])
        assert measures.GetColumnByName("reason").GetValue(4)
        (chart,) = nodes_of(scene, "vtkMRMLPlotChartNode")
        series = [chart.GetNthPlotSeriesNode(number) for number in range(chart.GetNumberOfPlotSeriesNodes())]
        drawn = [name for name in result.segment_names if name != "apical lateral"]
        assert [line.GetName() for line in series] == [*drawn, "whole wall"]
        for line in series[:-1]:
            np.testing.assert_allclose(
                line.GetColor(), segment_color(result.segment_names.index(line.GetName())), atol=1e-6
            )
        assert series[-1].GetLineWidth() > series[0].GetLineWidth()


def test_a_curve_that_runs_the_other_way_gets_its_own_numbers(tracks, sequence, result):
    with HeadlessScene() as scene:
        image = add_image_sequence(scene, sequence)
        curve = add_curve(image, sequence, tracks, tracks.labels[::-1])
        nodes = add_strain(image, sequence, result, curve=curve)
        image.browser.SetSelectedItemNumber(SYSTOLE)
        assert nodes.curve is curve
        np.testing.assert_allclose(strain_of_curve(curve.proxy), result.point_percent[SYSTOLE, ::-1], atol=1e-9)


def test_removing_strain_leaves_the_scene_as_it_was(sequence, result):
    with HeadlessScene() as scene:
        image = add_image_sequence(scene, sequence)
        before = {node.GetID() for node in nodes_of(scene, "vtkMRMLNode")}
        add_strain(image, sequence, result).remove()
        left = [node for node in nodes_of(scene, "vtkMRMLNode") if node.GetID() not in before]
        kept = ("vtkMRMLProceduralColorNode", "vtkMRMLSubjectHierarchyNode", "vtkMRMLProceduralColorStorageNode")
        assert [node.GetName() for node in left if node.GetClassName() not in kept] == []


def test_what_does_not_fit_is_refused_and_undone(tracks, sequence, result):
    with HeadlessScene() as scene:
        image = add_image_sequence(scene, sequence)
        few = add_curve(image, sequence, tracks, tracks.labels[:9])
        count = scene.GetNumberOfNodes()
        with pytest.raises(InputError, match="9 points"):
            run_steps(coloring_curve_by_strain(few, result.point_percent))
        with pytest.raises(InputError, match="do not fit a clip of 21 frames"):
            run_steps(
                adding_strain_band(
                    image, sequence, result.positions_px[:3], result.point_percent[:3], np.ones(49, bool), name="band"
                )
            )
        other = ImageSequence(np.zeros((5, 240, 240), np.uint8), name="short")
        with pytest.raises(InputError):
            add_strain(add_image_sequence(scene, other), other, result)
        names = [node.GetName() for node in nodes_of(scene, "vtkMRMLNode")]
        assert not [name for name in names if "strain" in name]
        assert count <= scene.GetNumberOfNodes()
