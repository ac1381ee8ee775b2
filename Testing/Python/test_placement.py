"""A clip in the space of a volume: against SimpleITK's transforms and resampling, and Slicer's own readers."""

import csv
import json

import numpy as np
import pytest
import SimpleITK as sitk

from UltrasoundMotionLib import ImageSequence, Volume, read_sequence, write_sequence, write_volume
from UltrasoundMotionLib.cli.main import main
from UltrasoundMotionLib.errors import InputError, OptionError, OutputError
from UltrasoundMotionLib.placement import (
    PlaceRequest,
    fit_landmarks,
    place_clip,
    read_linear_transform,
    write_linear_transform,
)
from UltrasoundMotionLib.placement.placement import Placement, check_rigid, clip_pixel_to_ras
from UltrasoundMotionLib.placement.tracked_frames import place_by_tracking
from UltrasoundMotionLib.placement.transform_sequence import write_transforms
from UltrasoundMotionLib.tracking import PointTracks, write_tracks_csv

MIRROR = np.diag([-1.0, -1, 1, 1])
FRAMES = 4


def turned(x=0.0, y=0.0, z=0.0, shift=(0, 0, 0)):
    """A rigid matrix by Euler angles in degrees, from SimpleITK."""
    euler = sitk.Euler3DTransform((0, 0, 0), *np.deg2rad([x, y, z]).tolist(), shift)
    matrix = np.eye(4)
    matrix[:3, :3] = np.reshape(euler.GetMatrix(), (3, 3))
    matrix[:3, 3] = shift
    return matrix


RIGID = turned(20, -35, 70, (12, -7, 30))


def some_clip(spacing=(0.4, 0.5), **changes):
    frames = np.random.default_rng(3).integers(0, 255, (FRAMES, 40, 50)).astype(np.uint8)
    direction = turned(0, 25, 0)[:3, :3]
    return ImageSequence(frames, spacing, np.arange(FRAMES) * 0.1, (10.0, -20.0, 30.0), direction, **changes)


def some_tracks():
    positions = np.random.default_rng(4).uniform(2, 38, (FRAMES, 3, 2))
    positions[1, 2] = np.nan
    seen = np.isfinite(positions).all(axis=2)
    return PointTracks(positions, seen.astype(float), seen, ("a", "b", "c"), 0)


def some_volume():
    """A smooth, oblique volume around the origin."""
    z, y, x = np.mgrid[0:40, 0:50, 0:60]
    array = (x + 2 * y + 3 * z).astype(np.float32)
    return Volume(array, (2.0, 2.0, 3.0), (-60.0, -50.0, -40.0), turned(5, 10, -8)[:3, :3], name="mri")


def write_matrix(path, matrix):
    path.write_text("\n".join(" ".join(repr(float(value)) for value in row) for row in matrix))
    return path


def itk_transform(to_reference_ras, kind=sitk.AffineTransform):
    """As ITK and Slicer store it: from the reference, in LPS."""
    inverse = MIRROR @ np.linalg.inv(to_reference_ras) @ MIRROR
    transform = kind(3) if kind is sitk.AffineTransform else kind()
    transform.SetMatrix(inverse[:3, :3].ravel().tolist())
    transform.SetTranslation(inverse[:3, 3].tolist())
    return transform


def test_itk_transforms_place_points_where_simpleitk_finds_them(tmp_path):
    sequence, pixels = some_clip(), np.array([[3.0, 4.0], [40.5, 12.25], [0, 39]])
    transform = itk_transform(RIGID)
    sitk.WriteTransform(transform, str(tmp_path / "t.tfm"))
    placement = place_clip(sequence, PlaceRequest(matrix=tmp_path / "t.tfm"))
    found = placement.points_ras(np.repeat(pixels[None], FRAMES, axis=0))
    plane = sitk.Image(50, 40, 1, sitk.sitkUInt8)
    plane.SetSpacing((0.4, 0.5, 1))
    plane.SetOrigin(sequence.origin_mm)
    plane.SetDirection(sequence.direction.ravel().tolist())
    for number, (x, y) in enumerate(pixels.tolist()):
        own = plane.TransformContinuousIndexToPhysicalPoint((x, y, 0.0))
        expected = transform.GetInverse().TransformPoint(own)
        np.testing.assert_allclose(found[2, number], np.array(expected) * (-1, -1, 1), atol=1e-9)


