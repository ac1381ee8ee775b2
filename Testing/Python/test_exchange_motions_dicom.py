"""DICOM Deformable Spatial Registration of an oblique pair: read by another library, checked by a validator."""

import shutil
import subprocess
from dataclasses import replace

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from pydicom.uid import generate_uid

from dicom_samples import slice_files
from motion_pairs import FIXED, MIRRORED, affine_about_centre, smooth_field
from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.exchange.motions import Motion, MotionContext, read_motion, write_motion

OBLIQUE = tuple(FIXED.direction[:, :2].T.ravel())
SLICES = [FIXED.direction[:, 2] * 2.0 * number for number in range(4)]
PERSON = {"PatientName": "A^B", "PatientID": "7", "PatientBirthDate": "19700101", "PatientSex": "F"}
STUDY = {"StudyDate": "20260101", "StudyTime": "120000", "StudyID": "1", "AccessionNumber": ""}


@pytest.fixture
def context(tmp_path):
    """Two series of a study, each in a frame of reference of its own."""
    study = generate_uid()
    folders = [
        slice_files(tmp_path / name, SLICES, OBLIQUE, StudyInstanceUID=study, **PERSON, **STUDY)
        for name in ("fixed", "moving")
    ]
    return MotionContext.read(*folders)


@pytest.mark.parametrize("grid", [FIXED, MIRRORED], ids=["right-handed", "left-handed"])
def test_the_motion_comes_back(grid, context, tmp_path):
    motion = Motion.of_field(smooth_field(grid))
    write_motion(tmp_path / "r.dcm", motion, context=context)
    again = read_motion(tmp_path / "r.dcm", context=context)
    np.testing.assert_allclose(again.field(grid).displacement_mm, motion.field().displacement_mm, atol=1e-3)
    header = pydicom.dcmread(tmp_path / "r.dcm")
    assert (header.Modality, header.PatientName) == ("REG", "A^B")
    fixed, moving = (pydicom.dcmread(tmp_path / name / "s00.dcm") for name in ("fixed", "moving"))
    assert header.FrameOfReferenceUID == fixed.FrameOfReferenceUID
    item = header.DeformableRegistrationSequence[0]
    assert item.SourceFrameOfReferenceUID == moving.FrameOfReferenceUID
    assert {one.ReferencedSOPInstanceUID for one in item.ReferencedImageSequence} >= {moving.SOPInstanceUID}


def test_a_second_library_reads_the_same_motion(context, tmp_path):
    parser = pytest.importorskip("pydicomrt.reg.parser", reason="pydicomrt, a second reader of registrations")
    write_motion(tmp_path / "r.dcm", Motion.of_field(smooth_field()), context=context)
    (found,) = parser.get_deformable_registrations(pydicom.dcmread(tmp_path / "r.dcm"))
    grid = found["DeformableRegistrationGrid"]
    np.testing.assert_allclose(grid["VectorGridData"], smooth_field().displacement_mm, atol=1e-5)
    assert list(grid["GridDimensions"]) == list(FIXED.shape[::-1])
    np.testing.assert_allclose(grid["GridResolution"], FIXED.spacing_mm)
    np.testing.assert_allclose(grid["ImagePositionPatient"], FIXED.origin_mm, atol=1e-9)
    np.testing.assert_allclose(grid["ImageOrientationPatient"], OBLIQUE, atol=1e-9)


def test_a_validator_finds_no_error(context, tmp_path):
    program = shutil.which("dciodvfy")
    if program is None:
        pytest.skip("dciodvfy (Debian's dicom3tools)")
    write_motion(tmp_path / "r.dcm", Motion.of_field(smooth_field()), context=context)
    said = subprocess.run([program, tmp_path / "r.dcm"], capture_output=True, text=True, check=False).stderr
    assert "DeformableSpatialRegistration" in said
    assert "Error" not in said, said


