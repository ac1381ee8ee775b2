"""What the scanner drew is found and filled, and tissue is left alone."""

import numpy as np
import pytest
from scipy import ndimage

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.images import ImageSequence, colour_frame, luminance, read_sequence
from UltrasoundMotionLib.images.graphics_mask import find_graphics, sector_mask, without_graphics

HEIGHT, WIDTH, FRAMES = 200, 260, 24


class ColourFrames:
    """A colour source in memory."""

    def __init__(self, pixels):
        self.pixels = pixels
        self.shape, self.dtype = pixels.shape[:3], np.dtype(np.uint8)

    def __getitem__(self, index):
        return luminance(self.pixels[index])

    def colour_frame(self, index):
        return self.pixels[index]


def speckle_in_a_sector(tint=(1.0, 1.0, 1.0), background=0):
    generator = np.random.default_rng(12)
    speckle = ndimage.gaussian_filter(generator.normal(size=(FRAMES, HEIGHT, WIDTH)), (1, 1.5, 1.5))
    speckle = np.clip(90 + 60 * speckle / speckle.std(), 0, 255)
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    angle, radius = np.arctan2(columns - 130, rows + 10), np.hypot(columns - 130, rows + 10)
    sector = (np.abs(angle) < 0.6) & (radius > 30) & (radius < 170)
    grey = np.where(sector, speckle, background)
    return (grey[..., None] * np.array(tint)).clip(0, 255).astype(np.uint8), sector


def draw(pixels):
    """Text, a ruler, an ECG trace that sweeps, a coloured marker in the sector and a still cross in it; gives where
    they are.
    """
    drawn = np.zeros((HEIGHT, WIDTH), bool)
    text = np.zeros((HEIGHT, WIDTH), bool)
    text[6:14, 5:40:4] = True
    text[9:11, 5:40] = True
    text[20:180:20, 245:252] = True
    cross = np.zeros_like(text)
    cross[88:97, 130] = cross[92, 126:135] = True
    for mask in (text, cross):
        pixels[:, mask] = 230
        drawn |= mask
    marker = np.zeros_like(text)
    marker[60:66, 120:140] = True
    pixels[:, marker] = (30, 220, 40)
    drawn |= marker
    columns = np.arange(WIDTH)
    trace = (188 - 8 * np.abs(np.sin(columns / 9.0)) ** 8).astype(int)
    for frame in range(FRAMES):
        seen = columns <= WIDTH * (frame + 1) // FRAMES
        pixels[frame, trace[seen], columns[seen]] = (60, 230, 60)
    drawn[trace, columns] = True
    return drawn


@pytest.mark.parametrize(("tint", "background"), [((1, 1, 1), 0), ((1, 0.85, 0.6), 0), ((1, 1, 1), 50)])
def test_drawn_graphics_are_found_and_tissue_is_not(tint, background):
    pixels, sector = speckle_in_a_sector(tint, background)
    sequence = ImageSequence(ColourFrames(pixels))
    assert (
        find_graphics(sequence)[sector].mean() < 0.002
    )  # nothing drawn yet: a tint of the whole picture is no graphics
    drawn = draw(pixels)
    found = find_graphics(sequence)
    assert found[drawn].mean() > 0.98
    near = ndimage.binary_dilation(drawn, iterations=4)
    assert (found & sector & ~near).sum() < 0.002 * sector.sum()


def test_grey_files_lose_text_trace_and_still_marks():
    """Without colour the still text, the moving trace outside the sector and the still marks inside are found all the
    same.
    """
    pixels, sector = speckle_in_a_sector()
    drawn = draw(pixels)
    found = find_graphics(ImageSequence(luminance(pixels)))
    assert found[drawn].mean() > 0.97
    assert (found & sector & ~ndimage.binary_dilation(drawn, iterations=4)).sum() < 0.01 * sector.sum()


def test_sector_is_what_varies():
    pixels, sector = speckle_in_a_sector()
    draw(pixels)
    found = sector_mask(ImageSequence(luminance(pixels)))
    overlap = (found & sector).sum() / (found | sector).sum()
    assert overlap > 0.93
    assert sector_mask(ImageSequence(luminance(pixels)[:1])).all()


def test_the_fill_is_smooth_and_leaves_the_rest_alone():
    pixels, sector = speckle_in_a_sector()
    clean = luminance(pixels).copy()
    draw(pixels)
    sequence = ImageSequence(ColourFrames(pixels), (0.3, 0.3))
    mask = find_graphics(sequence)
    filled = without_graphics(sequence)
    frame = filled.frame(7)
    np.testing.assert_array_equal(frame[~mask], sequence.frame(7)[~mask])
    assert filled.spacing_mm == sequence.spacing_mm and filled.frames.dtype == np.uint8
    assert any("taken for graphics" in note for note in filled.notes)
    inside = mask & ndimage.binary_erosion(sector, iterations=8)
    assert abs(frame[inside].mean() - clean[7][inside].mean()) < 15
    assert frame[mask & ~ndimage.binary_dilation(sector, iterations=8)].max() < 30
    assert frame[inside].std() < 0.7 * clean[7][inside].std()  # smoother than the speckle around it
    assert colour_frame(filled, 7) is not None
    assert without_graphics(sequence, np.zeros((HEIGHT, WIDTH), bool)) is sequence


def test_masks_that_do_not_fit():
    sequence = ImageSequence(np.zeros((3, 8, 9), np.uint8))
    assert not find_graphics(sequence).any()
    with pytest.raises(InputError, match=r"the graphics mask is \(9, 8\), the frames are \(8, 9\)"):
        without_graphics(sequence, np.zeros((9, 8), bool))
    with pytest.raises(InputError, match="covers the whole frame"):
        without_graphics(sequence, np.ones((8, 9), bool))


def test_real_echo_loses_its_text_and_keeps_its_heart(shared_data):
    sequence = read_sequence(shared_data("echo-a4c-dicom/examples_ybr_color.dcm"))
    mask = find_graphics(sequence)
    sector = sector_mask(sequence)
    assert sector[80:190, 110:180].all() and not sector[:, 300:].any() and not sector[220:].any()
    assert mask[20, 190]  # the green dot that marks the probe's side
    assert mask[228:238, 45:280].mean() > 0.95  # the blue bar of buttons
    assert mask[20, 303:315].any() and mask[5:10, 13:27].mean() > 0.9  # text
    assert mask[sector].mean() < 0.005
    assert without_graphics(sequence, mask).frame(3)[:28, :40].max() < 25


def test_liver_and_wires_are_not_taken_for_graphics(shared_data):
    liver = read_sequence(shared_data("liver-free-breathing/frames"))
    assert find_graphics(liver).mean() < 0.005
    wires = read_sequence(
        shared_data("plus-tracked-ultrasound/SegmentationTest_VLCUS_RandomStepperMotionData2.igs.mha")
    )
    mask = find_graphics(wires)
    bright = wires.frame(0)[225:360, 160:390] > 100  # the six wires, at the first of 201 places each
    assert bright.sum() > 100 and mask[225:360, 160:390][bright].mean() < 0.05
    assert mask[50, 20:630].mean() > 0.6  # the horizontal ruler above them
