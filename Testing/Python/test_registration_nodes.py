"""What registration reads from nodes, and how its displacement goes back to them, on real MRML nodes."""

from dataclasses import replace

import numpy as np
import pytest
import slicer
import vtk

from mrml_clips import OBLIQUE
from registration_pairs import ORIGIN_MM, SPACING_MM, linear_transform, pair_in
from UltrasoundMotionLib.fields import DisplacementField, ImageGrid, jacobian_determinant
from UltrasoundMotionLib.images.volume import Volume
from UltrasoundMotionLib.mrml.displacement_transforms import add_displacement_transform, transform_points
from UltrasoundMotionLib.mrml.image_geometry import LPS_TO_RAS
from UltrasoundMotionLib.mrml.jacobian_nodes import jacobian_map
from UltrasoundMotionLib.mrml.labels_from_nodes import labels_on_grid, match_numbers
from UltrasoundMotionLib.mrml.registration_pair import VolumePair, parent_before_registration, put_under
from UltrasoundMotionLib.mrml.volume_nodes import add_label_map, fill_segmentation, volume_from_node


def test_what_counts_is_where_the_volumes_are_seen(scene):
    nodes = pair_in(scene)
    fixed, moving = nodes["fixed"], nodes["moving"]
    outer, inner = linear_transform(scene, (10, 20, -30), (5, 60, -7)), linear_transform(scene, (0, 0, 12), (1, 2, 3))
    inner.SetAndObserveTransformNodeID(outer.GetID())
    fixed.SetAndObserveTransformNodeID(outer.GetID())
    moving.SetAndObserveTransformNodeID(inner.GetID())
    pair = VolumePair.of_nodes(fixed, moving)
    index = np.array([3.0, 5.0, 7.0])
    seen, back = np.zeros(3), np.zeros(3)
    place = moving.GetName() and pair.moving.index_to_lps_mm @ [*index, 1]
    ijk_to_ras = vtk.vtkMatrix4x4()
    moving.GetIJKToRASMatrix(ijk_to_ras)
    moving.TransformPointToWorld(ijk_to_ras.MultiplyPoint([*index, 1])[:3], seen)
    fixed.TransformPointFromWorld(seen, back)
    np.testing.assert_allclose(place[:3], back * LPS_TO_RAS, atol=1e-6)


def test_colour_becomes_luminance(scene):
    node = scene.AddNewNodeByClass("vtkMRMLVectorVolumeNode")
    colours = np.random.default_rng(1).integers(0, 256, (1, 6, 8, 3)).astype(np.uint8)
    slicer.util.updateVolumeFromArray(node, colours)
    found = volume_from_node(node).array
    assert found.shape == (1, 6, 8)
    np.testing.assert_allclose(found[0], colours[0] @ [0.299, 0.587, 0.114], atol=1)


def test_labels_come_by_name_from_segmentations_and_label_maps(scene):
    nodes = pair_in(scene)
    moving_labels = labels_on_grid(nodes["moving segmentation"], nodes["moving"])
    names = {2: "Ventricle", 5: "Atrium"}
    swapped = np.array([0, 5, 2])[labels_on_grid(nodes["fixed segmentation"], nodes["fixed"]).array]
    volume = VolumePair.of_nodes(nodes["fixed"], nodes["moving"]).fixed_labels(swapped)
    fill_segmentation(nodes["fixed segmentation"], volume, nodes["fixed"], names={5: "LABEL 1", 2: "label 2"})
    alike = match_numbers(moving_labels, labels_on_grid(nodes["fixed segmentation"], nodes["fixed"]))
    np.testing.assert_array_equal(alike.array, np.array([0, 0, 2, 0, 0, 1])[swapped])
    fill_segmentation(nodes["fixed segmentation"], volume, nodes["fixed"], names=names)
    found = labels_on_grid(nodes["fixed segmentation"], nodes["fixed"])
    assert {label.number: label.name for label in found.labels} == names
    label_map = add_label_map(scene, volume, "map")
    np.testing.assert_array_equal(labels_on_grid(label_map, nodes["fixed"]).array, swapped)
    coarse = replace(volume, array=volume.array[::2], spacing_mm=(*SPACING_MM[:2], 2 * SPACING_MM[2]))
    np.testing.assert_array_equal(
        labels_on_grid(add_label_map(scene, coarse, "coarse"), nodes["fixed"]).array[::2], swapped[::2]
    )