@pytest.mark.parametrize("ending", [".tfm", ".h5", ".txt", ".mat"])
def test_linear_files_of_itk_are_those_of_slicer(tmp_path, ending):
    path = tmp_path / f"t{ending}"
    if ending == ".mat":
        sitk.WriteTransform(itk_transform(RIGID), str(path))
    else:
        write_linear_transform(path, RIGID)
    np.testing.assert_allclose(read_linear_transform(path), RIGID, atol=1e-9)
    if ending == ".txt":
        return  # Slicer does not open it
    slicer = pytest.importorskip("slicer")
    import vtk

    node, storage, matrix = slicer.vtkMRMLTransformNode(), slicer.vtkMRMLTransformStorageNode(), vtk.vtkMatrix4x4()
    storage.SetFileName(str(path))
    assert storage.ReadData(node)
    node.GetMatrixTransformToParent(matrix)
    held = [[matrix.GetElement(row, column) for column in range(4)] for row in range(4)]
    np.testing.assert_allclose(held, RIGID, atol=1e-9)


def test_rotations_about_a_centre_and_chains_are_read_whole(tmp_path):
    euler = sitk.Euler3DTransform((3, 4, 5), 0.1, -0.2, 0.3, (6, 7, 8))
    chain = sitk.CompositeTransform([euler, sitk.TranslationTransform(3, (1, 2, 3))])
    sitk.WriteTransform(chain, str(tmp_path / "t.tfm"))
    matrix = read_linear_transform(tmp_path / "t.tfm")
    point = (11.0, -12.0, 13.0)
    back = MIRROR @ np.linalg.inv(matrix) @ MIRROR @ [*point, 1]
    np.testing.assert_allclose(back[:3], chain.TransformPoint(point), atol=1e-9)


def test_plain_numbers_are_ras_unless_lps(tmp_path):
    matrix = turned(10, 0, 0, (1, 2, 3))
    write_matrix(tmp_path / "m.txt", matrix)
    (tmp_path / "m.json").write_text(json.dumps({"matrix": matrix.tolist()}))
    np.save(tmp_path / "m.npy", matrix)
    from scipy.io import savemat

    savemat(tmp_path / "m.mat", {"T": matrix})
    for ending in (".txt", ".json", ".npy", ".mat"):
        np.testing.assert_allclose(read_linear_transform(tmp_path / f"m{ending}"), matrix)
        np.testing.assert_allclose(read_linear_transform(tmp_path / f"m{ending}", lps=True), MIRROR @ matrix @ MIRROR)
    write_matrix(tmp_path / "back.txt", np.linalg.inv(RIGID))
    one = place_clip(some_clip(), PlaceRequest(matrix=tmp_path / "back.txt", inverse=True))
    other = Placement(np.repeat((RIGID @ clip_pixel_to_ras(some_clip()))[None], FRAMES, axis=0), "matrix")
    np.testing.assert_allclose(one.pixel_to_ras, other.pixel_to_ras, atol=1e-9)


def scaled(matrix, *factors):
    return matrix @ np.diag([*factors, 1.0])


NOT_RIGID = [
    (scaled(RIGID, 1.2, 1.2, 1.2), "scales by 1.2 x 1.2 x 1.2"),
    (scaled(RIGID, 0.4, 0.5, 1.0), "that is the clip's pixel size, so it maps pixels"),
    (scaled(RIGID, 1.0, 1.0, -1.0), "mirrors"),
    (RIGID @ np.array([[1, 0.1, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]]), "degrees, so it is no rigid"),
    (turned(shift=(1, 2, 3)).T, "is it transposed"),
    (scaled(RIGID, 1, 1, 0.0), "no length"),
]


@pytest.mark.parametrize(("matrix", "reason"), NOT_RIGID)
def test_a_matrix_that_is_not_rigid_is_refused(tmp_path, matrix, reason):
    path = write_matrix(tmp_path / "m.txt", matrix)
    with pytest.raises(InputError, match=reason) as raised:
        place_clip(some_clip(), PlaceRequest(matrix=path))
    assert str(path) in str(raised.value)


