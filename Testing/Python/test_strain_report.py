"""The page: bull's-eye geometry, colours, the band along the wall, and that pixels show the strain they should."""

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from strain_motions import beat, half_ellipse, stretched, tracks_of
from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.images import ImageSequence
from UltrasoundMotionLib.pictures.bulls_eye import bulls_eye_fields, draw_bulls_eye
from UltrasoundMotionLib.pictures.strain_band import band_half_width, wall_band
from UltrasoundMotionLib.pictures.strain_colors import SEGMENT_COLORS, strain_colors, text_color_on
from UltrasoundMotionLib.pictures.strain_report import draw_strain_report, signed, write_strain_report
from UltrasoundMotionLib.strain import CardiacEvents, StrainConfig, longitudinal_strain

RED, GREY = strain_colors(np.array(-20.0)), strain_colors(np.array(np.nan))


def wall(segments=(-0.2,) * 6, **config):
    tracks = tracks_of(stretched(half_ellipse(), 1 + beat()[:, None] * np.repeat(segments, 8)))
    return longitudinal_strain(tracks, config=StrainConfig(**config))


def pixels(figure):
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3] / 255


def shown_at(picture, axes, place):
    x, y = axes.transData.transform(place)
    return picture[len(picture) - 1 - round(y), round(x)]


@pytest.mark.parametrize("count", [16, 17, 18])
def test_bulls_eye_fields_tile_the_disc(count):
    fields = bulls_eye_fields(count)
    assert [field.number for field in fields] == list(range(1, count + 1))
    areas = [np.pi * (field.outer**2 - field.inner**2) * (field.to_deg - field.from_deg) / 360 for field in fields]
    assert sum(areas) == pytest.approx(np.pi)
    rng = np.random.default_rng(0)
    for radius, angle in zip(np.sqrt(rng.random(200)), rng.uniform(0, 360, 200), strict=True):
        hit = [f for f in fields if f.inner <= radius < f.outer and (angle - f.from_deg) % 360 < f.to_deg - f.from_deg]
        assert len(hit) == 1


@pytest.mark.parametrize(
    ("count", "number", "angle_deg", "ring"),
    [  # Cerqueira et al. 2002, figure 4: anterior at the top, septum on the left
        (17, 1, 90, "basal"),
        (17, 2, 150, "basal"),
        (17, 3, 210, "basal"),
        (17, 4, 270, "basal"),
        (17, 5, 330, "basal"),
        (17, 6, 30, "basal"),
        (17, 10, 270, "mid"),
        (17, 13, 90, "apical"),
        (17, 14, 180, "apical"),
        (17, 15, 270, "apical"),
        (17, 16, 0, "apical"),
        (18, 15, 210, "apical"),
        (18, 18, 30, "apical"),
        (16, 14, 180, "apical"),
    ],
)
def test_bulls_eye_follows_the_heart_association(count, number, angle_deg, ring):
    fields = bulls_eye_fields(count)
    field = fields[number - 1]
    assert ((field.from_deg + field.to_deg) / 2) % 360 == pytest.approx(angle_deg)
    radii = sorted({one.outer for one in fields}, reverse=True)
    assert radii.index(field.outer) == ("basal", "mid", "apical").index(ring)


def test_bulls_eye_refuses_other_models():
    with pytest.raises(InputError, match="16, 17 or 18 segments, got 12"):
        bulls_eye_fields(12)
    with pytest.raises(InputError, match="17-segment model has no segment 18"):
        draw_bulls_eye(Figure().subplots(), {18: -10.0}, segment_count=17)


def test_bulls_eye_paints_each_segment_in_its_strain():
    figure = Figure(figsize=(6, 6))
    axes = figure.subplots()
    percent = {3: -18.0, 9: -5.0, 12: 12.0, 6: float("nan")}
    draw_bulls_eye(axes, percent, segment_count=18)
    picture = pixels(figure)
    for field in bulls_eye_fields(18):
        radius, angle = (
            field.inner + 0.2 * (field.outer - field.inner),
            np.deg2rad(field.from_deg + 6),
        )  # beside the number
        shown = shown_at(picture, axes, (radius * np.cos(angle), radius * np.sin(angle)))
        if field.number in percent and np.isfinite(percent[field.number]):
            np.testing.assert_allclose(shown, strain_colors(np.array(percent[field.number])), atol=0.01)
        elif field.number not in percent:
            assert shown.min() > 0.9, "a segment that no view showed stays pale"


