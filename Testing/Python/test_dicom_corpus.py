"""Every file of pydicom's collections has the pixels and places that other libraries give, or a known refusal.

The files come in pydicom's wheel; with the package `pydicom-data` there are 60 more.
"""

import importlib.util
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.data import get_testdata_file
from pydicom.pixels import apply_color_lut, apply_modality_lut, get_decoder, pixel_array

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.images import read_volume
from UltrasoundMotionLib.images.readers.dicom.frames import DicomFrames
from UltrasoundMotionLib.images.readers.dicom.pixel_layout import open_dicom

_MOST_FRAMES = 4
NO_PICTURE = "holds no picture, or is truncated"
NOT_DICOM = "is not a DICOM file"
REFUSED = {
    **dict.fromkeys(("liver.dcm", "liver_expb.dcm", "liver_1frame.dcm", "liver_expb_1frame.dcm"), "has 1 bits a pixel"),
    **dict.fromkeys(
        ("UN_sequence.dcm", "empty_charset_LEI.dcm", "nested_priv_SQ.dcm", "no_meta_group_length.dcm", "priv_SQ.dcm",
         "reportsi.dcm", "reportsi_with_empty_number_tags.dcm", "rtplan.dcm", "rtplan_truncated.dcm", "test-SR.dcm",
         "waveform_ecg.dcm"), NO_PICTURE),
    # without the prefix that marks a DICOM file
    **dict.fromkeys(("ExplVR_BigEndNoMeta.dcm", "ExplVR_LitEndNoMeta.dcm", "no_meta.dcm", "rtstruct.dcm",
                     "OT-PAL-8-face.dcm"), NOT_DICOM),
    "meta_missing_tsyntax.dcm": "names no transfer syntax",
    "image_dfl.dcm": "is a deflated DICOM file",
    "badVR.dcm": "cannot be read as DICOM, damaged or truncated",
    "MR_truncated.dcm": "truncated: 0 of 1 frames found",
    "JPEG2000-embedded-sequence-delimiter.dcm": "but the header says 256 x 1024",  # its picture's header is damaged
}  # fmt: skip
# pydicom reads big-endian palettes the wrong way round; the same pictures in little endian are the truth
SAME_AS = {"OBXXXX1A_expb.dcm": "OBXXXX1A.dcm", "OBXXXX1A_expb_2frame.dcm": "OBXXXX1A_2frame.dcm"}
# pydicom's packages decode no JPEG of 12 bits; the uncompressed original is not in the collection
ONLY_GDCM = {"JPEG-lossy.dcm"}
# pydicom finds no pixel data behind a wrong length
WITHOUT_REFERENCE = {"emri_small_jpeg_2k_lossless_too_short.dcm"}


def collection() -> list[Path]:
    folders = [Path(get_testdata_file("CT_small.dcm")).parent]
    more = importlib.util.find_spec("data_store")
    if more is not None and more.submodule_search_locations:
        folders.append(Path(next(iter(more.submodule_search_locations))) / "data")
    return sorted(file for folder in folders for file in folder.glob("*.dcm"))


FILES = collection()


def decoded_elsewhere(path: Path, dataset: pydicom.Dataset, frame: int) -> np.ndarray:
    """A frame as pydicom decodes it or, without the packages that it needs for that, as GDCM reads the whole file."""
    several = int(dataset.get("NumberOfFrames") or 1) > 1
    if path.name not in ONLY_GDCM and get_decoder(dataset.file_meta.TransferSyntaxUID).is_available:
        try:
            return pixel_array(dataset, index=frame) if several else pixel_array(dataset)
        except RuntimeError:
            pass
    import SimpleITK as sitk

    return sitk.GetArrayFromImage(sitk.ReadImage(str(path)))[frame]


