"""Rigid and affine motion through sequences: against known motion, in the child process, and as Slicer's nodes."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter, map_coordinates
from scipy.spatial.transform import Rotation

from UltrasoundMotionLib.errors import InputError, OptionError
from UltrasoundMotionLib.images import ImageSequence
from UltrasoundMotionLib.images.volume import Volume
from UltrasoundMotionLib.jobs import run_job
from UltrasoundMotionLib.jobs.capabilities.register_sequence import sequence_registration_job
from UltrasoundMotionLib.registration.request import SequenceRequest
from UltrasoundMotionLib.registration.sequences.register_sequence import register_sequence

PLANE = Rotation.from_euler("xyz", (20, -35, 50), degrees=True).as_matrix()
SIZE = 72


def turned(frame, size=SIZE):
    """Where the points (x, y) of frame 0 are in a frame: turned by 2 degrees a frame about the centre, and shifted."""
    angle = np.radians(2.0 * frame)
    matrix = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return matrix, np.array([1.3, -0.8]) * frame + (np.eye(2) - matrix) @ np.full(2, (size - 1) / 2)


def turning_clip(frame_count=5, size=SIZE, gain=0.06):
    """Smooth noise that turns as `turned` says, and brightens."""
    noise = gaussian_filter(np.random.default_rng(4).standard_normal((size + 60, size + 60)), 1.8)
    noise = np.clip(110 + 35 * noise / noise.std(), 0, 255)
    y, x = np.indices((size, size))
    frames = []
    for frame in range(frame_count):
        matrix, offset = turned(frame, size)
        source = np.tensordot(matrix.T, np.stack([x, y]) - offset[:, None, None], axes=1)
        frames.append(map_coordinates(noise, source[::-1] + 30, order=3) * (1 + gain * frame))
    pixels = np.clip(np.rint(np.stack(frames)), 0, 255).astype(np.uint8)
    return ImageSequence(pixels, (0.4, 0.4), np.arange(frame_count) * 0.02, (5.0, -3.0, 11.0), PLANE)


POINTS = np.stack(np.meshgrid([20.0, 36.0, 52.0], [20.0, 36.0, 52.0]), axis=-1).reshape(-1, 2)


@pytest.mark.parametrize("reference", [0, 2])
def test_a_turning_clip_gives_its_matrices(reference):
    sequence = turning_clip()
    result = register_sequence(sequence, method="rigid", reference_frame=reference, threads=1)
    found = result.trajectories(POINTS)
    matrix, offset = turned(reference)
    at_start = (POINTS - offset) @ matrix  # the inverse of a rotation is its transpose
    for frame in range(5):
        forward, shift = turned(frame)
        expected = at_start @ forward.T + shift
        assert np.abs(found[frame] - expected).max() < 0.1, frame
    assert result.matrices.shape == (5, 4, 4)
    for one in result.matrices:
        np.testing.assert_allclose(one[:3, :3] @ one[:3, :3].T, np.eye(3), atol=1e-9)
    normal = PLANE[:, 2]
    np.testing.assert_allclose(result.matrices[4][:3, :3] @ normal, normal, atol=1e-9)  # it stays in the plane
    assert result.frames[4].measures.nlcc > 0.9 > result.frames[4].measures.nlcc_before


def test_matrix_field_and_displacement_agree():
    sequence = turning_clip(3)
    last = register_sequence(sequence, method="rigid", threads=1).frames[2]
    dense = last.displacement
    assert (dense.shape, dense.dtype) == ((SIZE, SIZE, 2), np.float32)
    np.testing.assert_allclose(last.at([[30.0, 41.0]])[0], dense[41, 30], atol=1e-4)
    field = last.field()
    np.testing.assert_allclose(field.displacement_mm[0, 41, 30], PLANE[:, :2] @ dense[41, 30] * 0.4, atol=1e-4)
    point = field.grid.points_lps_mm()[0, 41, 30]
    np.testing.assert_allclose(last.field(coarse=True).displacement_at(point), field.displacement_at(point), atol=1e-4)
    assert last.field(coarse=True).displacement_mm.shape == (1, 2, 2, 3)


def test_an_affine_clip_needs_affine():
    stretched = turning_clip(2)
    y, x = np.indices((SIZE, SIZE))
    wide = map_coordinates(stretched.frames[0].astype(float), [y, 35.5 + (x - 35.5) / 1.08], order=3, mode="nearest")
    pixels = np.stack([stretched.frames[0], np.clip(np.rint(wide), 0, 255).astype(np.uint8)])
    sequence = ImageSequence(pixels, (0.4, 0.4))
    rigid, affine = (register_sequence(sequence, method=name, threads=1) for name in ("rigid", "affine"))
    expected = np.column_stack([35.5 + (POINTS[:, 0] - 35.5) * 1.08, POINTS[:, 1]])
    assert np.abs(affine.trajectories(POINTS)[1] - expected).max() < 0.15
    assert np.abs(rigid.trajectories(POINTS)[1] - expected).max() > 0.8


def test_turning_volumes_on_an_oblique_grid():
    shape = (24, 28, 26)
    noise = gaussian_filter(np.random.default_rng(6).standard_normal([size + 16 for size in shape]), 1.8)
    noise = (100 + 40 * noise / noise.std()).astype(np.float32)
    turn = Rotation.from_euler("xyz", (3, -4, 5), degrees=True).as_matrix()
    index = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij")[::-1], axis=-1).astype(float)
    spacing, centre = np.array([1.0, 1.2, 1.5]), (np.array(shape[::-1]) - 1) / 2
    shift = np.array([0.8, -1.1, 0.9])  # mm, in the grid's own axes
    local = (index - centre) * spacing
    source = (local - shift) @ turn / spacing + centre + 8
    frames = [noise[8:-8, 8:-8, 8:-8], map_coordinates(noise, np.moveaxis(source, -1, 0)[::-1], order=3)]
    volumes = [Volume(one, tuple(spacing), (4.0, 5.0, -6.0), PLANE) for one in frames]
    result = register_sequence(volumes, method="rigid", threads=1)
    points = np.array([[10.0, 12.0, 9.0], [16.0, 14.0, 13.0]])
    expected = ((points - centre) * spacing @ turn.T + shift) / spacing + centre
    assert np.abs(result.trajectories(points)[1] - expected).max() < 0.15


def test_the_child_process_gives_the_same(kept_process):
    sequence = turning_clip(3)
    wanted = register_sequence(sequence, method="rigid", deterministic=True)
    job = sequence_registration_job(sequence, request=SequenceRequest(method="rigid", deterministic=True))
    found = run_job(job, kept_process)
    np.testing.assert_allclose(found.matrices, wanted.matrices, atol=1e-6)
    assert found.frames[1].dimension == 2


def test_slicer_carries_points_by_the_matrices(scene):
    from UltrasoundMotionLib.mrml.displacement_transforms import transform_points
    from UltrasoundMotionLib.mrml.image_nodes import add_image_sequence
    from UltrasoundMotionLib.mrml.registration_sequence_nodes import add_sequence_registration

    sequence = turning_clip(3)
    result = register_sequence(sequence, method="rigid", threads=1)
    nodes = add_sequence_registration(add_image_sequence(scene, sequence), result, "motion")
    assert nodes.proxy.IsLinear()
    points = np.array([[5.0, -3.0, 11.0], [9.0, 4.0, 6.0]])
    for frame in range(3):
        nodes.browser.SetSelectedItemNumber(frame)
        matrix = result.matrices[frame]
        np.testing.assert_allclose(
            transform_points(nodes.proxy, points), points @ matrix[:3, :3].T + matrix[:3, 3], atol=1e-6
        )


@pytest.mark.parametrize(("step", "kind"), [(0.02, "vtkMRMLLinearTransformNode"), (0.0004, "vtkMRMLTransformNode")])
def test_a_saved_scene_keeps_every_frame(step, kind, scene, tmp_path):
    """Slicer rounds the times of its sequences of linear transform nodes to 1 ms when it saves them."""
    from dataclasses import replace

    from UltrasoundMotionLib.mrml.image_nodes import add_image_sequence
    from UltrasoundMotionLib.mrml.registration_sequence_nodes import add_sequence_registration

    sequence = replace(turning_clip(4), times_s=np.arange(4) * step)
    result = register_sequence(sequence, method="rigid", threads=1)
    nodes = add_sequence_registration(add_image_sequence(scene, sequence), result, "motion")
    assert nodes.sequence.GetNthDataNode(0).GetClassName() == kind
    values = [nodes.sequence.GetNthIndexValue(frame) for frame in range(4)]
    path = tmp_path / "s.mrb"
    assert scene.WriteToMRB(str(path))
    scene.Clear(True)
    assert scene.ReadFromMRB(str(path))
    (again,) = [
        node
        for node in map(scene.GetNthNodeByClass, range(9), ["vtkMRMLSequenceNode"] * 9)
        if node is not None and node.GetNthDataNode(0).IsA("vtkMRMLTransformNode")
    ]
    assert again.GetNumberOfDataNodes() == 4
    np.testing.assert_allclose([float(again.GetNthIndexValue(frame)) for frame in range(4)], [float(v) for v in values])


def test_matrices_are_to_the_reference():
    with pytest.raises(OptionError, match="expected to-reference with the method rigid"):
        SequenceRequest(method="rigid", mode="frame-to-frame")
    flat = turning_clip(2)
    frames = np.stack([flat.frames[0], np.full_like(flat.frames[0], 7)])
    with pytest.raises(InputError, match=r"frame 1 is 0\.027451 everywhere"):
        register_sequence(ImageSequence(frames, (0.4, 0.4)), method="rigid")
