"""Pixels of DICOM files mean what the file says, whichever decoder is installed, or are refused with the reason."""

import io

import numpy as np
import pytest
from pydicom.encaps import encapsulate
from pydicom.uid import UID, ExplicitVRBigEndian, JPEG2000Lossless, JPEGBaseline8Bit, RLELossless
from scipy import ndimage

from dicom_samples import dicom_file, item
from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.images import colour_frame, read_sequence
from UltrasoundMotionLib.images.readers.dicom import decoding

GENERATOR = np.random.default_rng(16)
GREY = GENERATOR.integers(0, 256, (3, 6, 8)).astype(np.uint8)
SMOOTH = np.stack([ndimage.gaussian_filter(GENERATOR.normal(size=(48, 64)), 5) for _ in range(2)])
SMOOTH = np.clip(128 + 50 * SMOOTH / SMOOTH.std(), 0, 255).astype(np.uint8)
COLOURS = np.stack([SMOOTH, SMOOTH[:, ::-1], 255 - SMOOTH], axis=-1)
NAMES = ("Red", "Green", "Blue")
LUMA = [0.299, 0.587, 0.114]


def stack(sequence):
    return np.stack([frame for _, frame in sequence.iterate()])


@pytest.fixture(params=["packages of pydicom", "GDCM"])
def decoder(request, monkeypatch):
    """Runs a test with the packages that pydicom uses, and as if none of them were installed."""
    if request.param == "GDCM":

        def with_gdcm(self, data, index):
            return self._decode_with_gdcm(index, self._single_frame(encapsulate([data], has_bot=False)), "")

        monkeypatch.setattr(decoding.FrameDecoder, "_compressed", with_gdcm)
    return request.param


def palette(tables, descriptor, segmented=False):
    """The attributes of a palette whose three tables are bytes."""
    start, end = ("Segmented", "Data") if segmented else ("", "Data")
    attributes = {f"{name}PaletteColorLookupTableDescriptor": list(descriptor) for name in NAMES}
    return attributes | {
        f"{start}{name}PaletteColorLookupTable{end}": table for name, table in zip(NAMES, tables, strict=True)
    }


def inverted(count=256):
    return 255 - np.arange(count)


@pytest.mark.parametrize(
    ("kind", "descriptor", "table", "syntax"),
    [
        ("16 bits", (256, 0, 16), (inverted() << 8).astype("<u2").tobytes(), None),
        ("16 bits, both bytes", (256, 0, 16), (inverted() * 257).astype("<u2").tobytes(), None),
        ("8 bits in words", (256, 0, 8), inverted().astype("<u2").tobytes(), None),
        ("8 bits in bytes", (256, 0, 8), inverted().astype("u1").tobytes(), None),
        ("8 bits in words that are said to have 16", (256, 0, 16), inverted().astype("<u2").tobytes(), None),
        ("big endian", (256, 0, 16), (inverted() << 8).astype(">u2").tobytes(), ExplicitVRBigEndian),
        ("big endian, 8 bits in bytes", (256, 0, 8), inverted().astype("u1").reshape(-1, 2)[:, ::-1].tobytes(),
         ExplicitVRBigEndian),
    ],
)  # fmt: skip
def test_palettes(tmp_path, kind, descriptor, table, syntax):
    more = {} if syntax is None else {"syntax": syntax}
    path = dicom_file(tmp_path / "s.dcm", GREY, "PALETTE COLOR", **more, **palette([table] * 3, descriptor))
    np.testing.assert_array_equal(stack(read_sequence(path)), 255 - GREY.astype(int), err_msg=kind)


def test_palettes_with_a_first_index(tmp_path):
    table = (np.array([10, 20, 30, 40]) << 8).astype("<u2").tobytes()
    values = np.array([[[0, 100, 101, 102, 103, 104, 255, 99]]], np.uint8)
    path = dicom_file(tmp_path / "s.dcm", values, "PALETTE COLOR", **palette([table] * 3, (4, 100, 16)))
    assert stack(read_sequence(path)).ravel().tolist() == [10, 10, 20, 30, 40, 40, 40, 10]
    signed = np.array([[[-3, -2, -1, 0, 1, 5, -100, 2]]], np.int16)
    path = dicom_file(tmp_path / "s.dcm", signed, "PALETTE COLOR", **palette([table] * 3, (4, -2, 16)))
    assert stack(read_sequence(path)).ravel().tolist() == [10, 10, 20, 30, 40, 40, 10, 40]
    whole = (np.arange(2**16)).astype("<u2").tobytes()
    deep = np.array([[[0, 256, 65535, 32768]]], np.uint16)
    path = dicom_file(tmp_path / "s.dcm", deep, "PALETTE COLOR", **palette([whole] * 3, (0, 0, 16)))
    assert stack(read_sequence(path)).ravel().tolist() == [0, 1, 255, 128]


