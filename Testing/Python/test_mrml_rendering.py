"""The slice view drawn without a screen: the frame upright, the markups on it."""

import numpy as np
import pytest
from PIL import Image

from mrml_clips import clip
from UltrasoundMotionLib.errors import OutputError
from UltrasoundMotionLib.images import ImageSequence
from UltrasoundMotionLib.images.grey_range import grey_range
from UltrasoundMotionLib.mrml.headless_scene import HeadlessScene
from UltrasoundMotionLib.mrml.image_nodes import add_image_sequence
from UltrasoundMotionLib.mrml.markups_display import LANDMARK_COLOR
from UltrasoundMotionLib.mrml.slice_rendering import SliceView
from UltrasoundMotionLib.mrml.track_nodes import add_landmarks
from UltrasoundMotionLib.tracking import PointTracks

SIZE = (480, 400)  # ten pixels of the view for one of the clip


def read(path):
    return np.asarray(Image.open(path).convert("RGB")).astype(float)


def test_the_frame_is_upright_and_the_point_on_it_moves(tmp_path):
    base = clip(frame_count=3, spacing_mm=(0.4, 0.4))
    frames = np.zeros((3, 40, 48), np.uint8)
    frames[:, :20, :24] = 200  # top left
    frames[1, 20:, 24:] = 90
    sequence = ImageSequence(frames, (0.4, 0.4), base.times_s, base.origin_mm, base.direction, name="corners")
    positions = np.array([[[36.0, 10.0]], [[12.0, 30.0]], [[12.0, 30.0]]])
    visible = np.array([[True], [True], [False]])
    tracks = PointTracks(positions, np.ones((3, 1)), visible, ("P",), 0, sequence.times_s, sequence.spacing_mm)
    with HeadlessScene() as scene:
        image = add_image_sequence(scene, sequence)
        landmarks = add_landmarks(image, sequence, tracks)
        landmarks.proxy.GetDisplayNode().SetPointLabelsVisibility(False)
        image.proxy.GetDisplayNode().SetWindowLevelMinMax(0, 255)  # so that drawn levels are the pixels' own
        try:
            view = SliceView(scene, image.proxy, SIZE)
        except OutputError as error:
            pytest.skip(str(error))
        with view:
            pictures = []
            for frame in range(3):
                image.browser.SetSelectedItemNumber(frame)
                pictures.append(read(view.write_png(tmp_path / f"{frame}.png")))
    for picture in pictures:
        assert picture.shape == (400, 480, 3)
    first, second, third = pictures
    np.testing.assert_allclose(first[30:170, 30:210], 200, atol=2)
    np.testing.assert_allclose(first[230:370, 30:210], 0, atol=2)
    np.testing.assert_allclose(second[230:370, 280:450], 90, atol=2)
    color = np.array(LANDMARK_COLOR) * 255
    for picture, (x, y) in ((first, (36, 10)), (second, (12, 30))):
        marked = np.argwhere(np.abs(picture - color).max(axis=2) < 60)
        np.testing.assert_allclose(
            marked.mean(axis=0), [(y + 0.5) * 10, (x + 0.5) * 10], atol=2
        )  # the centre of that pixel
    assert not np.any(np.abs(third - color).max(axis=2) < 60)  # a lost point is not drawn


def test_bright_text_does_not_darken_the_tissue():
    frames = np.random.default_rng(0).integers(0, 100, (4, 40, 50)).astype(np.uint8)
    frames[:, :8, :10] = 255
    low, high = grey_range(ImageSequence(frames))
    assert low == 0
    assert 90 < high < 110
    assert grey_range(ImageSequence(np.full((3, 8, 8), 9, np.uint8))) == (0, 255)
