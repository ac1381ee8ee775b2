"""What the scanner drew is found and filled, and tissue is left alone."""

import numpy as np
import pytest
from scipy import ndimage

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.images import ImageSequence, colour_frame, luminance, read_sequence
from UltrasoundMotionLib.images.colour import SampledColour, WithSampledColour
from UltrasoundMotionLib.images.graphics_mask import find_graphics, graphics_picture, sector_mask, without_graphics
from UltrasoundMotionLib.tracking import track_points

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


def flow_box(pixels, sector, share=0.7):
    """Draws colour flow into a box of the sector: red and blue blobs that come and go with the beat, over `share` of
    the box at most. Returns where each frame is coloured.
    """
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    box = sector & (rows > 70) & (rows < 140) & (columns > 85) & (columns < 175)
    generator = np.random.default_rng(4)
    blobs = ndimage.gaussian_filter(generator.normal(size=(FRAMES, HEIGHT, WIDTH)), (1.5, 6, 6))
    coloured = np.zeros((FRAMES, HEIGHT, WIDTH), bool)
    for frame in range(FRAMES):
        beat = share * np.sin(np.pi * frame / 8) ** 2
        coloured[frame] = box & (blobs[frame] > np.quantile(blobs[frame][box], 1 - beat) if beat > 0.02 else False)
        speed = np.clip(np.abs(blobs[frame]) / blobs.std() * 120 + 60, 0, 255).astype(np.uint8)
        towards = blobs[frame] > np.quantile(blobs[frame][box], 1 - beat / 2)
        red = np.stack([speed, speed // 3, 0 * speed], axis=-1)
        blue = np.stack([0 * speed, speed // 3, speed], axis=-1)
        pixels[frame][coloured[frame]] = np.where(towards[..., None], red, blue)[coloured[frame]]
    # the outline of the box and the colour bar are drawn in every frame
    outline = ndimage.binary_dilation(box) & ~box & sector
    pixels[:, outline] = (40, 220, 40)
    pixels[:, 20:90, 235:243] = np.linspace((255, 200, 0), (0, 200, 255), 70).astype(np.uint8)[:, None]
    return coloured, box, outline


@pytest.mark.parametrize("tint", [(1, 1, 1), (1, 0.85, 0.6)])
def test_colour_flow_is_no_graphics(tint):
    """The tissue of a colour box stays; its outline and the colour bar go."""
    pixels, sector = speckle_in_a_sector(tint)
    coloured, box, outline = flow_box(pixels, sector)
    assert coloured.any(axis=0)[box].mean() > 0.8
    sequence = ImageSequence(ColourFrames(pixels))
    mask = find_graphics(sequence)
    near = ndimage.binary_dilation(outline, iterations=4)
    assert mask[outline].mean() > 0.95 and mask[20:90, 235:243].all()
    assert mask[box & ~near].mean() < 0.01 and mask[sector & ~near].mean() < 0.01
    filled = without_graphics(sequence)
    for frame in range(FRAMES):
        hidden = filled.frames.filled(frame)
        assert not coloured[frame].any() or hidden[coloured[frame]].mean() > 0.95
        tissue = box & ~ndimage.binary_dilation(coloured[frame], iterations=3) & ~near
        assert not tissue.any() or hidden[tissue].mean() < 0.02
    # frame 8 is at the end of a beat, without flow
    assert filled.frames.filled(8)[box & ~near].mean() < 0.05
    assert any("of the sector is coloured in passing (colour flow" in note for note in filled.notes)


def test_bright_flow_does_not_make_grey_tissue_coloured():
    """Where most of the bright pixels are flow, the hue of tissue at that brightness is still grey."""
    pixels, sector = speckle_in_a_sector()
    pixels = (pixels * 0.5).astype(np.uint8)  # tissue is dark: the bright levels are flow
    _, box, outline = flow_box(pixels, sector, share=0.9)
    bright = np.zeros_like(sector)
    bright[110:120, 60:75] = True
    pixels[:, bright & sector] = (140, 140, 140)
    filled = without_graphics(ImageSequence(ColourFrames(pixels)))
    apart = bright & sector & ~ndimage.binary_dilation(outline | box, iterations=5)
    assert apart.any() and not any(filled.frames.filled(frame)[apart].any() for frame in range(FRAMES))


def test_a_point_under_colour_flow_is_not_visible():
    pixels, sector = speckle_in_a_sector()
    coloured, box, outline = flow_box(pixels, sector)
    sequence = ImageSequence(ColourFrames(pixels), (0.3, 0.3))
    rows, columns = np.nonzero(box & ~ndimage.binary_dilation(outline, iterations=8) & ~coloured[8])
    points = np.column_stack([columns, rows])[:: len(rows) // 6][:6].astype(float)
    tracks = track_points(sequence, points, query_frame=8)
    places = np.rint(tracks.positions_px).astype(int)
    under = np.stack([coloured[frame][places[frame, :, 1], places[frame, :, 0]] for frame in range(FRAMES)])
    assert under.any() and (under & tracks.visible).sum() <= 0.05 * under.sum()
    assert tracks.confidence[under].mean() < 0.05
    assert tracks.visible[8].all()  # no flow there
    kept = track_points(sequence, points, query_frame=8, hide_graphics=False)
    assert kept.confidence[under].mean() > 0.2


def test_a_point_on_a_still_mark_is_not_visible():
    pixels, _ = speckle_in_a_sector()
    draw(pixels)
    tracks = track_points(ImageSequence(ColourFrames(pixels)), np.array([[130.0, 92.0], [150.0, 120.0]]))
    assert not tracks.visible[:, 0].any() and tracks.confidence[:, 0].max() == 0
    assert tracks.visible[:, 1].mean() > 0.8
    assert any("P1 on what seems drawn by the scanner" in note for note in tracks.notes)


def test_flow_between_sampled_frames_is_that_of_its_neighbours():
    """A job is given the colour of the sampled frames only."""
    pixels, sector = speckle_in_a_sector()
    coloured, _, _ = flow_box(pixels, sector)
    long = np.concatenate([pixels] * 3)
    source = ColourFrames(long)
    sampled = SampledColour.of(ImageSequence(source))
    colours = np.stack([sampled[k] for k in range(sampled.shape[0])])
    grey = np.stack([source[k] for k in range(len(long))])
    filled = without_graphics(ImageSequence(WithSampledColour(grey, colours)))
    hidden = np.stack([filled.frames.filled(frame) for frame in range(len(long))])
    truth = np.concatenate([coloured] * 3)
    assert hidden[truth].mean() > 0.8


def test_the_near_field_that_stands_still_is_tissue():
    """Reverberations under the probe do not change: neither the bands in the sector nor those above it are graphics."""
    pixels, _ = speckle_in_a_sector()
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    radius, angle = np.hypot(columns - 130, rows + 10), np.arctan2(columns - 130, rows + 10)
    fan = np.abs(angle) < 0.6
    near = fan & (radius > 16) & (radius < 34)
    bands = fan & (np.abs(np.sin(radius / 1.6)) > 0.6) & (radius > 16) & (radius < 46)
    for frame in pixels:
        frame[near] = 60
        frame[bands] = 200
    mask = find_graphics(ImageSequence(luminance(pixels)))
    found = sector_mask(ImageSequence(luminance(pixels)))
    assert found[near].mean() > 0.9
    assert mask[near | bands].mean() < 0.05
    draw(pixels)
    assert find_graphics(ImageSequence(luminance(pixels)))[near | bands].mean() < 0.05


def test_the_picture_shows_what_is_filled():
    pixels, sector = speckle_in_a_sector()
    drawn = draw(pixels)
    picture = graphics_picture(ImageSequence(ColourFrames(pixels)), 5)
    assert picture.shape == (HEIGHT, WIDTH, 3) and picture.dtype == np.uint8
    magenta = np.minimum(picture[..., 0], picture[..., 2]) > picture[..., 1].astype(int) + 10
    assert magenta[drawn].mean() > 0.95
    assert magenta[sector & ~ndimage.binary_dilation(drawn, iterations=6)].mean() < 0.002
    grey = graphics_picture(ImageSequence(np.zeros((3, 8, 9), np.float32)))
    assert grey.shape == (8, 9, 3) and not grey.any()


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