@pytest.mark.parametrize("order", ["<", ">"])
def test_segmented_palettes(tmp_path, order):
    """Discrete, linear and indirect segments (PS3.3 C.7.9.2); pydicom's own expansion agrees on the first two."""
    from pydicom.pixels.processing import _expand_segmented_lut

    words = [0, 2, 0, 5 << 8, 1, 62, 36 << 8, 1, 64, 255 << 8, 1, 64, 0]
    table = np.array(words, dtype=f"{order}u2").tobytes()
    expected = np.array(_expand_segmented_lut(tuple(words), f"{order}{len(words)}H")) >> 8
    assert len(expected) == 192
    syntax = {"syntax": ExplicitVRBigEndian} if order == ">" else {}
    attributes = palette([table] * 3, (192, 0, 16), segmented=True)
    path = dicom_file(tmp_path / "s.dcm", GREY, "PALETTE COLOR", **syntax, **attributes)
    np.testing.assert_array_equal(stack(read_sequence(path)), expected[np.clip(GREY, 0, 191)])
    # the linear segment at byte 8 once more, from where the table ends: 0 to 36
    repeated = np.array([*words, 2, 1, 8, 0], dtype=f"{order}u2").tobytes()
    attributes = palette([repeated] * 3, (254, 0, 16), segmented=True)
    path = dicom_file(tmp_path / "s.dcm", GREY, "PALETTE COLOR", **syntax, **attributes)
    again = np.round(np.linspace(0, 36 << 8, 63)[1:]).astype(int) >> 8
    np.testing.assert_array_equal(stack(read_sequence(path)), np.r_[expected, again][np.clip(GREY, 0, 253)])
    short = dicom_file(tmp_path / "t.dcm", GREY, "PALETTE COLOR", **palette([table] * 3, (256, 0, 16), segmented=True))
    with pytest.raises(InputError, match="its segmented red palette does not give 256 entries"):
        read_sequence(short)


def test_palettes_that_are_missing_or_do_not_fit(tmp_path):
    with pytest.raises(InputError, match="is PALETTE COLOR without a red palette"):
        read_sequence(dicom_file(tmp_path / "s.dcm", GREY, "PALETTE COLOR"))
    with pytest.raises(InputError, match="its red palette holds 100 bytes, too few for 256 entries"):
        read_sequence(dicom_file(tmp_path / "s.dcm", GREY, "PALETTE COLOR", **palette([bytes(100)] * 3, (256, 0, 16))))


def compressed(path, streams, photometric, syntax=JPEGBaseline8Bit, shape=COLOURS.shape, **attributes):
    pixels = np.zeros(shape, np.uint8)
    return dicom_file(path, pixels, photometric, syntax=syntax, data=encapsulate(streams), **attributes)


def jpeg(frame, marker, subsampling=0):
    """A JPEG stream: Y'CbCr by Pillow, with the marker of JFIF, with Adobe's, or with none that tells its colours."""
    image = pytest.importorskip("PIL.Image")
    file = io.BytesIO()
    image.fromarray(frame).save(file, "JPEG", quality=95, subsampling=subsampling)
    stream = file.getvalue()
    start = 4 + int.from_bytes(stream[4:6], "big")
    adobe = b"\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00\x01"
    return stream[:2] + {"JFIF": stream[2:start], "Adobe": adobe, "none": b""}[marker] + stream[start:]


def rgb_jpeg(frame, marker):
    """A JPEG stream whose components are red, green and blue."""
    image = pytest.importorskip("PIL.Image")
    file = io.BytesIO()
    image.fromarray(frame).save(file, "JPEG", quality=95, subsampling=0, keep_rgb=True)
    stream = bytearray(file.getvalue())
    # Pillow names the components R, G and B, which tells their colours
    for start, step in ((stream.index(b"\xff\xc0") + 10, 3), (stream.index(b"\xff\xda") + 5, 2)):
        assert stream[start : start + 3 * step : step] == b"RGB"
        stream[start : start + 3 * step : step] = b"\x01\x02\x03"
    stream = bytes(stream)
    at = stream.index(b"\xff\xdb")
    adobe = b"\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00\x00"
    return stream[:2] + {"Adobe": adobe, "none": b""}[marker] + stream[at:]