def test_a_matrix_of_pixels_says_the_size_of_a_pixel(tmp_path):
    matrix = RIGID @ np.diag([0.4, 0.5, 1, 1])
    request = PlaceRequest(matrix=write_matrix(tmp_path / "m.txt", matrix), matrix_maps="pixels")
    placement = place_clip(some_clip(), request)
    np.testing.assert_allclose(placement.pixel_mm, (0.4, 0.5))
    assert len(placement.notes) == 1
    doubtful = place_clip(some_clip(spacing=(0.2, 0.25)), request)
    assert "a pixel 0.4 x 0.5 mm, the clip says 0.2 x 0.25 mm" in doubtful.notes[-1]
    unknown = place_clip(some_clip(spacing=None), request)
    assert "the clip does not say its size" in unknown.notes[-1]
    mirrored = place_clip(some_clip(), PlaceRequest(
        matrix=write_matrix(tmp_path / "l.txt", scaled(matrix, 1, 1, -1)), matrix_maps="pixels"
    ))  # fmt: skip
    assert "left-handed" in mirrored.notes[-1]
    np.testing.assert_allclose(mirrored.pixel_to_ras, placement.pixel_to_ras, atol=1e-12)
    with pytest.raises(InputError, match="its pixel size is unknown, so a matrix of mm"):
        place_clip(some_clip(spacing=None), PlaceRequest(matrix=write_matrix(tmp_path / "r.txt", RIGID)))


def test_a_transform_that_bends_is_refused(tmp_path):
    bspline = sitk.BSplineTransform(3, 3)
    bspline.SetTransformDomainMeshSize((2, 2, 2))
    sitk.WriteTransform(bspline, str(tmp_path / "b.tfm"))
    with pytest.raises(InputError, match="bends"):
        read_linear_transform(tmp_path / "b.tfm")
    (tmp_path / "m.txt").write_text("1 2 3")
    with pytest.raises(InputError, match="4 x 4 numbers, found 3"):
        read_linear_transform(tmp_path / "m.txt")


def test_landmarks_agree_with_simpleitk():
    rng = np.random.default_rng(1)
    source = rng.uniform(-40, 40, (6, 3)) * (1, 1, 0)  # in a plane, as those of a clip are
    target = source @ RIGID[:3, :3].T + RIGID[:3, 3] + rng.normal(0, 0.5, (6, 3))
    fit = fit_landmarks(source, target)
    initial = sitk.VersorRigid3DTransform()
    expected = sitk.LandmarkBasedTransformInitializer(initial, source.ravel().tolist(), target.ravel().tolist())
    for point in source:
        np.testing.assert_allclose(
            fit.matrix[:3, :3] @ point + fit.matrix[:3, 3], expected.TransformPoint(point.tolist()), atol=1e-6
        )
    assert 0.2 < fit.rms_mm < 1.0 and fit.scale == 1.0
    similar = fit_landmarks(source, 1.5 * target, scale=True)
    assert similar.scale == pytest.approx(1.5, rel=0.02)


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ([[0, 0, 0], [1, 0, 0]], "2 pairs of landmarks"),
        ([[0, 0, 0], [10, 0.1, 0], [20, 0, 0]], "landmarks of the clip lie on a line"),
        ([[5, 5, 5]] * 3, "lie on a line"),
        ([[0, 0, 0], [1, 0, np.nan], [0, 1, 0]], "no position"),
    ],
)
def test_landmarks_that_fix_no_place_are_refused(source, reason):
    target = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0]], float)[: len(source)]
    with pytest.raises(InputError, match=reason):
        fit_landmarks(np.array(source, float), target)


