"""Sequences of motions: Slicer's own storage nodes read and write the same, and SimpleITK computes the same."""

import numpy as np
import pytest
import SimpleITK as sitk

from command_line import assert_refused
from motion_pairs import FIXED, MIRRORED, affine_about_centre, around, smooth_field
from UltrasoundMotionLib.errors import InputError, OutputError
from UltrasoundMotionLib.exchange.motions import Motion, MotionContext
from UltrasoundMotionLib.exchange.motions.sequences.motion_sequence import FrameIndex, MotionSequence
from UltrasoundMotionLib.exchange.motions.sequences.operations import compose_motions, inverse_motions, mean_motion
from UltrasoundMotionLib.exchange.motions.sequences.sequence_files import read_motion_sequence, write_motion_sequence
from UltrasoundMotionLib.fields import DisplacementField

TIMES = (0.0, 0.0405, 0.081)
SHARES = (0.0, 0.5, 1.0)
PROBES = FIXED.points_lps_mm()[3:-3:3, 4:-4:4, 5:-5:5].reshape(-1, 3)


def fields(grid=FIXED, **given):
    index = FrameIndex.of_times(3, TIMES)
    whole = smooth_field(grid).displacement_mm.astype(np.float32)
    return MotionSequence(
        index, lambda frame: Motion.of_field(DisplacementField(whole * np.float32(SHARES[frame]), grid)), **given
    )


def matrices(**given):
    step = affine_about_centre()
    found = [np.eye(4), step, step @ step]
    return MotionSequence(FrameIndex.of_times(3, TIMES), lambda frame: Motion.of_matrix(found[frame]), **given)


def read_by_slicer(scene, path, kind):
    """The items of a sequence that Slicer's own storage node reads."""
    import slicer

    node = scene.AddNewNodeByClass("vtkMRMLSequenceNode")
    storage = getattr(slicer, kind)()
    scene.AddNode(storage)
    assert storage.SupportedFileType(str(path))
    storage.SetFileName(str(path))
    assert storage.ReadData(node)
    return node


def carried(item, points_lps):
    """Where a transform node carries points to, by Slicer."""
    from UltrasoundMotionLib.mrml.displacement_transforms import transform_points

    return transform_points(item, points_lps)


@pytest.mark.parametrize("grid", [FIXED, MIRRORED], ids=["right-handed", "left-handed"])
@pytest.mark.parametrize("carries_points", [True, False])
def test_slicer_reads_the_fields(carries_points, grid, scene, tmp_path):
    path = tmp_path / "u.seq.nrrd"
    write_motion_sequence(path, fields(grid, carries_points=carries_points))
    node = read_by_slicer(scene, path, "vtkMRMLTransformSequenceStorageNode")
    assert [node.GetNthIndexValue(frame) for frame in range(3)] == ["0.0", "0.0405", "0.081"]
    assert (node.GetIndexName(), node.GetIndexUnit()) == ("time", "s")
    for frame in range(3):
        item, motion = node.GetNthDataNode(frame), fields(grid)[frame]
        target = motion.points(PROBES)
        if carries_points:  # the points of the reference go to the frame
            found, expected = carried(item, PROBES), target
        else:  # those of the frame come to the reference
            found, expected = carried(item, target), PROBES
        assert np.abs(found - expected).max() < 0.02  # Slicer's interpolation between grid points is cubic
    again = read_motion_sequence(path)
    assert (len(again), again.index, again.carries_points) == (3, fields().index, carries_points)
    np.testing.assert_allclose(
        again[2].field().displacement_mm, smooth_field(grid).displacement_mm.astype(np.float32), atol=1e-6
    )


def test_what_slicer_writes_is_read(scene, tmp_path):
    """A sequence of ours saved again by Slicer: the same fields; its direction is asked for where it carries points."""
    import slicer

    write_motion_sequence(tmp_path / "u.seq.nrrd", fields())
    node = read_by_slicer(scene, tmp_path / "u.seq.nrrd", "vtkMRMLTransformSequenceStorageNode")
    storage = slicer.vtkMRMLTransformSequenceStorageNode()
    scene.AddNode(storage)
    storage.SetFileName(str(tmp_path / "again.seq.nrrd"))
    assert storage.WriteData(node)
    with pytest.raises(InputError, match="--no-invert if it stood over points of the fixed image"):
        read_motion_sequence(tmp_path / "again.seq.nrrd")
    found = read_motion_sequence(tmp_path / "again.seq.nrrd", context=MotionContext(invert=False))
    np.testing.assert_allclose(found[1].points(PROBES), fields()[1].points(PROBES), atol=1e-5)


