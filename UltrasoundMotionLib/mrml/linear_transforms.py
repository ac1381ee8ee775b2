"""Rigid and affine motions as Slicer's linear transforms that change with the frame."""

from __future__ import annotations

import numpy as np
import slicer

from UltrasoundMotionLib.mrml.displacement_transforms import Carries
from UltrasoundMotionLib.mrml.image_geometry import LPS_TO_RAS, to_vtk_matrix
from UltrasoundMotionLib.mrml.node_removal import undone_unless_finished
from UltrasoundMotionLib.mrml.sequence_nodes import SequenceIndex, SequenceNodes, add_with_proxy, join_browser
from UltrasoundMotionLib.steps import Steps


def adding_linear_sequence(
    image: SequenceNodes, matrices_lps: np.ndarray, name: str, *, carries: Carries = Carries.FIXED_TO_MOVING
) -> Steps[SequenceNodes]:
    """Adds a linear transform that changes with the frame, in the image's browser and under its transform.

    Args:
        matrices_lps: (T, 4, 4) mm, from points of the reference to points of each frame.
    """
    index = image.index

    def add() -> Steps[SequenceNodes]:
        """Fills a sequence with a transform for each frame and adds it once it is complete."""
        kind = _node_class(index)
        node = slicer.vtkMRMLSequenceNode()
        index.apply(node)
        for frame, value in enumerate(index.values):
            yield frame, len(index.values), "putting the matrices into the scene"
            item = getattr(slicer, kind)()
            item.SetName(name)
            shown = matrices_lps[frame] if carries is Carries.FIXED_TO_MOVING else np.linalg.inv(matrices_lps[frame])
            item.SetMatrixTransformToParent(to_vtk_matrix(_to_ras(shown)))
            node.SetDataNodeAtValue(item, value)
        image.check_unchanged(index)
        proxy = add_with_proxy(image, node, kind, name)
        return join_browser(image.browser, node, proxy, editable=False)

    return undone_unless_finished(image.scene, add())


def _node_class(index: SequenceIndex) -> str:
    """Returns the class of the items.

    Slicer saves sequences of vtkMRMLLinearTransformNode as .seq.mha and rounds their times to 1 ms, so that frames of
    fast clips are lost; the general class keeps them.
    """
    try:
        exact = all(float(f"{float(value):.3f}") == float(value) for value in index.values)
    except ValueError:
        exact = False
    return "vtkMRMLLinearTransformNode" if exact and index.unit == "s" else "vtkMRMLTransformNode"


def _to_ras(matrix_lps: np.ndarray) -> np.ndarray:
    flip = np.diag([*LPS_TO_RAS, 1.0])
    return flip @ matrix_lps @ flip