@pytest.mark.parametrize("flat", [False, True], ids=["volumes", "slices"])
def test_the_transform_takes_the_place_of_the_one_that_the_moving_volume_had(scene, flat):
    nodes = pair_in(scene, (26, 24) if flat else (16, 20, 18), flat=flat)
    fixed, moving = nodes["fixed"], nodes["moving"]
    room, placement = (
        linear_transform(scene, (20, 0, 40), (10, -5, 30)),
        linear_transform(scene, (0, 0, 0), (0.5, 1.0, -0.25)),
    )
    placement.SetAndObserveTransformNodeID(room.GetID())
    fixed.SetAndObserveTransformNodeID(room.GetID())
    moving.SetAndObserveTransformNodeID(placement.GetID())
    pair = VolumePair.of_nodes(fixed, moving)
    shape = pair.fixed.array.shape
    displacement = np.broadcast_to(np.array([0.75, -0.5, 0.25][: len(shape)]), (*shape, len(shape)))
    transform = add_displacement_transform(scene, pair.displacement_grid(displacement), "result")
    transform.SetAndObserveTransformNodeID(room.GetID())
    index = np.array([shape[-1] // 2, shape[-2] // 2, 0 if flat else shape[0] // 2])
    point = (pair.fixed_grid.index_to_lps_mm @ [*index, 1])[:3]
    matched = pair.fixed.index_to_lps_mm @ [*index[: len(shape)], 1]
    in_moving = pair.moving_space @ [
        *(matched[:-1] + displacement[0, 0] if flat else matched[:-1] + displacement[0, 0, 0]),
        1,
    ]
    seen = np.zeros(3)
    fixed.TransformPointToWorld(point * LPS_TO_RAS, seen)
    np.testing.assert_allclose(transform_points(transform, in_moving[:3]) * LPS_TO_RAS, seen, atol=2e-3)
    nodes["moving segmentation"].SetAndObserveTransformNodeID(placement.GetID())
    before = labels_on_grid(nodes["moving segmentation"], moving).array
    put_under(moving, transform)
    assert parent_before_registration(moving) is placement
    again = VolumePair.of_nodes(fixed, moving)
    np.testing.assert_allclose(again.moving.index_to_lps_mm, pair.moving.index_to_lps_mm, atol=1e-9)
    count = scene.GetNumberOfNodes()
    np.testing.assert_array_equal(
        labels_on_grid(nodes["moving segmentation"], moving).array, before
    )  # belongs where the volume was
    assert scene.GetNumberOfNodes() == count


def test_the_jacobian_is_the_library_s():
    for shape, direction in (
        ((9, 12, 10), OBLIQUE),
        ((14, 12), np.array([[0.8, -0.6], [0.6, 0.8]])),
        ((1, 12, 10), OBLIQUE),
    ):
        dimension = len(shape)
        grid = ImageGrid(shape, SPACING_MM[:dimension], ORIGIN_MM[:dimension], direction)
        displacement = np.random.default_rng(4).normal(0, 0.4, (*shape, dimension))
        expected = jacobian_determinant(DisplacementField(displacement, grid).to_voxels())[0]
        found = jacobian_map(
            displacement, Volume(np.zeros(shape), SPACING_MM[:dimension], ORIGIN_MM[:dimension], direction)
        )
        np.testing.assert_allclose(found.array, expected, atol=1e-5)