@pytest.mark.parametrize("carries_points", [True, False])
def test_slicer_reads_the_matrices(carries_points, scene, tmp_path):
    path = tmp_path / "m.seq.mha"
    assert write_motion_sequence(path, matrices(carries_points=carries_points)) == ()
    assert path.stat().st_size < 2000
    node = read_by_slicer(scene, path, "vtkMRMLLinearTransformSequenceStorageNode")
    assert node.GetNumberOfDataNodes() == 3
    for frame in range(3):
        target = matrices()[frame].points(PROBES)
        found = carried(node.GetNthDataNode(frame), PROBES if carries_points else target)
        np.testing.assert_allclose(found, target if carries_points else PROBES, atol=1e-6)
    again = read_motion_sequence(path)
    np.testing.assert_allclose(again[2].matrix, matrices()[2].matrix, atol=1e-9)


def test_matrices_closer_than_a_millisecond_are_numbered(scene, tmp_path):
    """Slicer rounds the times of such a file to 1 ms, and frames with equal times become one."""
    step = affine_about_centre()
    fast = MotionSequence(FrameIndex.of_times(3, (0.0, 0.0004, 0.0008)), lambda frame: Motion.of_matrix(step))
    notes = write_motion_sequence(tmp_path / "m.seq.mha", fast)
    assert "numbered instead of timed" in notes[0]
    node = read_by_slicer(scene, tmp_path / "m.seq.mha", "vtkMRMLLinearTransformSequenceStorageNode")
    assert node.GetNumberOfDataNodes() == 3


@pytest.mark.parametrize(("kind", "ending"), [("fields", ".nrrd"), ("fields", ".h5"), ("matrices", ".tfm")])
def test_a_folder_has_a_file_for_each_frame(kind, ending, tmp_path):
    sequence = fields() if kind == "fields" else matrices()
    write_motion_sequence(tmp_path / "out", sequence, ending=ending)
    assert sorted(one.name for one in (tmp_path / "out").iterdir()) == [f"frame_000{n}{ending}" for n in range(3)]
    again = read_motion_sequence(tmp_path / "out")
    for frame in range(3):
        np.testing.assert_allclose(again[frame].points(PROBES), sequence[frame].points(PROBES), atol=1e-4)
    with pytest.raises(OutputError, match="exists already"):
        write_motion_sequence(tmp_path / "out", sequence)
    (tmp_path / "out" / f"frame_0001{ending}").unlink()
    with pytest.raises(InputError, match="see number 2; a frame is missing"):
        read_motion_sequence(tmp_path / "out")


def test_convert_takes_sequences(run, tmp_path):
    write_motion_sequence(tmp_path / "u.seq.nrrd", fields())
    assert run("convert", tmp_path / "u.seq.nrrd", tmp_path / "all", "--quiet") == (0, "", "")
    found = read_motion_sequence(tmp_path / "all")
    np.testing.assert_allclose(found[2].points(PROBES), fields()[2].points(PROBES), atol=1e-5)
    assert run("convert", tmp_path / "all", tmp_path / "back.seq.nrrd", "--invert", "--quiet")[0] == 0
    back = read_motion_sequence(tmp_path / "back.seq.nrrd")
    np.testing.assert_allclose(back[2].points(fields()[2].points(PROBES)), PROBES, atol=0.05)
    write_motion_sequence(tmp_path / "m.seq.mha", matrices())
    assert run("convert", tmp_path / "m.seq.mha", tmp_path / "frames", "--quiet")[0] == 0
    assert len(list((tmp_path / "frames").glob("*.tfm"))) == 3
    assert_refused(run("convert", tmp_path / "all", tmp_path / "x.seq.mha"), "is no 3D matrix")


def test_nothing_is_left_of_a_cancelled_file(tmp_path):
    def cancel(done, total, message):
        raise KeyboardInterrupt

    for name in ("u.seq.nrrd", "folder"):
        with pytest.raises(KeyboardInterrupt):
            write_motion_sequence(tmp_path / name, fields(), progress=cancel)
    assert list(tmp_path.iterdir()) == []