@pytest.mark.parametrize("stated", ["RGB", "YBR_FULL_422", "YBR_FULL"])
@pytest.mark.parametrize(
    ("marker", "subsampling"), [("JFIF", 0), ("JFIF", 2), ("Adobe", 0), ("Adobe", 1), ("none", 1), ("none", 2)]
)
def test_jpeg_colours_are_those_of_the_stream(tmp_path, decoder, marker, subsampling, stated):
    """The marker, or components that are subsampled, decide whatever the file says."""
    path = compressed(tmp_path / "s.dcm", [jpeg(frame, marker, subsampling) for frame in COLOURS], stated)
    sequence = read_sequence(path)
    # smooth colours: subsampling loses little of them
    np.testing.assert_allclose(stack(sequence), COLOURS @ LUMA, atol=6)
    assert np.abs(colour_frame(sequence, 1).astype(float) - COLOURS[1]).mean() < 4
    assert any("the pixels are Y'CbCr, although the file says RGB" in n for n in sequence.notes) == (stated == "RGB")


@pytest.mark.parametrize(("marker", "stated"), [("Adobe", "RGB"), ("Adobe", "YBR_FULL_422"), ("none", "RGB")])
def test_jpeg_of_red_green_and_blue(tmp_path, decoder, marker, stated):
    path = compressed(tmp_path / "s.dcm", [rgb_jpeg(frame, marker) for frame in COLOURS], stated)
    np.testing.assert_allclose(stack(read_sequence(path)), COLOURS @ LUMA, atol=6)


def test_colour_spaces_without_a_mark_are_seen_in_grey_pictures(tmp_path, decoder):
    grey = np.repeat(SMOOTH[..., None], 3, axis=-1)
    path = compressed(tmp_path / "s.dcm", [jpeg(frame, "none") for frame in grey], "RGB")
    np.testing.assert_allclose(stack(read_sequence(path)), SMOOTH, atol=4)
    path = compressed(tmp_path / "s.dcm", [rgb_jpeg(frame, "none") for frame in grey], "YBR_FULL")
    np.testing.assert_allclose(stack(read_sequence(path)), SMOOTH, atol=4)
    jfif = b"\xff\xe0\x00\x10JFIF\x00\x01\x01\x00\x00\x01\x00\x01\x00\x00"
    streams = [stream[:2] + jfif + stream[2:] for stream in (rgb_jpeg(frame, "none") for frame in grey)]
    marked = read_sequence(compressed(tmp_path / "s.dcm", streams, "RGB"))
    np.testing.assert_allclose(stack(marked), SMOOTH, atol=4)
    assert any("although the mark of their compressed stream says another" in note for note in marked.notes)
    neutral = np.stack([SMOOTH, np.full_like(SMOOTH, 128), np.full_like(SMOOTH, 128)], axis=-1)
    native = read_sequence(dicom_file(tmp_path / "n.dcm", neutral, "RGB"))
    np.testing.assert_array_equal(stack(native), SMOOTH)
    assert any("the pixels are Y'CbCr, although the file says RGB" in note for note in native.notes)


def test_colour_flow_on_grey_shows_the_colour_space(tmp_path, decoder):
    """Y'CbCr without a mark and labelled RGB, in grey pictures of which a part is coloured."""
    picture = np.repeat(SMOOTH[..., None], 3, axis=-1)
    picture[:, 10:30, 20:50] = COLOURS[:, 10:30, 20:50]
    path = compressed(tmp_path / "s.dcm", [jpeg(frame, "none") for frame in picture], "RGB")
    np.testing.assert_allclose(stack(read_sequence(path))[:, 2:8], SMOOTH[:, 2:8], atol=5)
    path = compressed(tmp_path / "r.dcm", [rgb_jpeg(frame, "none") for frame in picture], "YBR_FULL")
    np.testing.assert_allclose(stack(read_sequence(path))[:, 2:8], SMOOTH[:, 2:8], atol=5)


def test_monochrome1_by_every_decoder(tmp_path, decoder):
    image = pytest.importorskip("PIL.Image")
    for syntax, kind in ((JPEGBaseline8Bit, "JPEG"), (JPEG2000Lossless, "JPEG2000")):
        streams = []
        for frame in SMOOTH:
            file = io.BytesIO()
            image.fromarray(frame).save(file, kind, **({"quality": 95} if kind == "JPEG" else {"no_jp2": True}))
            streams.append(file.getvalue())
        path = compressed(tmp_path / "s.dcm", streams, "MONOCHROME1", syntax, SMOOTH.shape)
        np.testing.assert_allclose(stack(read_sequence(path)), 255.0 - SMOOTH, atol=4 if kind == "JPEG" else 0)


