"""Pictures: grey levels of every kind of PNG, folders whose files are not all frames, and sizes that are unknown."""

import json
import struct
import zlib

import numpy as np
import pytest

from UltrasoundMotionLib.cli.main import main
from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.images import Volume, read_sequence, read_volume
from UltrasoundMotionLib.registration.checked_input import check_images

pillow = pytest.importorskip("PIL.Image")
GENERATOR = np.random.default_rng(21)
GREY = GENERATOR.integers(0, 256, (12, 9)).astype(np.uint8)
OPACITY = GENERATOR.integers(0, 256, (12, 9)).astype(np.uint8)


def folder_of(tmp_path, names, pictures=None):
    folder = tmp_path / "frames"
    folder.mkdir(exist_ok=True)
    for number, name in enumerate(names):
        pillow.fromarray(GREY + np.uint8(number) if pictures is None else pictures[number]).save(folder / name)
    return folder


def png(colour, bits, rows, *chunks):
    """A PNG file by hand: its colour type, bits, rows of bytes, and more chunks before them."""

    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + zlib.crc32(kind + content).to_bytes(4, "big")

    width = len(rows[0]) * 8 // bits // {0: 1, 2: 3, 4: 2, 6: 4}[colour]
    lines = b"".join(b"\0" + bytes(row) for row in rows)
    header = struct.pack(">IIBBBBB", width, len(rows), bits, colour, 0, 0, 0)
    more = b"".join(chunk(*pair) for pair in chunks)
    end = chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + more + end


def test_grey_with_opacity(tmp_path):
    for name, image in (
        ("la.png", pillow.fromarray(np.stack([GREY, OPACITY], axis=-1))),
        ("rgba.png", pillow.fromarray(np.stack([GREY, GREY, GREY, OPACITY], axis=-1))),
    ):
        image.save(tmp_path / name)
        np.testing.assert_array_equal(read_sequence(tmp_path / name).frame(0), GREY)
        np.testing.assert_array_equal(read_volume(tmp_path / name).array, GREY)
    pillow.fromarray(GREY).save(tmp_path / "level.png", transparency=int(GREY[0, 0]))
    np.testing.assert_array_equal(read_sequence(tmp_path / "level.png").frame(0), GREY)


def test_sixteen_bits_with_opacity(tmp_path):
    values = GREY.astype(np.uint16) * 200 + 7
    rows = np.stack([values, OPACITY.astype(np.uint16) * 3], axis=-1).astype(">u2").reshape(12, -1)
    (tmp_path / "deep.png").write_bytes(png(4, 16, [row.tobytes() for row in rows]))
    np.testing.assert_array_equal(read_sequence(tmp_path / "deep.png").frame(0), values)
    pillow.fromarray(values).save(tmp_path / "grey.png")
    np.testing.assert_array_equal(read_sequence(tmp_path / "grey.png").frame(0), values)
    assert read_volume(tmp_path / "grey.png").array.dtype == np.uint16


