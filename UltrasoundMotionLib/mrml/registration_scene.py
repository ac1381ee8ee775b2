"""A registered pair, or a registered sequence, as a scene that opens in 3D Slicer."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import slicer

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.images import ImageSequence
from UltrasoundMotionLib.images.volume import Volume
from UltrasoundMotionLib.mrml.displacement_transforms import Carries, DisplacementGrid, add_displacement_sequence
from UltrasoundMotionLib.mrml.headless_scene import HeadlessScene
from UltrasoundMotionLib.mrml.image_geometry import LPS_TO_RAS
from UltrasoundMotionLib.mrml.image_nodes import add_image_sequence
from UltrasoundMotionLib.mrml.registration_nodes import RegistrationNodes, add_registration, displacement_grid
from UltrasoundMotionLib.mrml.scene_files import quiet_vtk, write_scene
from UltrasoundMotionLib.mrml.sequence_nodes import SequenceNodes
from UltrasoundMotionLib.mrml.subject_hierarchy import put_in_folder
from UltrasoundMotionLib.mrml.views import set_layout, show_as_acquired, view_node
from UltrasoundMotionLib.mrml.volume_nodes import add_segmentation, add_volume
from UltrasoundMotionLib.progress import Progress, no_progress
from UltrasoundMotionLib.registration import Registration
from UltrasoundMotionLib.registration.sequences.sequence_registration import SequenceRegistration

SLICE_VIEWS = (("Red", "Axial"), ("Yellow", "Sagittal"), ("Green", "Coronal"))
FOREGROUND_OPACITY = 0.5


def build_registration_scene(
    scene: slicer.vtkMRMLScene,
    fixed: Volume,
    moving: Volume,
    registration: Registration,
    *,
    fixed_labels: Volume | None = None,
    confidence: Volume | None = None,
) -> tuple[slicer.vtkMRMLScalarVolumeNode, slicer.vtkMRMLScalarVolumeNode, RegistrationNodes]:
    """Fills an empty scene: fixed, moving under the transform, and the result; slice views show moving over fixed, half
    transparent.

    Taking the transform off the moving volume in the Transforms module shows what it did. A confidence of the moving
    labels, 0 to 1, lies beside the result, black to white.

    Raises:
        InputError: as `add_registration`.
    """
    fixed_node, moving_node = (
        add_volume(scene, fixed, f"fixed {fixed.name}"),
        add_volume(scene, moving, f"moving {moving.name}"),
    )
    nodes = add_registration(fixed_node, fixed, registration, moving_node=moving_node)
    if fixed_labels is not None:
        labels = add_segmentation(scene, fixed_labels, "fixed labels", fixed_node, filled=False)
        put_in_folder(scene, fixed_node, [labels], f"{fixed_node.GetName()} registration")
    if confidence is not None:
        trust = add_volume(scene, confidence, f"{moving.name} confidence", levels=(0.0, 1.0))
        put_in_folder(scene, fixed_node, [trust], f"{fixed_node.GetName()} registration")
    flat = min(fixed_node.GetImageData().GetDimensions()) == 1
    for view_name, orientation in SLICE_VIEWS[: 1 if flat else None]:
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
        InputError: as `add_registration`.
        OutputError: as `write_scene`.
    """
    with quiet_vtk(), HeadlessScene() as scene:
        build_registration_scene(scene, fixed, moving, registration, fixed_labels=fixed_labels, confidence=confidence)
        progress(0, 1, "writing the scene")
        written = write_scene(scene, path)
        progress(1, 1, "writing the scene")
    return written


def add_sequence_registration(
    image: SequenceNodes, registration: SequenceRegistration, name: str, *, progress: Progress = no_progress
) -> SequenceNodes:
    """Adds the fields of a sequence as a transform sequence in the browser of the clip.

    Landmarks, a contour or a mask placed on the reference frame and put under the transform move with the tissue. The
    fields are stored on their control grids, a few kilobytes a frame.

    Raises:
        InputError: fields from frame to frame (they cannot carry one frame's landmarks), frames that were not reached,
            another frame count.
    """
    if registration.mode != "to-reference":
        raise InputError(
            f"{name}: a transform sequence needs fields to a reference frame, these are {registration.mode}"
        )
    if len(registration) != len(image.index.values):
        raise InputError(
            f"{name}: {len(registration)} fields but the clip in the scene has {len(image.index.values)} frames"
        )
    if not registration.reached.all():
        missing = int(np.flatnonzero(~registration.reached)[0])
        raise InputError(f"{name}: frame {missing} has no field; the registration was interrupted")

    def field_of(frame: int) -> DisplacementGrid:
        return displacement_grid(registration.frames[frame].field(coarse=True))

    return add_displacement_sequence(image, field_of, name, carries=Carries.FIXED_TO_MOVING, progress=progress)


def write_sequence_registration_scene(
    path: str | Path,
    sequence: ImageSequence,
    registration: SequenceRegistration,
    *,
    landmarks_px: Sequence[Sequence[float]] | np.ndarray = (),
    progress: Progress = no_progress,
) -> Path:
    """Writes a clip with its fields, and landmarks of the reference frame that they move, as a scene (`.mrb`) that
    plays.

    Args:
        landmarks_px: (N, 2) on the reference frame.

    Raises:
        InputError: as `add_sequence_registration`.
        OutputError: as `write_scene`.
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
    """Through the middle of the volume, which fills the view."""
    bounds = np.zeros(6)
    volume.GetRASBounds(bounds)
    node.SetOrientation(orientation)
    centre, extent = (bounds[::2] + bounds[1::2]) / 2, float((bounds[1::2] - bounds[::2]).max())
    node.JumpSliceByCentering(*centre)
    node.SetFieldOfView(extent, extent, 1.0)
    node.UpdateMatrices()