def reference(path: Path, frame: int) -> np.ndarray:
    """A frame in the terms of `DicomFrames`."""
    dataset = pydicom.dcmread(path)
    pixels = decoded_elsewhere(path, dataset, frame)
    if dataset.PhotometricInterpretation == "PALETTE COLOR":
        colours = apply_color_lut(pixels, dataset)
        return colours >> 8 if colours.dtype != np.uint8 else colours
    if dataset.SamplesPerPixel == 3:
        return pixels >> max(0, dataset.BitsStored - 8)
    for group in (*dataset.get("SharedFunctionalGroupsSequence", []), dataset):
        values = group.get("PixelValueTransformationSequence")
        pixels = apply_modality_lut(pixels, values[0] if values else group)
    return 2**dataset.BitsStored - 1 - pixels if dataset.PhotometricInterpretation == "MONOCHROME1" else pixels


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
@pytest.mark.slow
def test_pixels_are_those_of_another_library(path):
    if path.name in REFUSED:
        with pytest.raises(InputError, match=REFUSED[path.name]):
            DicomFrames(open_dicom(path))[0]
        return
    frames = DicomFrames(open_dicom(path))
    truth = path.with_name(SAME_AS.get(path.name, path.name))
    for index in range(min(_MOST_FRAMES, frames.shape[0])):
        colour = frames.colour_frame(index)
        ours = frames.values(index) if colour is None else colour
        assert ours.shape[:2] == frames.shape[1:]
        if path.name in WITHOUT_REFERENCE:
            continue
        np.testing.assert_allclose(ours, reference(truth, index), atol=0, err_msg=f"frame {index}")


def places_in_space(path: Path) -> bool:
    """True for a readable file of one frame with a position; GDCM reads no dose."""
    if path.name in REFUSED or path.name.startswith("rtdose"):
        return False
    dataset = pydicom.dcmread(path, stop_before_pixels=True, force=True)
    several = int(dataset.get("NumberOfFrames") or 1) > 1
    return "ImagePositionPatient" in dataset and "ImageOrientationPatient" in dataset and not several


@pytest.mark.parametrize("path", [file for file in FILES if places_in_space(file)], ids=lambda path: path.name)
def test_places_are_those_of_itk(path):
    import SimpleITK as sitk

    volume = read_volume(path)
    image = sitk.ReadImage(str(path))
    corners = [(0, 0, 0), (volume.array.shape[2] - 1, 0, 0), (0, volume.array.shape[1] - 1, 0)]
    for corner in corners:
        ours = (volume.index_to_lps_mm @ [*corner, 1])[:3]
        theirs = image.TransformContinuousIndexToPhysicalPoint([*map(float, corner)])
        np.testing.assert_allclose(ours, theirs, atol=1e-2)


def test_the_dose_volume_lies_where_its_offsets_say():
    volume = read_volume(get_testdata_file("rtdose.dcm"))
    dataset = pydicom.dcmread(get_testdata_file("rtdose.dcm"))
    offsets = np.array(dataset.GridFrameOffsetVector, dtype=float)
    assert volume.array.shape == (15, 10, 10)
    last = (volume.index_to_lps_mm @ [0, 0, 14, 1])[:3]
    normal = np.cross(*np.reshape(np.array(dataset.ImageOrientationPatient, dtype=float), (2, 3)))
    expected = np.array(dataset.ImagePositionPatient, dtype=float) + normal * (offsets[-1] - offsets[0])
    np.testing.assert_allclose(last, expected, atol=1e-3)


@pytest.mark.slow
def test_an_enhanced_volume_lies_where_highdicom_puts_it():
    highdicom = pytest.importorskip("highdicom")
    path = next((file for file in FILES if file.name == "eCT_Supplemental.dcm"), None)
    if path is None:
        pytest.skip("the package pydicom-data is not installed")
    ours = read_volume(path)
    theirs = highdicom.imread(path).get_volume(apply_real_world_transform=False)
    places = {tuple(np.round((theirs.affine @ [k, 0, 0, 1])[:3], 3)): k for k in range(len(theirs.array))}
    for k in range(len(ours.array)):
        place = tuple(np.round((ours.index_to_lps_mm @ [0, 0, k, 1])[:3], 3))
        np.testing.assert_array_equal(ours.array[k], theirs.array[places[place]])
