"""Pairs in a scene with a known displacement, and what Slicer itself makes of a registration: for the tests of its
nodes and module.
"""

from dataclasses import replace

import numpy as np
import slicer
import vtk
from scipy.ndimage import gaussian_filter, map_coordinates, shift
from scipy.spatial.transform import Rotation

from mrml_clips import OBLIQUE, clip
from UltrasoundMotionLib.images.volume import Volume
from UltrasoundMotionLib.mrml.volume_nodes import add_segmentation, add_volume
from UltrasoundMotionLib.similarity import dice

ARRAY_OF = slicer.util.arrayFromVolume
SPACING_MM = (1.0, 1.25, 1.5)
ORIGIN_MM = (12.0, -30.0, 5.0)


def texture(shape, seed=0, smoothing=2.0):
    return gaussian_filter(np.random.default_rng(seed).random(shape), smoothing).astype(np.float32)


def bump(shape, size_voxels=1.8):
    """A smooth displacement in voxels, (n, *shape) in the array's axis order, at rest near the border."""
    axes = np.meshgrid(*[np.linspace(-1, 1, size) for size in shape], indexing="ij")
    window = np.prod([np.cos(np.pi / 2 * axis) ** 2 for axis in axes], axis=0)
    return np.stack([size_voxels * window * sign for sign in (1.0, -0.7, 0.5)[: len(shape)]])


def moved(array, displacement, order=3):
    """array(x + d(x))."""
    index = np.stack(np.meshgrid(*[np.arange(size, dtype=float) for size in array.shape], indexing="ij"))
    return map_coordinates(array, index + displacement, order=order, mode="nearest")


def pair_in(scene, shape=(20, 26, 24), *, direction=OBLIQUE, flat=False):
    """Fixed and moving nodes with segmentations, where fixed(x) = moving(x + bump(x))."""
    array = texture(shape)
    labels = np.zeros(shape, dtype=np.int16)
    labels[tuple(slice(size // 4, size // 2 + 3) for size in shape)] = 1
    labels[tuple(slice(size // 2 + 3, size - size // 4) for size in shape)] = 2
    arrays = {"fixed": moved(array, bump(shape)), "moving": array}
    label_arrays = {"fixed": moved(labels, bump(shape), order=0), "moving": labels}
    nodes = {}
    for name in arrays:
        image, label = (one[name][None] if flat else one[name] for one in (arrays, label_arrays))
        volume = Volume(image.astype(np.float32), SPACING_MM, ORIGIN_MM, direction, name)
        nodes[name] = add_volume(scene, volume, name)
        nodes[f"{name} segmentation"] = add_segmentation(
            scene, replace(volume, array=label), f"{name} segmentation", nodes[name]
        )
    return nodes


def linear_transform(scene, degrees, offset):
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = Rotation.from_euler("xyz", degrees, degrees=True).as_matrix(), offset
    node = scene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    node.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(matrix))
    return node


def resampled_by_slicer(volume, reference):
    """What a user gets who hardens: the volume, through all of its transforms, on the grid of a reference."""
    scene = volume.GetScene()
    to_volume, ijk_to_ras, ras_to_ijk = vtk.vtkGeneralTransform(), vtk.vtkMatrix4x4(), vtk.vtkMatrix4x4()
    slicer.vtkMRMLTransformNode.GetTransformBetweenNodes(
        reference.GetParentTransformNode(), volume.GetParentTransformNode(), to_volume
    )
    reference.GetIJKToRASMatrix(ijk_to_ras)
    volume.GetRASToIJKMatrix(ras_to_ijk)
    whole = vtk.vtkGeneralTransform()
    whole.Concatenate(ras_to_ijk)
    whole.Concatenate(to_volume)
    whole.Concatenate(ijk_to_ras)
    reslice = vtk.vtkImageReslice()
    reslice.SetInputData(volume.GetImageData())
    reslice.SetOutputOrigin(0, 0, 0)
    reslice.SetOutputSpacing(1, 1, 1)
    reslice.SetOutputExtent(reference.GetImageData().GetExtent())
    reslice.SetResliceTransform(whole)
    reslice.SetInterpolationModeToLinear()
    reslice.Update()
    result = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode")
    result.SetAndObserveImageData(reslice.GetOutput())
    array = np.array(ARRAY_OF(result))
    scene.RemoveNode(result)
    return array


def node_names(scene):
    """Class and name of every node that a user's work would be cluttered by."""
    passing = ("vtkMRMLSubjectHierarchyNode",)
    nodes = (scene.GetNthNode(number) for number in range(scene.GetNumberOfNodes()))
    return sorted(f"{node.GetClassName()} {node.GetName()}" for node in nodes if node.GetClassName() not in passing)


def table_of(node):
    rows = {}
    for row in range(node.GetNumberOfRows()):
        rows[node.GetCellText(row, 0)] = tuple(node.GetCellText(row, column) for column in (1, 2))
    return rows


def dice_of(fixed, carried):
    return {number: float(value) for number, value in dice(*(torch_of(one) for one in (fixed, carried))).items()}


def torch_of(array):
    import torch

    return torch.from_numpy(np.ascontiguousarray(array).astype(np.int64))


def swaying_clip(frame_count=4, step_px=0.8):
    """A texture that moves to the right, step_px a frame."""
    wide = texture((80, 90), smoothing=1.5)
    wide = (wide - wide.min()) / np.ptp(wide) * 255
    frames = [shift(wide, (0, frame * step_px), order=3, mode="nearest")[20:60, 16:64] for frame in range(frame_count)]
    return replace(clip(frame_count), frames=np.clip(frames, 0, 255).astype(np.uint8))