def test_a_clip_is_placed_by_landmarks_of_the_same_names(tmp_path):
    sequence, pixels = some_clip(), np.array([[5.0, 5], [45, 8], [25, 35], [10, 30]])
    world = (RIGID @ clip_pixel_to_ras(sequence) @ np.c_[pixels, np.zeros(4), np.ones(4)].T).T[:, :3]
    lines = [f"p{number},{x},{y}" for number, (x, y) in enumerate(pixels)]
    (tmp_path / "clip.csv").write_text("\n".join(["label,x,y", *lines]))
    world[3] += (0, 0, 12)
    points = [{"label": f"p{number}", "position": (one * (-1, -1, 1)).tolist()} for number, one in enumerate(world)]
    points.append({"label": "other", "position": [0, 0, 0]})
    document = {"markups": [{"type": "Fiducial", "coordinateSystem": "LPS", "controlPoints": points[::-1]}]}
    (tmp_path / "mri.mrk.json").write_text(json.dumps(document))
    request = PlaceRequest(clip_points=tmp_path / "clip.csv", volume_points=tmp_path / "mri.mrk.json")
    notes = " ".join(place_clip(sequence, request).notes)
    assert "4 landmarks fit to" in notes and "doubtful: p3 is" in notes and "one file only: other" in notes
    del points[3]
    document["markups"][0]["controlPoints"] = points
    (tmp_path / "mri.mrk.json").write_text(json.dumps(document))
    placement = place_clip(sequence, request)
    np.testing.assert_allclose(placement.pixel_to_ras[0], RIGID @ clip_pixel_to_ras(sequence), atol=1e-6)
    assert "three landmarks always fit well" in " ".join(placement.notes)
    with pytest.raises(InputError, match="pixel size is unknown; give --spacing-mm, or --scale"):
        place_clip(some_clip(spacing=None), request)


CALIBRATION = RIGID @ np.diag([0.4, 0.5, 0.45, 1])


def probe_to_tracker(frame):
    return turned(5 * frame, 3, -2, (frame, 2 * frame, 0))


REFERENCE_TO_TRACKER = turned(0, 40, 0, (100, 0, 0))


def tracked_clip(invalid=(2,)):
    """Frames with PLUS' fields, as its .igs.mha has them; the pixel size is unknown there."""

    def text(matrix):
        return " ".join(repr(float(value)) for value in matrix.ravel())

    fields = {
        "ProbeToTrackerTransform": tuple(text(probe_to_tracker(frame)) for frame in range(FRAMES)),
        "ProbeToTrackerTransformStatus": tuple("INVALID" if frame in invalid else "OK" for frame in range(FRAMES)),
        "ReferenceToTrackerTransform": (text(REFERENCE_TO_TRACKER),) * FRAMES,
        "ReferenceToTrackerTransformStatus": ("OK",) * FRAMES,
        "StylusToTrackerTransform": (text(np.eye(4)),) * FRAMES,
        "StylusToTrackerTransformStatus": ("INVALID",) * FRAMES,
    }
    return some_clip(spacing=None, frame_fields=fields)


def plus_configuration(path, matrix=CALIBRATION):
    text = "\n".join(" ".join(repr(float(value)) for value in row) for row in matrix)
    path.write_text(
        f'<PlusConfiguration version="2.9"><CoordinateDefinitions><Transform From="Image" To="Probe" Matrix="\n{text}" '
        'Error="0.5" Date="112317_141120" /></CoordinateDefinitions></PlusConfiguration>'
    )
    return path


def test_frames_are_placed_by_the_tracked_probe(tmp_path):
    placement = place_by_tracking(tracked_clip(), calibration=plus_configuration(tmp_path / "plus.xml"))
    assert placement.placed.tolist() == [True, True, False, True] and placement.moving
    assert "1 of 4 frames have no valid transform and no place (2)" in placement.notes
    for frame in (0, 1, 3):
        pixel = np.array([12.0, 34.0, 0, 1])
        expected = np.linalg.inv(REFERENCE_TO_TRACKER) @ probe_to_tracker(frame) @ CALIBRATION @ pixel
        found = placement.points_ras(np.broadcast_to([12.0, 34.0], (FRAMES, 1, 2)))[frame, 0]
        np.testing.assert_allclose(found, expected[:3], atol=1e-9)
    assert placement.notes[0] == (
        "placed in Reference by ImageToProbe then ProbeToTracker then ReferenceToTracker inverted"
    )
    in_tracker = place_by_tracking(
        tracked_clip(), calibration=write_matrix(tmp_path / "c.txt", CALIBRATION), reference="Tracker"
    )
    np.testing.assert_allclose(in_tracker.pixel_to_ras[1][:, :2], (probe_to_tracker(1) @ CALIBRATION)[:, :2], atol=1e-9)


