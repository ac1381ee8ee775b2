"""The inverse of `volume_nodes`: what a module has in its selectors, as arrays with geometry."""

from __future__ import annotations

import numpy as np
import slicer
import vtk
from vtkmodules.util.numpy_support import vtk_to_numpy

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.images.colour import luminance
from UltrasoundMotionLib.images.volume import Volume
from UltrasoundMotionLib.mrml.image_geometry import LPS_TO_RAS, from_vtk_matrix, geometry_of


def volume_from_node(node: slicer.vtkMRMLVolumeNode) -> Volume:
    """The image of a volume node in the node's own coordinates (without its parent transform), (K, J, I); K is 1 for a
    slice.

    Colour becomes luminance. The array shares the node's memory where no colour had to be turned to grey: copy it
    before the node may change.

    Raises:
        InputError: the node holds no image, or its axes are not orthogonal.
    """
    image = node.GetImageData()
    if image is None or image.GetPointData().GetScalars() is None:
        raise InputError(f"{node.GetName()}: the volume holds no image")
    width, height, depth = image.GetDimensions()
    components = image.GetNumberOfScalarComponents()
    stored = vtk_to_numpy(image.GetPointData().GetScalars()).reshape(depth, height, width, components)
    array = (
        stored[..., 0]
        if components == 1
        else luminance(stored.reshape(depth * height, width, components)).reshape(depth, height, width)
    )
    spacing, origin, direction = geometry_of(node)
    return Volume(array, tuple(spacing), tuple(origin), direction, node.GetName())


def linear_between(
    source: slicer.vtkMRMLTransformNode | None, target: slicer.vtkMRMLTransformNode | None, name: str
) -> np.ndarray:
    """(4, 4) LPS mm, from what stands under one transform node to what stands under another; None is the world.

    Raises:
        InputError: the way between them is not linear; `name` says whose transform that is.
    """
    between, linear = vtk.vtkGeneralTransform(), vtk.vtkTransform()
    slicer.vtkMRMLTransformNode.GetTransformBetweenNodes(source, target, between)
    if not slicer.vtkMRMLTransformNode.IsGeneralTransformLinear(between, linear):
        raise InputError(
            f"{name}: is under a transform that bends it; harden the transform first, or take the volume out of it"
        )
    mirror = np.diag([*LPS_TO_RAS, 1.0])
    return mirror @ from_vtk_matrix(linear.GetMatrix()) @ mirror