def test_damaged_and_printed_pictures_are_refused(tmp_path):
    pillow.fromarray(np.stack([GREY, OPACITY], axis=-1)).save(tmp_path / "la.png")
    whole = (tmp_path / "la.png").read_bytes()
    for name, data in (("cut.png", whole[:-30]), ("flipped.png", whole[:60] + bytes([whole[60] ^ 1]) + whole[61:])):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(InputError, match=f"{name}: cannot be read: damaged or truncated"):
            read_sequence(tmp_path / name).frame(0)
    pillow.fromarray(np.stack([GREY] * 4, axis=-1), "CMYK").save(tmp_path / "print.jpg")
    with pytest.raises(InputError, match=r"print.jpg: has the four colours of a print \(CMYK\)"):
        read_sequence(tmp_path / "print.jpg").frame(0)
    pillow.fromarray(np.tile(GREY, (20, 20))).save(tmp_path / "half.jpg")
    whole = (tmp_path / "half.jpg").read_bytes()
    (tmp_path / "half.jpg").write_bytes(whole[: len(whole) * 3 // 4])
    with pytest.raises(InputError, match=r"half.jpg: is not a JPEG picture, or is damaged or truncated"):
        read_sequence(tmp_path / "half.jpg").frame(0)


def test_a_gap_in_the_numbers_is_named(tmp_path):
    sequence = read_sequence(folder_of(tmp_path, [f"{k:05d}.png" for k in (0, 1, 3, 4)]))
    assert any("1 frame is missing: between 00001.png and 00003.png" in note for note in sequence.notes)


@pytest.mark.parametrize("numbers", [(0, 1, 2, 3), (10, 20, 30, 40), (7, 8), (100, 133, 166, 200, 233)])
def test_numbers_without_a_gap(tmp_path, numbers):
    sequence = read_sequence(folder_of(tmp_path, [f"view2_{k}.png" for k in numbers]))
    assert len(sequence) == len(numbers) and not any("missing" in note for note in sequence.notes)


def test_files_without_a_number_are_no_frames(tmp_path):
    sequence = read_sequence(folder_of(tmp_path, ["00000.png", "00001.png", "mask.png"]))
    assert len(sequence) == 2
    assert "mask.png left out: the frames have numbers in their names" in sequence.notes
    words = tmp_path / "words"
    words.mkdir()
    for name in ("diastole.png", "systole.png"):
        pillow.fromarray(GREY).save(words / name)
    assert len(read_sequence(words)) == 2


def test_two_series_in_one_folder_are_refused(tmp_path):
    folder = folder_of(tmp_path, ["00000.png", "00001.png", "00000_mask.png", "00001_mask.png"])
    with pytest.raises(InputError, match=r"names of 2 patterns \(2 of #, 2 of #_mask\)"):
        read_sequence(folder)


def test_pictures_of_two_sizes_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"1.png: is 8 x 12 pixels, but 0.png is 9 x 12"):
        read_sequence(folder_of(tmp_path, ["0.png", "1.png"], [GREY, GREY[:, :8]]))


@pytest.mark.parametrize("ending", ["tif", "png", "jpg", "bmp"])
def test_the_resolution_of_a_print_is_no_spacing(tmp_path, ending):
    pillow.fromarray(GREY).save(tmp_path / f"p.{ending}", dpi=(300, 300))
    volume = read_volume(tmp_path / f"p.{ending}")
    assert volume.array.shape == GREY.shape and not volume.spacing_known and volume.spacing_mm == (1.0, 1.0)
    assert "spacing unknown: a picture does not say the size of its pixels" in volume.notes[0]


def test_pages_of_a_picture_are_a_volume_of_unknown_spacing(tmp_path):
    pages = [pillow.fromarray(GREY), pillow.fromarray(OPACITY)]
    pages[0].save(tmp_path / "p.tif", save_all=True, append_images=pages[1:], dpi=(72, 72))
    volume = read_volume(tmp_path / "p.tif")
    np.testing.assert_array_equal(volume.array, [GREY, OPACITY])
    assert not volume.spacing_known


def test_known_and_unknown_spacing_do_not_go_together():
    known = Volume(np.arange(64.0).reshape(8, 8), (0.25, 0.25), (0, 0), np.eye(2))
    unknown = Volume(known.array, (1, 1), (0, 0), np.eye(2), spacing_known=False)
    with pytest.raises(InputError, match=r"the spacing of moving is unknown, that of the other image is 0.25 x 0.25"):
        check_images(known, unknown)
    assert not check_images(unknown, unknown).fixed.spacing_known


def test_register_says_pixels_where_the_spacing_is_unknown(tmp_path, capsys):
    from scipy import ndimage

    speckle = ndimage.gaussian_filter(GENERATOR.normal(size=(48, 70)), 2)
    speckle = np.clip(128 + 50 * speckle / speckle.std(), 0, 255).astype(np.uint8)
    for name, start in (("fixed", 4), ("moving", 2)):
        pillow.fromarray(speckle[:, start : start + 60]).save(tmp_path / f"{name}.tif", dpi=(300, 300))
    arguments = ["register", tmp_path / "fixed.tif", tmp_path / "moving.tif", "--method", "demons"]
    report = tmp_path / "r.json"
    assert main([*map(str, arguments), "--out-displacement", str(tmp_path / "u.nrrd"), "--report", str(report)]) == 0
    out = capsys.readouterr()
    assert "px on average" in out.out and " mm on average" not in out.out
    assert "fixed: spacing unknown" in out.out + out.err
    assert any("spacing unknown" in note for note in json.loads(report.read_text())["notes"])


def test_overlap_of_pictures_is_in_pixels(tmp_path, capsys):
    labels = np.zeros((24, 20), np.uint8)
    labels[4:14, 5:15] = 1
    pillow.fromarray(labels).save(tmp_path / "fixed.png", dpi=(300, 300))
    pillow.fromarray(np.roll(labels, 2, axis=1)).save(tmp_path / "warped.png")
    json_file = tmp_path / "o.json"
    arguments = ["evaluate", "registration", tmp_path / "warped.png", "--fixed-labels", tmp_path / "fixed.png"]
    assert main([*map(str, arguments), "--json", str(json_file)]) == 0
    assert "HD95 1 px" in capsys.readouterr().out
    content = json.loads(json_file.read_text())
    assert content["distances_in"] == "px" and content["pooled"]["hd95_mm"]["1"] == 2.0