def test_what_a_tracked_clip_lacks_is_said(tmp_path):
    calibration = plus_configuration(tmp_path / "plus.xml")
    with pytest.raises(InputError, match=r"no way from Image to Reference .* --calibration"):
        place_by_tracking(tracked_clip())
    with pytest.raises(InputError, match=r"no frame has a valid way .* ProbeToTracker is valid on 0"):
        place_by_tracking(tracked_clip(invalid=range(FRAMES)), calibration=calibration)
    with pytest.raises(InputError, match="its frames have no transforms"):
        place_by_tracking(some_clip(), calibration=calibration)
    shear = CALIBRATION @ np.array([[1, 0.2, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]])
    with pytest.raises(InputError, match="rows and columns of the image stand at"):
        place_by_tracking(tracked_clip(), calibration=plus_configuration(tmp_path / "bad.xml", shear))
    (tmp_path / "empty.xml").write_text("<PlusConfiguration/>")
    with pytest.raises(InputError, match="no Transform in CoordinateDefinitions"):
        place_by_tracking(tracked_clip(), calibration=tmp_path / "empty.xml")
    fields = dict(tracked_clip().frame_fields)
    fields["ProbeToTrackerTransform"] = ("2 0 0 0 0 2 0 0 0 0 2 0 0 0 0 1",) * FRAMES
    with pytest.raises(InputError, match=r"frame 0: ProbeToTracker: scales by 2"):
        place_by_tracking(some_clip(spacing=None, frame_fields=fields), calibration=calibration)
    still = {name: (values[0],) * FRAMES for name, values in tracked_clip().frame_fields.items()}
    doubt = place_by_tracking(some_clip(spacing=None, frame_fields=still), calibration=calibration).notes
    assert "none of these transforms changes" in " ".join(doubt)


def test_a_cropped_image_counts_from_its_own_corner(tmp_path):
    fields = dict(tracked_clip(invalid=()).frame_fields)
    fields["ImageToCroppedImageTransform"] = ("1 0 0 -335 0 1 0 -285 0 0 1 0 0 0 0 1",) * FRAMES
    calibration = plus_configuration(tmp_path / "plus.xml")
    cropped = place_by_tracking(some_clip(spacing=None, frame_fields=fields), calibration=calibration)
    whole = place_by_tracking(tracked_clip(invalid=()), calibration=calibration)
    pixels = np.broadcast_to([[10.0, 20.0]], (FRAMES, 1, 2))
    np.testing.assert_allclose(cropped.points_ras(pixels), whole.points_ras(np.add(pixels, (335, 285))), atol=1e-9)


def test_slicer_reads_the_sequence_of_transforms(tmp_path):
    slicer = pytest.importorskip("slicer")
    import vtk

    sequence = tracked_clip()
    placement = place_by_tracking(sequence, calibration=plus_configuration(tmp_path / "plus.xml"))
    write_transforms(tmp_path / "t.seq.mha", sequence, placement)
    node, storage = slicer.vtkMRMLSequenceNode(), slicer.vtkMRMLLinearTransformSequenceStorageNode()
    scene = slicer.vtkMRMLScene()
    scene.AddNode(node)
    storage.SetFileName(str(tmp_path / "t.seq.mha"))
    assert storage.ReadData(node)
    clip = node
    assert clip.GetAttribute("Sequences.Source") == "ClipToVolume"
    assert clip.GetNumberOfDataNodes() == 3  # frame 2 has none
    expected = placement.clip_to_volume(sequence)
    for item, frame in enumerate((0, 1, 3)):
        matrix = vtk.vtkMatrix4x4()
        clip.GetNthDataNode(item).GetMatrixTransformToParent(matrix)
        held = [[matrix.GetElement(row, column) for column in range(4)] for row in range(4)]
        np.testing.assert_allclose(held, expected[frame], atol=1e-6)
    with pytest.raises(InputError, match="each frame has its own place"):
        write_transforms(tmp_path / "t.tfm", sequence, placement)
    with pytest.raises(OutputError, match="transforms are written as"):
        write_transforms(tmp_path / "t.csv", sequence, placement)


