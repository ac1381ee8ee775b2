"""A registered pair or sequence as a scene that opens in 3D Slicer."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import slicer

from UltrasoundMotionLib.images import ImageSequence
from UltrasoundMotionLib.images.volume import Volume
from UltrasoundMotionLib.mrml.headless_scene import HeadlessScene
from UltrasoundMotionLib.mrml.image_geometry import LPS_TO_RAS
from UltrasoundMotionLib.mrml.image_nodes import add_image_sequence
from UltrasoundMotionLib.mrml.registration_nodes import RegistrationNodes, show_registration
from UltrasoundMotionLib.mrml.registration_pair import VolumePair
from UltrasoundMotionLib.mrml.registration_sequence_nodes import add_sequence_registration
from UltrasoundMotionLib.mrml.scene_files import quiet_vtk, write_scene
from UltrasoundMotionLib.mrml.subject_hierarchy import put_in_folder
from UltrasoundMotionLib.mrml.views import FOREGROUND_OPACITY, set_layout, show_as_acquired, view_node
from UltrasoundMotionLib.mrml.volume_nodes import add_segmentation, add_volume
from UltrasoundMotionLib.progress import Progress, no_progress
from UltrasoundMotionLib.registration.registration import Registration
from UltrasoundMotionLib.registration.sequences.sequence_registration import SequenceRegistration

_SLICE_VIEWS = (("Red", "Axial"), ("Yellow", "Sagittal"), ("Green", "Coronal"))


def _build_registration_scene(
    scene: slicer.vtkMRMLScene,
    fixed: Volume,
    moving: Volume,
    registration: Registration,
    *,
    fixed_labels: Volume | None = None,
    confidence: Volume | None = None,
) -> tuple[slicer.vtkMRMLScalarVolumeNode, slicer.vtkMRMLScalarVolumeNode, RegistrationNodes]:
    """Fills an empty scene with the fixed image, the moving image under the transform, and the result.

    Slice views show the moving image over the fixed one, half transparent. Removing the moving volume from the
    transform, in the Transforms module, shows it before registration. A confidence of the moving labels, 0 to 1, is
    added in grey.

    Raises:
        InputError: the displacement lies on another grid than the fixed image.
    """
    fixed_node, moving_node = (
        add_volume(scene, fixed, f"fixed {fixed.name}"),
        add_volume(scene, moving, f"moving {moving.name}"),
    )
    pair = VolumePair.of_images(fixed_node, moving_node, fixed, moving)
    nodes = show_registration(pair, registration, with_checkerboard=True, fill_labels=True, apply=True)
    added = []
    if fixed_labels is not None:
        added.append(add_segmentation(scene, fixed_labels, "fixed labels", fixed_node, filled=False))
    if confidence is not None:
        added.append(add_volume(scene, confidence, f"{moving.name} confidence", levels=(0.0, 1.0)))
    put_in_folder(scene, fixed_node, added, f"{fixed_node.GetName()} registration")
    flat = min(fixed_node.GetImageData().GetDimensions()) == 1
    for view_name, orientation in _SLICE_VIEWS[: 1 if flat else None]:
        node = view_node(scene, "vtkMRMLSliceNode", view_name)
        composite = view_node(scene, "vtkMRMLSliceCompositeNode", view_name)
        composite.SetBackgroundVolumeID(fixed_node.GetID())
        if flat:
            show_as_acquired(scene, fixed_node, view_name)
        else:
            _show_slices(node, fixed_node, orientation)
        composite.SetForegroundVolumeID(moving_node.GetID())
        composite.SetForegroundOpacity(FOREGROUND_OPACITY)
    set_layout(
        scene,
        slicer.vtkMRMLLayoutNode.SlicerLayoutOneUpRedSliceView
        if flat
        else slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpView,
    )
    return fixed_node, moving_node, nodes


def write_registration_scene(
    path: str | Path,
    fixed: Volume,
    moving: Volume,
    registration: Registration,
    *,
    fixed_labels: Volume | None = None,
    confidence: Volume | None = None,
    progress: Progress = no_progress,
) -> Path:
    """Writes a registered pair as a scene (`.mrb`) in which the transform carries the moving volume onto the fixed one.

    Raises:
        InputError: the displacement lies on another grid than the fixed image.
        OutputError: the file cannot be written.
    """
    with quiet_vtk(), HeadlessScene() as scene:
        _build_registration_scene(scene, fixed, moving, registration, fixed_labels=fixed_labels, confidence=confidence)
        progress(0, 1, "writing the scene")
        written = write_scene(scene, path)
        progress(1, 1, "writing the scene")
    return written


def write_sequence_registration_scene(
    path: str | Path,
    sequence: ImageSequence,
    registration: SequenceRegistration,
    *,
    landmarks_px: Sequence[Sequence[float]] | np.ndarray = (),
    progress: Progress = no_progress,
) -> Path:
    """Writes a clip with its displacement fields, and landmarks that they move, as a scene (`.mrb`) that plays.

    Args:
        landmarks_px: (N, 2) landmarks on the reference frame.

    Raises:
        InputError: the fields do not fit, see `add_sequence_registration`.
        OutputError: the file cannot be written.
    """
    with quiet_vtk(), HeadlessScene() as scene:
        image = add_image_sequence(scene, sequence, progress=progress)
        motion = add_sequence_registration(image, registration, f"{sequence.name} motion", progress=progress)
        shown = [motion.proxy]
        if len(landmarks_px):
            markups = scene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", "landmarks of the reference frame")
            markups.CreateDefaultDisplayNodes()
            for position in sequence.pixels_to_lps_mm(np.asarray(landmarks_px, dtype=float)) * LPS_TO_RAS:
                markups.AddControlPoint(*position)
            markups.SetAndObserveTransformNodeID(motion.proxy.GetID())
            shown.append(markups)
        put_in_folder(scene, image.proxy, shown, f"{sequence.name} motion")
        image.browser.SetSelectedItemNumber(registration.reference_frame)
        show_as_acquired(scene, image.proxy)
        set_layout(scene, slicer.vtkMRMLLayoutNode.SlicerLayoutOneUpRedSliceView)
        return write_scene(scene, path)


def _show_slices(node: slicer.vtkMRMLSliceNode, volume: slicer.vtkMRMLVolumeNode, orientation: str) -> None:
    """Shows the slice through the middle of the volume, which fills the view."""
    bounds = np.zeros(6)
    volume.GetRASBounds(bounds)
    node.SetOrientation(orientation)
    centre, extent = (bounds[::2] + bounds[1::2]) / 2, float((bounds[1::2] - bounds[::2]).max())
    node.JumpSliceByCentering(*centre)
    node.SetFieldOfView(extent, extent, 1.0)
    node.UpdateMatrices()