@pytest.mark.parametrize("stated", ["YBR_RCT", "RGB", "YBR_FULL"])
def test_jpeg_2000_with_a_component_transform_is_rgb(tmp_path, decoder, stated):
    image = pytest.importorskip("PIL.Image")
    streams = []
    for frame in COLOURS:
        file = io.BytesIO()
        image.fromarray(frame).save(file, "JPEG2000", no_jp2=True, mct=1, irreversible=False)
        streams.append(file.getvalue())
    sequence = read_sequence(compressed(tmp_path / "s.dcm", streams, stated, JPEG2000Lossless))
    np.testing.assert_array_equal(colour_frame(sequence, 0), COLOURS[0])
    assert (not sequence.notes[-1].startswith("the pixels are RGB")) or stated != "RGB"


def test_ybr_of_video_range_and_one_colour_for_two_pixels(tmp_path):
    luma, blue, red = np.array([16, 126, 235, 81]), np.array([128, 128, 128, 90]), np.array([128, 128, 128, 240])
    ybr = np.stack([luma, blue, red], axis=-1).astype(np.uint8)[None, None].repeat(2, axis=1)
    pairs = np.stack([ybr[:, :, 0::2, 0], ybr[:, :, 1::2, 0], ybr[:, :, 0::2, 1], ybr[:, :, 0::2, 2]], axis=-1)
    sequence = read_sequence(dicom_file(tmp_path / "s.dcm", ybr, "YBR_PARTIAL_422", data=pairs.tobytes()))
    assert stack(sequence)[0, 0, :3].tolist() == [0, 128, 255]
    full = read_sequence(dicom_file(tmp_path / "f.dcm", ybr, "YBR_FULL_422"))
    assert any("hold a colour for every pixel, although YBR_FULL_422" in note for note in full.notes)
    np.testing.assert_allclose(stack(full)[0, 0, :3], luma[:3], atol=1)


def test_bits_that_are_not_pixels_are_left_out(tmp_path):
    """Overlays in high bits, pixels in high bits, signed pixels of 12 bits."""
    values = GREY.astype(np.uint16) * 4 + 3
    overlay = values | (GREY.astype(np.uint16) & 1) << 15
    path = dicom_file(tmp_path / "s.dcm", overlay, BitsStored=10, HighBit=9)
    np.testing.assert_array_equal(stack(read_sequence(path)), values)
    path = dicom_file(tmp_path / "s.dcm", values << 6, BitsStored=10, HighBit=15)
    np.testing.assert_array_equal(stack(read_sequence(path)), values)
    signed = GREY.astype(np.int16) * 16 - 2048
    path = dicom_file(tmp_path / "s.dcm", (signed & 0x0FFF).astype(np.uint16), BitsStored=12, HighBit=11,
                      PixelRepresentation=1)  # fmt: skip
    np.testing.assert_array_equal(stack(read_sequence(path)), signed)
    with pytest.raises(InputError, match="12 bits up to bit 5 do not fit into 16"):
        read_sequence(dicom_file(tmp_path / "s.dcm", values, BitsStored=12, HighBit=5))