def test_colors_go_from_red_over_white_to_blue_and_numbers_on_them_are_legible():
    strain = np.linspace(-30, 30, 121)
    colors = strain_colors(strain)
    balance = colors[:, 0] - colors[:, 2]
    assert np.all(balance[strain < -1] > 0)
    assert np.all(balance[strain > 2] < 0)
    assert strain_colors(np.array(0.0)).min() > 0.9
    np.testing.assert_array_equal(colors[strain < -20], np.broadcast_to(RED, colors[strain < -20].shape))
    assert np.ptp(GREY) < 0.01

    def luminance(color):
        linear = [channel / 12.92 if channel <= 0.04045 else ((channel + 0.055) / 1.055) ** 2.4 for channel in color]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    for color in colors:
        ink = 0.0 if text_color_on(color) == "black" else 1.0
        low, high = sorted((luminance(color), ink))
        assert (high + 0.05) / (low + 0.05) >= 4.5  # WCAG 2, level AA
    distance = np.linalg.norm(np.subtract(SEGMENT_COLORS, np.array(SEGMENT_COLORS)[:, None]), axis=2)
    assert distance[~np.eye(6, dtype=bool)].min() > 0.4


def test_the_band_runs_at_a_distance_from_the_wall_in_mm():
    angle = np.linspace(-np.pi, 0, 181)
    pixel = (0.5, 0.25)
    circle = 40 * np.stack([np.cos(angle), np.sin(angle)], axis=1) / pixel
    for edge, radius in zip(wall_band(circle, 3.0, pixel), (37.0, 43.0), strict=True):
        np.testing.assert_allclose(np.linalg.norm(edge * pixel, axis=1)[1:-1], radius, atol=1e-3)
    assert band_half_width(circle, pixel) == pytest.approx(0.055 * 40, rel=1e-3)


def test_the_page_shows_the_wall_red_where_it_shortens_and_grey_where_it_was_rejected():
    frames = np.full((41, 240, 260), 90, np.uint8)
    result = wall(reject_segments=("apical lateral",))
    figure = draw_strain_report(result, ImageSequence(frames, (0.5, 0.5), np.arange(41) / 50, name="ring"))
    systole = next(axes for axes in figure.axes if any("end-systole" in text.get_text() for text in axes.texts))
    picture = pixels(figure)
    contour = result.positions_px[16]
    for point, color in ((4, RED), (12, RED), (28, GREY), (44, RED)):
        shown = shown_at(picture, systole, contour[point])
        backdrop = shown - 0.68 * color  # the band lets a third of the frame through
        assert np.ptp(backdrop) < 0.03, (point, shown)
    words = " ".join(text.get_text() for axes in figure.axes for text in axes.texts) + " ".join(
        text.get_text() for text in figure.texts
    )
    assert "GLS \u221220.0" in words
    assert "rejected" in words
    assert "not for clinical use" in words
    assert "apical lateral" in words


def test_the_page_says_when_there_is_no_global_strain(tmp_path):
    result = wall(reject_segments=("apical lateral", "apical septal", "mid inferoseptal"))
    figure = draw_strain_report(result)
    assert any("GLS: not given" in text.get_text() for text in figure.texts)
    write_strain_report(tmp_path / "page.png", result)
    assert (tmp_path / "page.png").read_bytes()[:4] == b"\x89PNG"


def test_unknown_columns_are_left_out_and_what_is_unknown_is_explained():
    def words(result):
        figure = draw_strain_report(result)
        texts = [*figure.texts, *(text for axes in figure.axes for text in axes.texts)]
        scale = next(axes for axes in figure.axes if "end-systolic strain" in axes.get_ylabel())
        return [text.get_text() for text in texts], [tick.get_text() for tick in scale.get_yticklabels()]

    whole, scale = words(wall())
    assert "peak\nsystolic" in whole and "PSI" in whole
    assert (scale[0], scale[-1]) == ("\u2264 \u221220", "\u2265 20")
    positions = stretched(half_ellipse(), 1 + beat()[:, None] * np.repeat((-0.2,) * 6, 8))[6:]
    partly, _ = words(longitudinal_strain(tracks_of(positions), events=CardiacEvents((34,), (10,))))
    assert "ES" in partly
    assert "PSI" not in partly and "peak\nsystolic" not in partly
    assert any(text.startswith("drift not known: the clip ends before") for text in partly)


def test_another_clip_is_refused():
    with pytest.raises(InputError, match="7 frames, but the tracks have 41"):
        draw_strain_report(wall(), ImageSequence(np.zeros((7, 240, 260), np.uint8), name="other"))


def test_signs_are_printed_as_signs():
    assert [signed(-3.14159), signed(2.0, 0), signed(None), signed(float("nan"))] == [
        "\u22123.1",
        "2",
        "\u2013",
        "\u2013",
    ]