def test_matrices_are_not_blown_up_to_fields_unasked(tmp_path):
    with pytest.raises(InputError, match=r"write \.seq\.mha, which is small"):
        write_motion_sequence(tmp_path / "u.seq.nrrd", matrices())
    coarse = around(FIXED, (5, 6, 7), (6.0, 6.0, 7.0), FIXED.direction)
    write_motion_sequence(tmp_path / "u.seq.nrrd", matrices(), context=MotionContext(fixed=coarse))
    found = read_motion_sequence(tmp_path / "u.seq.nrrd")
    inside = coarse.points_lps_mm()[2, 3, 3]
    np.testing.assert_allclose(found[2].points(inside), matrices()[2].points(inside), atol=1e-4)
    with pytest.raises(InputError, match="is no 3D matrix"):
        write_motion_sequence(tmp_path / "m.seq.mha", fields())


def test_mean_inverse_and_composition_agree_with_simpleitk():
    theirs = np.mean(
        [
            sitk.GetArrayFromImage(
                sitk.TransformToDisplacementField(
                    motion.transform, sitk.sitkVectorFloat64, FIXED.shape[::-1], FIXED.origin_mm, FIXED.spacing_mm,
                    FIXED.direction.ravel().tolist(),
                )
            )
            for motion in fields()
        ],
        axis=0,
    )  # fmt: skip
    np.testing.assert_allclose(mean_motion(fields()).field().displacement_mm, theirs, atol=1e-6)

    both = compose_motions(fields(), matrices())
    for frame in range(3):
        chain = sitk.CompositeTransform([matrices()[frame].transform, fields()[frame].transform])
        expected = [chain.TransformPoint(point) for point in PROBES.tolist()]
        np.testing.assert_allclose(both[frame].points(PROBES), expected, atol=1e-9)

    back = inverse_motions(fields())
    image = sitk.Cast(fields()[2].field().to_sitk(), sitk.sitkVectorFloat64)
    inverted = DisplacementField.from_sitk(
        sitk.IterativeInverseDisplacementField(image, numberOfIterations=50, stopValue=1e-4)
    )
    middle = (slice(5, -5), slice(6, -6), slice(7, -7))
    np.testing.assert_allclose(back[2].field().displacement_mm[middle], inverted.displacement_mm[middle], atol=0.05)
    there = compose_motions(fields(), back)
    assert np.abs(there[2].points(PROBES) - PROBES).max() < 0.02
    one = compose_motions(Motion.of_matrix(np.eye(4)), fields())
    np.testing.assert_allclose(one[1].points(PROBES), fields()[1].points(PROBES))


def test_the_mean_of_matrices_is_that_of_their_logarithms():
    """Of the identity, a motion and that motion twice: the motion itself; also where SimpleITK turns by half."""
    np.testing.assert_allclose(mean_motion(matrices()).matrix, affine_about_centre(), atol=1e-9)
    turn = sitk.Euler3DTransform((0, 0, 0), 0, 0, 0.8)
    half = sitk.Euler3DTransform((0, 0, 0), 0, 0, 0.4)
    pair = [Motion(sitk.Euler3DTransform()), Motion(turn)]
    sequence = MotionSequence(FrameIndex(("0", "1")), lambda frame: pair[frame])
    np.testing.assert_allclose(mean_motion(sequence).points(PROBES), Motion(half).points(PROBES), atol=1e-9)


def test_sequences_that_do_not_fit_are_refused():
    short = MotionSequence(FrameIndex(("0",)), lambda frame: Motion.of_matrix(np.eye(4)))
    with pytest.raises(InputError, match="sequences of 3, 1 frames cannot be composed"):
        compose_motions(fields(), short)
    with pytest.raises(InputError, match="expected at least one sequence"):
        compose_motions(Motion.of_matrix(np.eye(4)))
    mirror = MotionSequence(FrameIndex(("0",)), lambda frame: Motion.of_matrix(np.diag([-1.0, 1, 1, 1])))
    with pytest.raises(InputError, match="turns by half a circle or mirrors"):
        mean_motion(mirror)