def test_modality_look_up_table(tmp_path):
    table = (np.arange(256) ** 2 // 255).astype(np.uint16)
    lut = item(LUTDescriptor=[256, 0, 16], ModalityLUTType="US", LUTData=table.tobytes())
    path = dicom_file(tmp_path / "s.dcm", GREY, ModalityLUTSequence=[lut])
    np.testing.assert_array_equal(stack(read_sequence(path)), table[GREY])
    path = dicom_file(tmp_path / "s.dcm", GREY, "MONOCHROME1", ModalityLUTSequence=[lut])
    np.testing.assert_array_equal(stack(read_sequence(path)), 255.0 - table[GREY])


def test_frames_of_different_sizes_are_named(tmp_path):
    streams = [jpeg(COLOURS[0], "JFIF"), jpeg(COLOURS[1][:40], "JFIF")]
    sequence = read_sequence(compressed(tmp_path / "s.dcm", streams, "YBR_FULL_422"))
    with pytest.raises(InputError, match="frame 1 is 64 x 40 pixels, but the header says 64 x 48"):
        sequence.frame(1)
    turned = compressed(tmp_path / "t.dcm", [jpeg(COLOURS[0].transpose(1, 0, 2).copy(), "JFIF")] * 2, "YBR_FULL_422")
    with pytest.raises(InputError, match="frame 0 is 48 x 64 pixels"):
        read_sequence(turned).frame(0)
    cut = compressed(tmp_path / "c.dcm", [jpeg(COLOURS[0], "JFIF")[:-400] + bytes(400)] * 2, "YBR_FULL_422")
    with pytest.raises(InputError, match="frame 0 cannot be decoded: its JPEG stream is truncated"):
        read_sequence(cut).frame(0)
    grey = compressed(tmp_path / "g.dcm", [jpeg(SMOOTH[0], "JFIF")] * 2, "YBR_FULL_422")
    with pytest.raises(InputError, match="frame 0 has 1 components a pixel, but the header says 3"):
        read_sequence(grey).frame(0)


def test_several_pictures_in_one_frame_are_not_passed_over(tmp_path):
    fragments = [jpeg(frame, "JFIF") for frame in COLOURS] * 3
    data = encapsulate(fragments, has_bot=True)
    # a table of two frames of three pictures each
    starts = np.frombuffer(data[8 : 8 + 4 * 6], dtype="<u4")[[0, 3]].tobytes()
    data = data[:4] + (8).to_bytes(4, "little") + starts + data[8 + 4 * 6 :]
    path = dicom_file(tmp_path / "s.dcm", np.zeros(COLOURS.shape, np.uint8), "YBR_FULL_422", JPEGBaseline8Bit, data)
    with pytest.raises(InputError, match=r"6 compressed pictures, but NumberOfFrames is 2: .*2 x 3 slices of 64 x 48"):
        read_sequence(path)


@pytest.mark.parametrize(
    ("syntax", "words"),
    [
        ("1.2.840.10008.1.2.4.100", "MPEG-2 video inside DICOM, which is not decoded: export the clip as MP4"),
        ("1.2.840.10008.1.2.4.102", r"H.264 \(MPEG-4\) video inside DICOM"),
        ("1.2.840.10008.1.2.4.106.1", r"H.264 \(MPEG-4\) video inside DICOM"),
        ("1.2.840.10008.1.2.4.107", r"HEVC \(H.265\) video inside DICOM"),
        ("1.2.840.10008.1.2.4.110", "JPEG XL is not supported: nothing that is installed decodes it"),
        ("1.2.840.10008.1.2.4.94", "its pixels are on a server"),
        ("1.2.840.113619.5.2", "its transfer syntax 1.2.840.113619.5.2 is not one of the DICOM standard"),
    ],
)
def test_what_is_not_decoded_is_named(tmp_path, syntax, words):
    path = dicom_file(tmp_path / "s.dcm", GREY)
    whole = path.read_bytes()
    stored = b"1.2.840.10008.1.2.1\0"
    longer = (syntax + "\0" * (len(syntax) % 2)).encode()
    at = whole.index(b"\x02\x00\x10\x00UI")
    assert whole[at + 8 : at + 8 + len(stored)] == stored
    group_length = int.from_bytes(whole[140:144], "little") + len(longer) - len(stored)
    head = whole[:140] + group_length.to_bytes(4, "little") + whole[144 : at + 6]
    path.write_bytes(head + len(longer).to_bytes(2, "little") + longer + whole[at + 8 + len(stored) :])
    assert UID(syntax).is_valid
    with pytest.raises(InputError, match=words):
        read_sequence(path)


def test_damaged_run_lengths_are_reported(tmp_path):
    path = dicom_file(tmp_path / "s.dcm", GREY, syntax=RLELossless, data=encapsulate([bytes(64)] * 3))
    with pytest.raises(InputError, match="frame 0 cannot be decoded: "):
        read_sequence(path).frame(0)


@pytest.mark.parametrize("photometric", ["HSV", "CMYK", "ARGB", "XYB"])
def test_photometric_interpretations_that_are_not_supported(tmp_path, photometric):
    with pytest.raises(InputError, match=f"its photometric interpretation {photometric} is not supported"):
        read_sequence(dicom_file(tmp_path / "s.dcm", COLOURS, photometric))


@pytest.mark.parametrize("value", [2, 65535])
def test_a_sign_that_is_neither_0_nor_1_is_refused(tmp_path, value):
    path = dicom_file(tmp_path / "s.dcm", np.zeros((2, 8, 8), np.uint8), PixelRepresentation=value)
    with pytest.raises(InputError, match=f"PixelRepresentation is {value}"):
        read_sequence(path)