def test_the_cut_through_the_volume_is_that_of_simpleitk():
    from UltrasoundMotionLib.pictures.placement_picture import cut_at_frame

    volume, matrix = some_volume(), turned(30, 20, 10, (5, -3, 2)) @ np.diag([0.8, 0.6, 1, 1])
    cut = cut_at_frame(volume, matrix, np.arange(50.0), np.arange(40.0))
    lps = MIRROR @ matrix
    plane = sitk.Image(50, 40, 1, sitk.sitkFloat32)
    spacing = np.linalg.norm(lps[:3, :3], axis=0)
    plane.SetSpacing(spacing.tolist())
    plane.SetDirection((lps[:3, :3] / spacing).ravel().tolist())
    plane.SetOrigin(lps[:3, 3].tolist())
    expected = sitk.GetArrayFromImage(sitk.Resample(volume.to_sitk(), plane, defaultPixelValue=np.nan))[0]
    assert np.isfinite(cut).mean() > 0.5
    both = np.isfinite(cut) & np.isfinite(expected)
    np.testing.assert_allclose(cut[both], expected[both], atol=1e-2)


def test_a_clip_beside_the_volume_is_doubted(tmp_path):
    near = write_matrix(tmp_path / "near.txt", turned(shift=(15, -15, -20)))
    far = write_matrix(tmp_path / "far.txt", turned(shift=(5000, 0, 0)))
    assert len(place_clip(some_clip(), PlaceRequest(matrix=near), some_volume()).notes) == 1
    doubt = place_clip(some_clip(), PlaceRequest(matrix=far), some_volume()).notes[-1]
    assert "no part of the placed clip lies inside mri" in doubt


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({}, "give a matrix"),
        ({"clip_points": "a.csv"}, "needed on both"),
        ({"clip_points": "a.csv", "volume_points": "b.csv", "matrix": "m.txt"}, "not both"),
        ({"matrix": "m.txt", "scale": True}, "belongs to landmarks"),
        ({"matrix": "m.txt", "calibration": "c.xml", "matrix_maps": "pixels"}, "without tracking"),
    ],
)
def test_options_that_exclude_each_other(options, reason):
    with pytest.raises(OptionError, match=reason):
        PlaceRequest(**options)


def test_place_on_the_command_line(tmp_path, capsys):
    pytest.importorskip("matplotlib")
    write_sequence(tmp_path / "clip.mha", tracked_clip())
    write_volume(tmp_path / "mri.nii.gz", some_volume())
    write_tracks_csv(tmp_path / "tracks.csv", some_tracks())
    plus_configuration(tmp_path / "plus.xml")
    write_matrix(tmp_path / "m.txt", turned(shift=(40, 20, 10)))
    words = ["place", "clip.mha", "--volume", "mri.nii.gz", "--tracks", "tracks.csv", "--calibration", "plus.xml",
             "--matrix", "m.txt", "--out", "points.csv", "--transforms", "t.seq.mha", "--picture", "p.png",
             "--markups", "m.mrk.json", "--frame", "1"]  # fmt: skip
    words = [str(tmp_path / word) if "." in word else word for word in words]
    assert main(words) == 0
    out = capsys.readouterr().out
    assert "Placed 3 of 4 frames by tracking, each at its own place; a pixel is 0.4 x 0.5 mm." in out
    assert "3 positions are left out: their frames have no place" in out
    rows = list(csv.DictReader((tmp_path / "points.csv").open()))
    assert {row["frame"] for row in rows} == {"0", "1", "3"} and len(rows) == 8
    to_volume = turned(shift=(40, 20, 10)) @ np.linalg.inv(REFERENCE_TO_TRACKER) @ probe_to_tracker(0) @ CALIBRATION
    expected = to_volume @ [*some_tracks().positions_px[0, 0], 0, 1]
    np.testing.assert_allclose([float(rows[0][axis]) for axis in "ras"], expected[:3], atol=1e-3)
    markups = json.loads((tmp_path / "m.mrk.json").read_text())["markups"][0]
    expected = next(row for row in rows if row["frame"] == "1")
    assert markups["controlPoints"][0]["position"][0] == pytest.approx(-float(expected["r"]), abs=1e-3)
    assert (tmp_path / "p.png").stat().st_size > 10_000
    assert main([*words[:-1], "2"]) == 2 and "frame 2 has no place" in capsys.readouterr().err
    assert main(["place", str(tmp_path / "clip.mha"), "--matrix", str(tmp_path / "m.txt")]) == 2
    assert "nothing to write" in capsys.readouterr().err
    assert main([*words[:2], "--matrix", words[9], "--transforms", words[9]]) == 2