def test_matrices_before_and_after_the_grid_are_applied(context, tmp_path):
    """C.20.3.1.1 of the standard: post(pre(x) + d(x))."""
    write_motion(tmp_path / "r.dcm", Motion.of_field(smooth_field()), context=context)
    header = pydicom.dcmread(tmp_path / "r.dcm")
    pre, post = affine_about_centre(), np.linalg.inv(affine_about_centre()) @ np.diag([1.1, 0.9, 1.0, 1.0])
    for name, matrix in (("Pre", pre), ("Post", post)):
        entry = pydicom.Dataset()
        entry.FrameOfReferenceTransformationMatrix = [f"{value:.10g}" for value in matrix.ravel()]
        entry.FrameOfReferenceTransformationMatrixType = "AFFINE"
        setattr(header.DeformableRegistrationSequence[0], f"{name}DeformationMatrixRegistrationSequence", [entry])
    header.save_as(tmp_path / "r.dcm")
    motion = read_motion(tmp_path / "r.dcm")
    points = FIXED.points_lps_mm()
    inner = points @ pre[:3, :3].T + pre[:3, 3] + smooth_field().displacement_mm
    expected = inner @ post[:3, :3].T + post[:3, 3] - points
    np.testing.assert_allclose(motion.field().displacement_mm, expected, atol=1e-3)
    outside = np.array([500.0, 0, 0])
    whole = post @ pre
    np.testing.assert_allclose(motion.points(outside), whole[:3, :3] @ outside + whole[:3, 3], atol=1e-3)


def test_simpleitk_resamples_dicom_as_we_do(context, tmp_path):
    """The displacement image that SimpleITK is given by hand, from the standard's attributes."""
    write_motion(tmp_path / "r.dcm", Motion.of_field(smooth_field()), context=context)
    grid = pydicom.dcmread(tmp_path / "r.dcm").DeformableRegistrationSequence[0].DeformableRegistrationGridSequence[0]
    image = sitk.GetImageFromArray(
        np.frombuffer(grid.VectorGridData, "<f4").reshape(*grid.GridDimensions[::-1], 3).astype(float), isVector=True
    )
    image.SetSpacing([float(value) for value in grid.GridResolution])
    image.SetOrigin([float(value) for value in grid.ImagePositionPatient])
    rows = np.reshape([float(value) for value in grid.ImageOrientationPatient], (2, 3))
    image.SetDirection(np.column_stack([*rows, np.cross(*rows)]).ravel().tolist())
    transform = sitk.DisplacementFieldTransform(image)
    ours = read_motion(tmp_path / "r.dcm", context=context)
    for point in FIXED.points_lps_mm()[2:-2, 3:-3, 4:-4].reshape(-1, 3)[::211].tolist():
        np.testing.assert_allclose(ours.points(np.array(point)), transform.TransformPoint(point), atol=1e-6)


def test_what_is_missing_is_said(context, tmp_path):
    motion = Motion.of_field(smooth_field())
    with pytest.raises(InputError, match="give both as DICOM files or folders"):
        write_motion(tmp_path / "r.dcm", motion, context=replace(context, moving_path=None))
    write_motion(tmp_path / "r.dcm", motion, context=context)
    turned = replace(context, fixed_path=context.moving_path)
    with pytest.raises(InputError, match=r"registers onto the frame of reference .* it may be the moving image"):
        read_motion(tmp_path / "r.dcm", context=turned)
    with pytest.raises(InputError, match="but the moving image has"):
        read_motion(tmp_path / "r.dcm", context=replace(context, moving_path=context.fixed_path))
    header = pydicom.dcmread(tmp_path / "r.dcm")
    grid = header.DeformableRegistrationSequence[0].DeformableRegistrationGridSequence[0]
    values = np.frombuffer(grid.VectorGridData, "<f4").copy()
    values[6:9] = np.nan
    grid.VectorGridData = values.tobytes()
    header.save_as(tmp_path / "nan.dcm")
    with pytest.raises(InputError, match=r"nan\.dcm: the motion is not defined \(NaN\) at 1 of 9350 grid points"):
        read_motion(tmp_path / "nan.dcm")
    second = pydicom.Dataset()
    second.update(header.DeformableRegistrationSequence[0])
    second.SourceFrameOfReferenceUID = generate_uid()
    grid.VectorGridData = np.nan_to_num(values).tobytes()
    header.DeformableRegistrationSequence.append(second)
    header.save_as(tmp_path / "two.dcm")
    with pytest.raises(InputError, match="holds 2 grids, of the sources"):
        read_motion(tmp_path / "two.dcm")
    read_motion(tmp_path / "two.dcm", context=context)
