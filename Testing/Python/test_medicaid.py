"""Reading of synthetic echocardiograms by others, from files drawn here in the formats that the reader takes."""

import json

import numpy as np
import pytest
from scipy.io import savemat

from UltrasoundMotionLib.errors import InputError, MissingPackageError
from UltrasoundMotionLib.lab.benchmarks.second_source.medicaid import medicaid_cases, read_matlab
from UltrasoundMotionLib.lab.benchmarks.second_source.rows import measure_case
from UltrasoundMotionLib.lab.benchmarks.second_source.vtk_points import read_vtk_points
from UltrasoundMotionLib.lab.benchmarks.swaying_speckle import SwayingSpeckle
from UltrasoundMotionLib.lab.benchmarks.trackers import benchmark_trackers

FRAME_COUNT, SIZE = 6, 96


def drawn():
    """Frames (T, H, W) in dB, and exact positions (T, N, 2) in pixels of five points."""
    source = SwayingSpeckle(FRAME_COUNT, SIZE)
    frames = np.stack([source[index] for index in range(FRAME_COUNT)])
    shifts = np.array([source.shift_px(index) for index in range(FRAME_COUNT)], dtype=float)
    points = np.array([[30.0, 30], [60, 30], [30, 60], [60, 60], [45, 50]])
    return frames.astype(float) / 255 * 60 - 60, points + shifts[:, None]


def write_layout(folder, **values):
    (folder / "layout.json").write_text(json.dumps(values))


def write_matlab(path, *, unit=1.0, origin=0.0):
    """As MATLAB keeps them: image (y, x, t), points (coordinate, point, frame)."""
    frames, points = drawn()
    truth = {"nodes": (points * unit + origin).transpose(2, 1, 0)}
    savemat(path, {"bmode": frames.transpose(1, 2, 0), "truth": truth})


MATLAB = {
    "sequences": "*.mat",
    "frames": "bmode",
    "frames_axes": "yxt",
    "points": "truth.nodes",
    "points_axes": "cnt",
    "origin": [1, 1],
}


def test_matlab_files_are_read_as_the_layout_says(tmp_path):
    pytest.importorskip("cv2")
    write_matlab(tmp_path / "a4c.mat", origin=1.0)
    write_layout(tmp_path, **MATLAB)
    (case,) = medicaid_cases(tmp_path)
    frames, points = drawn()
    assert case.group == "MEDICAID"
    assert case.name == "a4c"
    assert np.allclose(case.truth.positions_px, points)
    assert np.abs(case.sequence.frames - 255 * (frames - frames.min()) / np.ptp(frames)).max() < 0.01
    (tracker,) = benchmark_trackers([], ["opencv-lk"], threads=1).trackers
    assert np.median(measure_case(case, tracker, rescale=False).errors_px) < 0.2


def test_positions_in_millimetres_need_a_spacing_and_fit_it(tmp_path):
    write_matlab(tmp_path / "a4c.mat", unit=0.03, origin=0.0)  # 0.3 mm, in cm
    write_layout(tmp_path, **MATLAB | {"unit": "cm", "origin": [0, 0], "spacing_mm": [0.3, 0.3]})
    (case,) = medicaid_cases(tmp_path)
    assert np.allclose(case.truth.positions_px, drawn()[1])
    assert case.truth.spacing_mm == (0.3, 0.3)
    write_layout(tmp_path, **MATLAB | {"unit": "cm", "origin": [0, 0]})
    with pytest.raises(InputError, match="need a spacing"):
        list(medicaid_cases(tmp_path))
    write_layout(tmp_path, **MATLAB | {"unit": "m", "origin": [0, 0], "spacing_mm": [0.3, 0.3]})
    with pytest.raises(InputError, match="0 % of the points' positions lie in the images of 96 x 96"):
        list(medicaid_cases(tmp_path))


def test_meshes_beside_clips_are_read(tmp_path):
    sitk = pytest.importorskip("SimpleITK")
    frames, points = drawn()
    for name in ("normal", "ischemic"):
        (tmp_path / name / "mesh").mkdir(parents=True)
        image = sitk.GetImageFromArray(np.round(255 + frames / 60 * 255).astype(np.uint8))
        image.SetSpacing((0.5, 0.5, 1.0))
        sitk.WriteImage(image, str(tmp_path / name / "images.mhd"))
        for frame in range(FRAME_COUNT):
            # The plane of the image is x and z of the heart, the third coordinate lies across it.
            places = np.insert(0.5 * points[frame], 1, 7.0, axis=1)
            lines = "\n".join(" ".join(f"{value:.6f}" for value in place) for place in places)
            head = "# vtk DataFile Version 3.0\nmesh\nASCII\nDATASET POLYDATA\nPOINTS 5 float\n"
            (tmp_path / name / "mesh" / f"{frame:02d}.vtk").write_text(f"{head}{lines}\nVERTICES 1 2\n1 0\n")
    layout = {"sequences": "*/images.mhd", "points": "mesh/*.vtk", "coordinates": "xz", "unit": "mm"}
    write_layout(tmp_path, **layout)
    cases = list(medicaid_cases(tmp_path))
    assert [case.name for case in cases] == ["ischemic/images", "normal/images"]
    assert np.allclose(cases[0].truth.positions_px, points, atol=1e-4)
    (tmp_path / "normal" / "mesh" / "05.vtk").unlink()
    with pytest.raises(InputError, match="6 frames, but 5 files"):
        list(medicaid_cases(tmp_path))


