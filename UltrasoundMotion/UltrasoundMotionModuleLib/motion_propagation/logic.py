"""Logic of Motion Propagation, for its panel and for scripts."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated, TypeVar, Union

import slicer
from slicer import (
    vtkMRMLMarkupsAngleNode,
    vtkMRMLMarkupsCurveNode,
    vtkMRMLMarkupsFiducialNode,
    vtkMRMLMarkupsLineNode,
    vtkMRMLModelNode,
    vtkMRMLScalarVolumeNode,
    vtkMRMLSegmentationNode,
    vtkMRMLTransformNode,
)
from slicer.parameterNodeWrapper import WithinRange, parameterNodeWrapper

from UltrasoundMotionLib.errors import OptionError
from UltrasoundMotionLib.mrml.carried_files import formats_of
from UltrasoundMotionLib.mrml.carrying import carried_object
from UltrasoundMotionLib.mrml.object_motion import TransformsTake, find_motion
from UltrasoundMotionLib.progress import Progress, no_progress
from UltrasoundMotionLib.propagation.temporal_smoothing import SmoothingMethod
from UltrasoundMotionLib.steps import Steps, run_steps
from UltrasoundMotionModuleLib.motion_propagation.choices import Operation, Smoothing, Take, TimeUnit
from UltrasoundMotionModuleLib.motion_propagation.tasks import (
    MadeTransforms,
    MeasuredObject,
    SmoothingWidth,
    carryAndMeasure,
    exportFrames,
    makeTransforms,
    measureAgain,
)
from UltrasoundMotionModuleLib.shared.clip import shownFrame
from UltrasoundMotionModuleLib.shared.module_logic import MotionModuleLogic

# Slicer's wrapper knows unions of nodes by typing.Union only, and needs None among them.
Motion = Union[vtkMRMLTransformNode, vtkMRMLMarkupsFiducialNode, vtkMRMLMarkupsCurveNode, None]  # noqa: UP007
Object = Union[  # noqa: UP007
    vtkMRMLSegmentationNode,
    vtkMRMLModelNode,
    vtkMRMLMarkupsFiducialNode,
    vtkMRMLMarkupsLineNode,
    vtkMRMLMarkupsAngleNode,
    vtkMRMLMarkupsCurveNode,
    vtkMRMLScalarVolumeNode,
    None,
]

Choice = TypeVar("Choice", bound=Enum)

_MOST_FRAMES = 1_000_000
_WIDEST = 1000.0


@parameterNodeWrapper
class MotionPropagationParameterNode:
    """The parameters of the panel, saved with the scene.

    motion - what shows the motion: a sequence of transforms, or points that were tracked.
    take - for transforms, the points that they move.
    object, frame - what is carried along, and the frame on which it is drawn.
    carried - the result: an object that plays with the image.
    transforms - a sequence of transforms to average, invert or smooth.
    operation, smoothing, width, unit, periodic - what is made of it.
    """

    motion: Motion
    take: Take = Take.REFERENCE_TO_FRAMES
    object: Object
    frame: Annotated[int, WithinRange(0, _MOST_FRAMES)] = 0
    carried: Object
    transforms: vtkMRMLTransformNode
    operation: Operation = Operation.MEAN
    smoothing: Smoothing = Smoothing.GAUSSIAN
    width: Annotated[float, WithinRange(0.0, _WIDEST)] = 1.0
    unit: TimeUnit = TimeUnit.FRAMES
    periodic: bool = False


class MotionPropagationLogic(MotionModuleLogic):
    """Objects carried along with a motion, and operations on motions; see `MotionModuleLogic`."""

    parameterNodeClass = MotionPropagationParameterNode

    def carry(
        self,
        motionNode: slicer.vtkMRMLNode,
        objectNode: slicer.vtkMRMLTransformableNode,
        frame: int | None = None,
        *,
        transformsTake: str = TransformsTake.REFERENCE_TO_FRAMES.value,
        progress: Progress | None = None,
    ) -> MeasuredObject:
        """Carries an object that is drawn on one frame along with a motion, and measures it on every frame.

        The result plays in the motion's browser under the object's transform and can be edited frame by frame; the
        object is not changed.

        >>> from MotionPropagation import MotionPropagationLogic
        >>> result = MotionPropagationLogic().carry(motionNode, segmentationNode, frame=0)
        >>> result.nodes.sequence.GetNumberOfDataNodes() == result.measureNodes.table.GetNumberOfRows()
        True
        >>> [column.title for column in result.measures.columns]
        ['cavity area (cm2)', 'wall area (cm2)']

        Args:
            motionNode: a sequence of transforms or its proxy (as Deformable Registration makes them, or others, linear
                ones too), or points that were tracked.
            objectNode: a segmentation, model, point list, line, angle, curve, closed curve, label map or volume.
            frame: on which it is drawn, from 0; the one shown when None.
            transformsTake: "reference to frames", or "frames to reference" for transforms that hold a moving image
                still.
            progress: called as progress(done, total, message); raising from it cancels, and nothing is added.

        Raises:
            InputError: no motion or object, frames that are missing, an object under a transform that bends or moves
                it.
        """
        motion = find_motion(motionNode, _chosen("transformsTake", transformsTake, TransformsTake))
        drawn = shownFrame(motion.nodes) if frame is None else frame
        return run_steps(carryAndMeasure(objectNode, motion, drawn), progress or no_progress)

    def measure(self, carriedNode: slicer.vtkMRMLNode, *, progress: Progress | None = None) -> MeasuredObject:
        """Measures an object that plays in a browser on every frame, as after editing; a new table and chart.

        >>> from MotionPropagation import MotionPropagationLogic
        >>> MotionPropagationLogic().measure(carriedNode).measureNodes.chart.GetNumberOfPlotSeriesNodes()
        2

        Raises:
            InputError: no browser plays it, or it is an image.
        """
        return run_steps(measureAgain(carriedNode), progress or no_progress)

    def export(
        self,
        carriedNode: slicer.vtkMRMLNode,
        folder: str | Path,
        fileFormat: str | None = None,
        *,
        progress: Progress | None = None,
    ) -> Path:
        """Writes one file for each frame, with its number and time in the name, and `frames.csv` into a new folder.

        Args:
            carriedNode: an object that plays in a browser.
            folder: must not exist yet.
            fileFormat: "nrrd", "stl" or "vtp" for segmentations, "stl" or "vtp" for models, "csv" for markups, "nrrd"
                for volumes; the first that fits when None.

        Raises:
            InputError: a format that does not fit.
            OutputError: the folder exists or cannot be written to.
        """
        chosen = fileFormat or next(iter(formats_of(carried_object(carriedNode).proxy)))
        return run_steps(exportFrames(carriedNode, folder, chosen), progress or no_progress)

    def meanMotion(self, transformsNode: slicer.vtkMRMLNode, *, progress: Progress | None = None) -> MadeTransforms:
        """Adds the mean displacement of a sequence of transforms as one transform.

        Raises:
            InputError: no sequence of transforms, or no grid to sample it on.
        """
        return run_steps(makeTransforms(transformsNode, Operation.MEAN), progress or no_progress)

    def invertMotion(self, transformsNode: slicer.vtkMRMLNode, *, progress: Progress | None = None) -> MadeTransforms:
        """Adds a sequence of the inverse transforms to the browser; a note of the result says how exact they are.

        >>> from MotionPropagation import MotionPropagationLogic
        >>> inverse = MotionPropagationLogic().invertMotion(motionNode)
        >>> inverse.nodes.sequence.GetNumberOfDataNodes() > 1
        True

        Raises:
            InputError: as `meanMotion`.
        """
        return run_steps(makeTransforms(transformsNode, Operation.INVERSE), progress or no_progress)

    def smoothMotion(
        self,
        transformsNode: slicer.vtkMRMLNode,
        width: float,
        *,
        method: str = SmoothingMethod.GAUSSIAN.value,
        unit: str = TimeUnit.FRAMES.value,
        periodic: bool = False,
        progress: Progress | None = None,
    ) -> MadeTransforms:
        """Adds a sequence of transforms that is smoothed over time to the browser.

        Args:
            width: standard deviation of the Gaussian, or half the window of Savitzky-Golay.
            method: "gaussian" or "savitzky-golay".
            unit: "frames" or "s" of the width.
            periodic: the last frame is followed by the first, as in one beat.

        Raises:
            InputError: as `meanMotion`; a width that is not positive or too small.
        """
        kind = Smoothing(_chosen("method", method, SmoothingMethod))
        smoothing = SmoothingWidth(width, kind, _chosen("unit", unit, TimeUnit), periodic)
        return run_steps(makeTransforms(transformsNode, Operation.SMOOTHED, smoothing), progress or no_progress)

    # The same for the parameters of the panel

    def carryTask(self, parameters: MotionPropagationParameterNode) -> Steps[MeasuredObject]:
        """Returns the run for what is chosen; raises InputError as `carry`."""
        motion = find_motion(parameters.motion, parameters.take.value)
        return carryAndMeasure(parameters.object, motion, parameters.frame)

    def transformsTask(self, parameters: MotionPropagationParameterNode) -> Steps[MadeTransforms]:
        """Returns the run of the operation that is chosen."""
        smoothing = SmoothingWidth(parameters.width, parameters.smoothing, parameters.unit, parameters.periodic)
        return makeTransforms(parameters.transforms, parameters.operation, smoothing)


def _chosen(option: str, value: str, choices: type[Choice]) -> Choice:
    """Returns the member of an enumeration with a value; raises OptionError with the choices where there is none."""
    try:
        return choices(value)
    except ValueError:
        names = ", ".join(member.value for member in choices)
        raise OptionError(option, f"expected one of {names}, got {value!r}") from None