def test_a_scene_shows_clip_points_and_volume_in_one_space(tmp_path):
    slicer = pytest.importorskip("slicer")
    from UltrasoundMotionLib.mrml.headless_scene import HeadlessScene
    from UltrasoundMotionLib.mrml.placement_scene import write_placement_scene
    from UltrasoundMotionLib.mrml.scene_files import read_scene

    sequence, tracks = tracked_clip(), some_tracks()
    placement = place_by_tracking(sequence, calibration=plus_configuration(tmp_path / "plus.xml"))
    notes = write_placement_scene(tmp_path / "s.mrb", sequence, placement, volume=some_volume(), tracks=tracks)
    assert notes == ("the scene leaves out 1 frames without a place",)
    with HeadlessScene() as scene:
        read_scene(scene, tmp_path / "s.mrb")
        browser = scene.GetFirstNodeByClass("vtkMRMLSequenceBrowserNode")
        points = scene.GetFirstNodeByClass("vtkMRMLMarkupsFiducialNode")
        for item, frame in enumerate((0, 1, 3)):
            browser.SetSelectedItemNumber(item)
            position = [0.0, 0.0, 0.0]
            points.GetNthControlPointPositionWorld(0, position)
            np.testing.assert_allclose(position, placement.points_ras(tracks.positions_px)[frame, 0], atol=1e-4)
        assert scene.GetNumberOfNodesByClass("vtkMRMLScalarVolumeNode") == 2
        assert slicer is not None


def test_real_tracked_ultrasound_is_rigid_and_continuous(tmp_path, shared_data):
    """PLUS' own recording of a spine phantom: 21 frames of a probe that was moved by hand."""
    sequence = read_sequence(shared_data("plus-tracked-ultrasound/SpinePhantomFreehand.igs.mha"))
    calibration = plus_configuration(tmp_path / "plus.xml", np.diag([0.1, 0.1, 0.1, 1.0]))
    placement = place_by_tracking(sequence, calibration=calibration)
    centres = placement.points_ras(np.broadcast_to([410.0, 308.0], (len(sequence), 1, 2)))[:, 0]
    assert placement.placed.all() and placement.moving
    assert np.linalg.norm(np.diff(centres, axis=0), axis=1).max() < 15
    check_rigid(placement.clip_to_volume(sequence)[0] @ np.diag([10.0, 10, 1, 1]), "calibrated")


def test_a_crop_of_real_tracked_ultrasound_is_followed(shared_data, tmp_path):
    sequence = read_sequence(shared_data("plus-tracked-ultrasound/NwirePhantomFreehandCropped.igs.mha"))
    placement = place_by_tracking(sequence, calibration=plus_configuration(tmp_path / "plus.xml"))
    assert placement.notes[0].startswith("placed in Reference by ImageToCroppedImage inverted then ImageToProbe then")


def test_a_transform_that_slicer_wrote_is_read_as_slicer_reads_it(shared_data, tmp_path):
    """`ProbeToReference.tfm` in a scene that Slicer saved, beside the transforms that it was made of."""
    import zipfile

    with zipfile.ZipFile(shared_data("plus-tracked-ultrasound/SimulatedUltrasound_Scene.mrb")) as bundle:
        for name in ("ProbeToTracker", "ReferenceToTracker", "ProbeToReference"):
            inner = next(one for one in bundle.namelist() if one.endswith(f"/{name}.tfm"))
            (tmp_path / f"{name}.tfm").write_bytes(bundle.read(inner))
    probe, reference, both = (
        read_linear_transform(tmp_path / f"{name}.tfm")
        for name in ("ProbeToTracker", "ReferenceToTracker", "ProbeToReference")
    )
    np.testing.assert_allclose(np.linalg.inv(reference) @ probe, both, atol=1e-4)
    np.testing.assert_allclose(both[:3, 3], (93.9813, -55.4995, -5.9824), atol=1e-3)  # as Slicer's node shows it