@pytest.mark.parametrize("binary", [False, True])
def test_points_are_those_that_vtk_writes(tmp_path, binary):
    core, data, writers = (
        pytest.importorskip(f"vtkmodules.{name}") for name in ("vtkCommonCore", "vtkCommonDataModel", "vtkIOLegacy")
    )
    points = core.vtkPoints()
    places = np.random.default_rng(0).normal(0, 30, (40, 3))
    for place in places:
        points.InsertNextPoint(place)
    mesh = data.vtkPolyData()
    mesh.SetPoints(points)
    writer = writers.vtkPolyDataWriter()
    writer.SetFileName(str(tmp_path / "mesh.vtk"))
    writer.SetInputData(mesh)
    (writer.SetFileTypeToBinary if binary else writer.SetFileTypeToASCII)()
    assert writer.Write() == 1
    assert np.allclose(read_vtk_points(tmp_path / "mesh.vtk"), places, rtol=1e-5)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"solid mesh\n\n\n\n", "no legacy VTK"),
        (b"# vtk DataFile Version 3.0\nm\nASCII\nDATASET POLYDATA\n", "has no POINTS"),
        (b"# vtk DataFile Version 3.0\nm\nASCII\nDATASET POLYDATA\nPOINTS 2 int\n1 2 3 4 5 6\n", "type int"),
        (b"# vtk DataFile Version 3.0\nm\nASCII\nDATASET POLYDATA\nPOINTS 2 float\n1 2 3 4\n", "ends within its 2"),
        (b"# vtk DataFile Version 3.0\nm\nBINARY\nDATASET POLYDATA\nPOINTS 2 float\n1234", "ends within its 2"),
    ],
)
def test_meshes_that_are_none_are_refused(tmp_path, content, message):
    (tmp_path / "mesh.vtk").write_bytes(content)
    with pytest.raises(InputError, match=message):
        read_vtk_points(tmp_path / "mesh.vtk")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"frames": "image"}, "no array 'image'; it has bmode 96 x 96 x 6, truth.nodes 2 x 5 x 6"),
        ({"frames_axes": "tyx"}, "96 frames, but points on 6"),
        ({"frames_axes": "tyy"}, "frames_axes 'tyy'"),
        ({"points_axes": "tnc"}, "6 frames, but points on 2"),
        ({"coordinates": "xz"}, "2 coordinates, not 'xz'"),
        ({"coordinates": "xx"}, "coordinates 'xx'"),
        ({"unit": "inch"}, "unit 'inch'"),
        ({"sequences": "*.h5"}, "no file fits"),
        ({"speckle": 1}, "has no speckle"),
    ],
)
def test_a_layout_that_does_not_fit_is_refused(tmp_path, changes, message):
    write_matlab(tmp_path / "a4c.mat")
    write_layout(tmp_path, **MATLAB | changes)
    with pytest.raises(InputError, match=message):
        list(medicaid_cases(tmp_path))


def test_a_folder_without_a_layout_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"has no layout\.json"):
        list(medicaid_cases(tmp_path))


def test_newer_matlab_files_are_read_with_h5py(tmp_path, monkeypatch):
    h5py = pytest.importorskip("h5py")
    frames, points = drawn()
    with h5py.File(tmp_path / "a4c.mat", "w", userblock_size=512) as file:
        file["bmode"] = frames.transpose(0, 2, 1)
        file["truth/nodes"] = points + 1
    head = b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(124) + (0x0200).to_bytes(2, "little") + b"IM"
    content = (tmp_path / "a4c.mat").read_bytes()
    (tmp_path / "a4c.mat").write_bytes(head + content[len(head) :])
    write_layout(tmp_path, **MATLAB)
    (case,) = medicaid_cases(tmp_path)
    assert np.allclose(case.truth.positions_px, points)
    monkeypatch.setitem(__import__("sys").modules, "h5py", None)
    with pytest.raises(MissingPackageError, match="pip install h5py"):
        read_matlab(tmp_path / "a4c.mat")


def test_a_file_that_is_not_of_matlab_is_refused(tmp_path):
    (tmp_path / "a4c.mat").write_bytes(b"neither MATLAB nor HDF5")
    with pytest.raises(InputError, match="is no MATLAB file"):
        read_matlab(tmp_path / "a4c.mat")
