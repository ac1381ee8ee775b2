"""Tables for reading, and charts whose legend covers no line."""

import numpy as np
import pytest

slicer = pytest.importorskip("slicer", reason="needs slicer-core: pip install 'ultrasound-motion[slicer]'")

from mrml_clips import clip, tracks_on  # noqa: E402
from strain_motions import beat, half_ellipse, stretched, tracks_of  # noqa: E402
from UltrasoundMotionLib.images import ImageSequence  # noqa: E402
from UltrasoundMotionLib.mrml.headless_scene import HeadlessScene  # noqa: E402
from UltrasoundMotionLib.mrml.image_nodes import add_image_sequence  # noqa: E402
from UltrasoundMotionLib.mrml.scene_files import read_scene, write_scene  # noqa: E402
from UltrasoundMotionLib.mrml.strain_nodes import add_strain  # noqa: E402
from UltrasoundMotionLib.mrml.table_nodes import rounded_texts  # noqa: E402
from UltrasoundMotionLib.mrml.tracking_scene import add_tracks  # noqa: E402
from UltrasoundMotionLib.strain import longitudinal_strain  # noqa: E402
from view_pictures import draw_chart  # noqa: E402

WIDE, NARROW = [(700, 300), (560, 230)], [(450, 420), (335, 300)]
"""Sizes of a chart below the image and beside it, in windows of 1600 x 1000 and 1366 x 768."""


def cells(table, title):
    column = table.GetTable().GetColumnByName(title)
    return [column.GetValue(row) for row in range(column.GetNumberOfValues())]


def test_numbers_are_rounded_as_a_reader_expects():
    values = np.array([-16.7489, 0.04, -0.04, np.nan, np.inf, 100.0])
    assert rounded_texts(values, 1) == ["-16.7", "0.0", "0.0", "", "", "100.0"]
    assert rounded_texts(np.array([3, -3]), 0) == ["3", "-3"]


def test_the_table_of_tracks_for_reading_is_rounded_and_the_exact_one_is_kept(tmp_path):
    with HeadlessScene() as scene:
        sequence = clip()
        tracks = tracks_on(sequence)
        nodes = add_tracks(add_image_sequence(scene, sequence), sequence, tracks)
        exact, name = slicer.util.arrayFromTableColumn(nodes.table, "x").copy(), nodes.reading_table.GetName()
        write_scene(scene, tmp_path / "scene.mrb")
    with HeadlessScene() as scene:
        read_scene(scene, tmp_path / "scene.mrb")
        reading = scene.GetFirstNodeByName(name)
        assert cells(reading, "x (px)") == [f"{value:.1f}" for value in exact]
        assert set(cells(reading, "visible")) <= {"yes", "no"}
        assert cells(reading, "point")[0] == tracks.labels[0]
        titles = [reading.GetTable().GetColumnName(column) for column in range(reading.GetNumberOfColumns())]
        assert "time (s)" in titles


@pytest.fixture(scope="module")
def strain():
    points = half_ellipse()
    tracks = tracks_of(stretched(points, np.repeat(1 - 0.18 * beat()[:, None], len(points) - 1, axis=1)))
    sequence = ImageSequence(
        np.zeros((len(tracks.positions_px), 240, 320), np.uint8), tracks.spacing_mm, tracks.times_s, name="heart"
    )
    return sequence, longitudinal_strain(tracks)


def test_the_table_of_strain_for_reading_has_few_columns_with_units(strain):
    sequence, result = strain
    with HeadlessScene() as scene:
        nodes = add_strain(add_image_sequence(scene, sequence), sequence, result)
        table = nodes.reading_table
        titles = [table.GetTable().GetColumnName(column) for column in range(table.GetNumberOfColumns())]
        assert titles == ["segment", "end-systolic (%)", "peak (%)", "time to peak (ms)", "confidence", "remark"]
        assert cells(table, "end-systolic (%)")[0] == f"{result.measures.gls_percent:.1f}"
        assert cells(table, "time to peak (ms)")[0] == f"{1000 * result.measures.time_to_peak_s:.0f}"
        exact = slicer.util.arrayFromTableColumn(nodes.measures_table, "end-systolic")
        assert exact[0] == result.measures.end_systolic_percent


@pytest.mark.parametrize(("wide", "narrow"), list(zip(WIDE, NARROW, strict=True)))
def test_the_legend_covers_no_line(strain, wide, narrow):
    sequence, result = strain
    with HeadlessScene() as scene:
        image = add_image_sequence(scene, sequence)
        drawn = draw_chart(add_strain(image, sequence, result).chart, wide)
        assert drawn.legend[0] >= drawn.last_x - 1, "the legend of strain lies over the curves"
        assert drawn.legend[1] > 0.1 * wide[1]
        few = clip()
        tracks = tracks_on(few)
        chart = add_tracks(add_image_sequence(scene, few), few, tracks).plot.chart
        drawn = draw_chart(chart, narrow)
        assert drawn.legend[0] >= drawn.last_x - 1, "the legend of displacements lies over the curves"


def test_a_chart_of_many_lines_has_no_legend(strain):
    sequence, result = strain
    with HeadlessScene() as scene:
        image = add_image_sequence(scene, sequence)
        chart = add_strain(image, sequence, result).chart
        assert chart.GetLegendVisibility()
        from UltrasoundMotionLib.mrml.table_nodes import add_chart

        lines = [chart.GetNthPlotSeriesNode(number % 6) for number in range(15)]
        assert not add_chart(scene, "many", lines, "x", "y", x_range=(0.0, 1.0)).GetLegendVisibility()
