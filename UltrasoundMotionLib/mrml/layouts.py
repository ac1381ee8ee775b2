"""The extension's own layouts: the image of a clip large, and beside it only what belongs to it, without the empty 3D
and orthogonal views of Slicer's layouts.

They show Slicer's own views (Red, Yellow, PlotView1, TableView1), so a user's settings of those hold, and no view node
is left over in a scene.
"""

from __future__ import annotations

from dataclasses import dataclass

import slicer
import vtk

RED, YELLOW, PLOT, TABLE = "Red", "Yellow", "PlotView1", "TableView1"
"""Layout names of the views: image, bull's-eye (or a second image), chart, table."""


@dataclass(frozen=True)
class OwnLayout:
    """A layout that the extension adds to Slicer's.

    Attributes:
        number: its view arrangement; Slicer's own are below 100.
        title: its name in Slicer's layout menu.
        description: Slicer's XML of it.
    """

    number: int
    title: str
    description: str


def _slice(name: str, label: str, color: str) -> str:
    return (
        f'<view class="vtkMRMLSliceNode" singletontag="{name}">'
        '<property name="orientation" action="default">Axial</property>'
        f'<property name="viewlabel" action="default">{label}</property>'
        f'<property name="viewcolor" action="default">{color}</property></view>'
    )


def _view(class_name: str, name: str, label: str) -> str:
    return (
        f'<view class="{class_name}" singletontag="{name}">'
        f'<property name="viewlabel" action="default">{label}</property></view>'
    )


def _split(kind: str, *items: tuple[int, str]) -> str:
    """A splitter; each item has a share of a thousand and its content."""
    inner = "".join(f'<item splitSize="{share}">{content}</item>' for share, content in items)
    return f'<layout type="{kind}" split="true">{inner}</layout>'


_IMAGE = _slice(RED, "R", "#F34A33")
_SECOND = _slice(YELLOW, "Y", "#EDD54C")
_CHART = _view("vtkMRMLPlotViewNode", PLOT, "P")
_NUMBERS = _view("vtkMRMLTableViewNode", TABLE, "T")

IMAGE = OwnLayout(2610, "Ultrasound clip", f'<layout type="vertical"><item>{_IMAGE}</item></layout>')
"""The image alone."""

IMAGE_CHART_TABLE = OwnLayout(
    2611,
    "Ultrasound clip, chart, table",
    _split("horizontal", (640, _IMAGE), (360, _split("vertical", (500, _CHART), (500, _NUMBERS)))),
)
"""The image, with chart and table to its right."""

IMAGE_CHART_BULLS_EYE_TABLE = OwnLayout(
    2612,
    "Ultrasound clip, chart, bull's-eye, table",
    _split(
        "horizontal",
        (620, _split("vertical", (650, _IMAGE), (350, _CHART))),
        (380, _split("vertical", (550, _SECOND), (450, _NUMBERS))),
    ),
)
"""The image over its chart, with bull's-eye and table to their right."""

OWN_LAYOUTS = (IMAGE, IMAGE_CHART_TABLE, IMAGE_CHART_BULLS_EYE_TABLE)


def layout_node(scene: slicer.vtkMRMLScene) -> slicer.vtkMRMLLayoutNode | None:
    """Returns the node whose view arrangement the application shows, or None where nothing is shown."""
    return scene.GetFirstNodeByClass("vtkMRMLLayoutNode")


def is_own(arrangement: int) -> bool:
    """True for one of the extension's layouts."""
    return arrangement in {layout.number for layout in OWN_LAYOUTS}


def register_layouts(scene: slicer.vtkMRMLScene) -> bool:
    """Describes the layouts to the scene's layout node; does nothing where that is done, or there is no such node.

    While one of them is shown the layout node is not saved with the scene: a Slicer without this extension would have
    no description of the layout and show no view at all. It keeps its own layout instead.

    Returns:
        True where they were not known before.
    """
    node = layout_node(scene)
    if node is None or node.IsLayoutDescription(IMAGE.number):
        return False
    for layout in OWN_LAYOUTS:
        node.AddLayoutDescription(layout.number, layout.description)
    node.AddObserver(vtk.vtkCommand.ModifiedEvent, _keep_out_of_files)
    return True


def _keep_out_of_files(node: slicer.vtkMRMLLayoutNode, _event: str) -> None:
    save = not is_own(node.GetViewArrangement())
    if bool(node.GetSaveWithScene()) != save:
        node.SetSaveWithScene(save)


class LayoutStack:
    """Layouts that a module shows one over the other, and the user's at the bottom.

    Where the user chooses another layout meanwhile, that one stays.
    """

    def __init__(self) -> None:
        self._below: list[int] = []
        self._left: list[int] = []

    def show(self, scene: slicer.vtkMRMLScene, layout: OwnLayout) -> bool:
        """Shows a layout over the present one; returns False where it is shown already, or there are no views."""
        register_layouts(scene)
        node = layout_node(scene)
        if node is None or node.GetViewArrangement() == layout.number:
            return False
        if not is_own(node.GetViewArrangement()):
            self._below = []
        self._below.append(node.GetViewArrangement())
        _set(node, layout.number)
        return True

    def hide(self, scene: slicer.vtkMRMLScene, layout: OwnLayout) -> bool:
        """Returns from a layout to the one below it; returns False where the layout is not shown."""
        node = layout_node(scene)
        if node is None or node.GetViewArrangement() != layout.number or not self._below:
            return False
        _set(node, self._below.pop())
        return True

    def leave(self, scene: slicer.vtkMRMLScene) -> None:
        """Restores the user's layout, and remembers what it replaces for `back`."""
        node = layout_node(scene)
        self._left = []
        if node is not None and self._below and is_own(node.GetViewArrangement()):
            self._left = [*self._below[1:], node.GetViewArrangement()]
            _set(node, self._below[0])
        self._below = []

    def back(self, scene: slicer.vtkMRMLScene) -> bool:
        """Shows again what `leave` replaced; returns False where that was nothing."""
        left, self._left = self._left, []
        shown = False
        for layout in (layout for number in left for layout in OWN_LAYOUTS if layout.number == number):
            shown = self.show(scene, layout) or shown
        return shown

    def restore(self, scene: slicer.vtkMRMLScene) -> None:
        """Restores the user's layout for good, as when the scene is closed."""
        self.leave(scene)
        self._left = []


def _set(node: slicer.vtkMRMLLayoutNode, arrangement: int) -> None:
    node.RemoveAllMaximizedViewNodes()
    node.SetViewArrangement(arrangement)
