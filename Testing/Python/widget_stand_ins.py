"""Plain stand-ins for Slicer's and CTK's widgets, which look alike and have the few properties, signals and slots that
the modules use.

Whether those exist in the real classes is what `widget_api.json` is for.
"""

from __future__ import annotations

import shiboken6
import slicer
import vtk
from PySide6 import QtCore, QtGui, QtWidgets
from PySide6.QtCore import Property, Qt, Signal, Slot


def _option(name: str, kind: type | str, default: object) -> Property:
    """A property that only remembers what it was set to."""
    return Property(
        kind,
        lambda self: self._options.get(name, default),
        lambda self, value: self._options.__setitem__(name, value),
    )


class qMRMLWidget(QtWidgets.QWidget):
    mrmlSceneChanged = Signal(object)

    @Slot(object)
    def setMRMLScene(self, scene: object) -> None:
        self._scene = scene
        for child in self.findChildren(QtWidgets.QWidget):
            if hasattr(child, "setMRMLScene") and child is not self:
                child.setMRMLScene(scene)  # in a .ui file these are connections, which another test looks at
        self.mrmlSceneChanged.emit(scene)


class qMRMLNodeComboBox(QtWidgets.QComboBox):
    """Lists the scene's nodes of some classes; of those with an attribute where one is asked for."""

    currentNodeChanged = Signal(object)
    nodeAddedByUser = Signal(object)

    def __init__(self, parent: QtWidgets.QWidget | None = None) -> None:
        super().__init__(parent)
        self._node_types, self._attributes, self._scene, self._tags, self._options = (
            [],
            {},
            None,
            [],
            {"noneDisplay": "None"},
        )
        self.setSizePolicy(QtWidgets.QSizePolicy.Policy.Expanding, QtWidgets.QSizePolicy.Policy.Fixed)
        self.setSizeAdjustPolicy(QtWidgets.QComboBox.SizeAdjustPolicy.AdjustToContents)  # a long name makes it wide
        self.currentIndexChanged.connect(lambda _: self.currentNodeChanged.emit(self.currentNode()))

    showHidden = _option("showHidden", bool, False)
    showChildNodeTypes = _option("showChildNodeTypes", bool, True)
    hideChildNodeTypes = _option("hideChildNodeTypes", "QStringList", [])
    noneEnabled = _option("noneEnabled", bool, False)
    addEnabled = _option("addEnabled", bool, True)
    removeEnabled = _option("removeEnabled", bool, True)
    editEnabled = _option("editEnabled", bool, False)
    renameEnabled = _option("renameEnabled", bool, False)
    selectNodeUponCreation = _option("selectNodeUponCreation", bool, True)
    baseName = _option("baseName", str, "")
    noneDisplay = _option("noneDisplay", str, "None")

    def _set_node_types(self, types: list[str]) -> None:
        self._node_types = list(types)
        self._refresh()

    nodeTypes = Property("QStringList", lambda self: self._node_types, _set_node_types)

    def addAttribute(self, node_type: str, name: str, value: str | None = None) -> None:
        self._attributes.setdefault(node_type, []).append((name, value))
        self._refresh()

    @Slot(object)
    def setMRMLScene(self, scene: slicer.vtkMRMLScene) -> None:
        for tag in self._tags:
            self._scene.RemoveObserver(tag)
        self._scene, self._tags = scene, []
        if scene:
            for event in (slicer.vtkMRMLScene.NodeAddedEvent, slicer.vtkMRMLScene.NodeRemovedEvent):
                self._tags.append(scene.AddObserver(event, self._on_node))
            self._tags.append(scene.AddObserver(slicer.vtkMRMLScene.EndCloseEvent, lambda *_: self._refresh()))
        self._refresh()

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def _on_node(self, _scene: object, _event: str, node: slicer.vtkMRMLNode) -> None:
        if any(map(node.IsA, self._node_types)):
            self._refresh()

    def _lists(self, node: slicer.vtkMRMLNode) -> bool:
        for node_type in self._node_types:
            if node.IsA(node_type) if self.showChildNodeTypes else node.GetClassName() == node_type:
                wanted = self._attributes.get(node_type, [])
                if all(
                    node.GetAttribute(name) is not None and value in (None, node.GetAttribute(name))
                    for name, value in wanted
                ):
                    return (
                        not any(node.IsA(hidden) for hidden in self.hideChildNodeTypes)
                        and not node.GetHideFromEditors()
                    )
        return False

    def _listed(self) -> list[slicer.vtkMRMLNode]:
        """The nodes to list, in the scene's order. The scene looks for the classes: most nodes have others."""
        if self._scene is None:
            return []
        found = {}
        for node_type in self._node_types:
            nodes = self._scene.GetNodesByClass(node_type)
            nodes.UnRegister(self._scene)
            found |= {node.GetID(): node for node in map(nodes.GetItemAsObject, range(nodes.GetNumberOfItems()))}
        return sorted(filter(self._lists, found.values()), key=self._scene.GetNodes().IsItemPresent)

    def _refresh(self) -> None:
        items = [(self.noneDisplay, None)] if self.noneEnabled else []
        items += [(node.GetName(), node.GetID()) for node in self._listed()]
        if items == [(self.itemText(row), self.itemData(row)) for row in range(self.count())]:
            return
        current = self.currentNode()
        blocked = self.blockSignals(True)
        self.clear()
        for item in items:
            self.addItem(*item)
        self._select(current)
        self.blockSignals(blocked)
        if self.currentNode() is not current:
            self.currentNodeChanged.emit(self.currentNode())

    def _select(self, node: slicer.vtkMRMLNode | None) -> None:
        wanted = node.GetID() if node is not None else None
        self.setCurrentIndex(
            next((row for row in range(self.count()) if self.itemData(row) == wanted), 0 if self.noneEnabled else -1)
        )

    @Slot(object)
    def setCurrentNode(self, node: slicer.vtkMRMLNode | None) -> None:
        self._select(node)

    def currentNode(self) -> slicer.vtkMRMLNode | None:
        node_id = self.currentData()
        return self._scene.GetNodeByID(node_id) if node_id and self._scene is not None else None

    def nodeCount(self) -> int:
        return self.count() - bool(self.noneEnabled)

    def nodeFromIndex(self, index: int) -> slicer.vtkMRMLNode | None:
        return self._scene.GetNodeByID(self.itemData(index + bool(self.noneEnabled)))


class qSlicerSimpleMarkupsWidget(QtWidgets.QWidget):
    markupsNodeChanged = Signal()
    activeMarkupsPlaceModeChanged = Signal(bool)

    def __init__(self, parent: QtWidgets.QWidget | None = None) -> None:
        super().__init__(parent)
        self._selector, self._table = qMRMLNodeComboBox(), QtWidgets.QTableWidget(0, 4)
        self._selector.noneEnabled = True
        self._selector.nodeTypes = ["vtkMRMLMarkupsFiducialNode"]
        self._table.setHorizontalHeaderLabels(["Label", "R", "A", "S"])
        self._table.horizontalHeader().setSectionResizeMode(QtWidgets.QHeaderView.ResizeMode.Stretch)
        top, column = QtWidgets.QHBoxLayout(), QtWidgets.QVBoxLayout(self)
        self._place = qSlicerMarkupsPlaceWidget()
        self._place.activeMarkupsPlaceModeChanged.connect(self.activeMarkupsPlaceModeChanged)
        top.addWidget(self._selector)
        top.addWidget(self._place)
        column.setContentsMargins(0, 0, 0, 0)
        column.addLayout(top)
        column.addWidget(self._table)
        self._selector.currentNodeChanged.connect(self._changed)
        self._options = {}

    enterPlaceModeOnNodeChange = _option("enterPlaceModeOnNodeChange", bool, True)
    jumpToSliceEnabled = _option("jumpToSliceEnabled", bool, False)
    optionsVisible = Property(
        bool, lambda self: not self._place.isHidden(), lambda self, shown: self._place.setVisible(shown)
    )
    positionStatusColumnVisible = _option("positionStatusColumnVisible", bool, False)
    nodeSelectorVisible = Property(
        bool, lambda self: not self._selector.isHidden(), lambda self, shown: self._selector.setVisible(shown)
    )

    def _changed(self, node: slicer.vtkMRMLNode | None) -> None:
        count = node.GetNumberOfControlPoints() if node is not None else 0
        self._table.setRowCount(count)
        for row in range(count):
            for column, text in enumerate(
                (node.GetNthControlPointLabel(row), *(f"{x:.2f}" for x in node.GetNthControlPointPosition(row)))
            ):
                self._table.setItem(row, column, QtWidgets.QTableWidgetItem(text))
        self._place.setCurrentNode(node)
        self.markupsNodeChanged.emit()

    @Slot(object)
    def setMRMLScene(self, scene: slicer.vtkMRMLScene) -> None:
        self._selector.setMRMLScene(scene)

    @Slot(object)
    def setCurrentNode(self, node: slicer.vtkMRMLNode | None) -> None:
        self._selector.setCurrentNode(node)

    def currentNode(self) -> slicer.vtkMRMLNode | None:
        return self._selector.currentNode()

    def markupsSelectorComboBox(self) -> qMRMLNodeComboBox:
        return self._selector

    def markupsPlaceWidget(self) -> qSlicerMarkupsPlaceWidget:
        return self._place

    def setNodeBaseName(self, name: str) -> None:
        self._selector.baseName = name


class qSlicerMarkupsPlaceWidget(QtWidgets.QWidget):
    """The buttons that place and delete points; here `placeModeEnabled` only remembers."""

    activeMarkupsPlaceModeChanged = Signal(bool)

    def __init__(self, parent: QtWidgets.QWidget | None = None) -> None:
        super().__init__(parent)
        row = QtWidgets.QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(2)
        for text in ("\u25cf", "\u2295", "\u2297"):
            row.addWidget(QtWidgets.QToolButton(text=text))
        self._node, self._placing, self._persistent = None, False, False

    def _set_placing(self, on: bool) -> None:
        on = on and self._node is not None
        if on != self._placing:
            self._placing = on
            self.activeMarkupsPlaceModeChanged.emit(on)

    placeModeEnabled = Property(bool, lambda self: self._placing, _set_placing)
    placeModePersistency = Property(
        bool, lambda self: self._persistent, lambda self, on: setattr(self, "_persistent", on)
    )

    @Slot(object)
    def setMRMLScene(self, scene: slicer.vtkMRMLScene) -> None:
        pass

    @Slot(object)
    def setCurrentNode(self, node: slicer.vtkMRMLNode | None) -> None:
        if node is not self._node:  # the active list of the application is another one then
            self._set_placing(False)
        self._node = node


class qMRMLSequenceBrowserPlayWidget(QtWidgets.QWidget):
    """Buttons and playback rate with the margins of Slicer's, whose width they decide."""

    def __init__(self, parent: QtWidgets.QWidget | None = None) -> None:
        super().__init__(parent)
        row = QtWidgets.QHBoxLayout(self)
        style = QtWidgets.QStyle.StandardPixmap
        for name in ("MediaSkipBackward", "MediaSeekBackward", "MediaPlay", "MediaSeekForward", "MediaSkipForward"):
            row.addWidget(self._button(getattr(style, f"SP_{name}")))
        self._rate = QtWidgets.QDoubleSpinBox()
        self._rate.setDecimals(1)
        self._rate.setMaximum(1000.0)
        self._rate.setSuffix("fps")
        row.addWidget(self._rate)
        row.addWidget(self._button(style.SP_BrowserReload))

    def _button(self, pixmap: QtWidgets.QStyle.StandardPixmap) -> QtWidgets.QPushButton:
        button = QtWidgets.QPushButton()
        button.setIcon(self.style().standardIcon(pixmap))
        return button

    @Slot(object)
    def setMRMLScene(self, scene: slicer.vtkMRMLScene) -> None:
        pass

    @Slot(object)
    def setMRMLSequenceBrowserNode(self, browser: slicer.vtkMRMLSequenceBrowserNode | None) -> None:
        self._browser = browser
        self.setEnabled(browser is not None)
        if browser is not None:
            self._rate.setValue(browser.GetPlaybackRateFps())


class qMRMLSequenceBrowserSeekWidget(QtWidgets.QWidget):
    """Index name, slider, value and unit with the margins of Slicer's."""

    def __init__(self, parent: QtWidgets.QWidget | None = None) -> None:
        super().__init__(parent)
        row = QtWidgets.QHBoxLayout(self)
        self._slider = QtWidgets.QSlider(Qt.Orientation.Horizontal)
        self._index_name, self._label, self._unit = (QtWidgets.QLabel(text) for text in ("", "", ""))
        self._label.setMinimumWidth(30)
        for widget in (self._index_name, self._slider, self._label, self._unit):
            row.addWidget(widget)
        self._browser, self._tag = None, None
        self._slider.valueChanged.connect(self._show)

    @Slot(object)
    def setMRMLScene(self, scene: slicer.vtkMRMLScene) -> None:
        pass

    @Slot(object)
    def setMRMLSequenceBrowserNode(self, browser: slicer.vtkMRMLSequenceBrowserNode | None) -> None:
        if self._tag is not None:
            self._browser.RemoveObserver(self._tag)
        self._browser = browser
        self._tag = browser.AddObserver("ModifiedEvent", lambda *_: self._update()) if browser is not None else None
        self._update()

    def _update(self) -> None:
        if not shiboken6.isValid(self):  # the panel is gone, its browser is not
            return
        browser = self._browser
        self.setEnabled(browser is not None)
        if browser is not None and browser.GetMasterSequenceNode() is not None:
            shown = browser.GetSelectedItemNumber()
            self._slider.blockSignals(True)
            self._slider.setRange(0, max(browser.GetNumberOfItems() - 1, 0))
            self._slider.setValue(shown)
            self._slider.blockSignals(False)
            sequence = browser.GetMasterSequenceNode()
            texts = (sequence.GetIndexName(), browser.GetFormattedIndexValue(shown), sequence.GetIndexUnit())
            for label, text in zip((self._index_name, self._label, self._unit), texts, strict=True):
                label.setText(text)

    def _show(self, item: int) -> None:
        self._browser.SetSelectedItemNumber(item)


class ctkCollapsibleButton(QtWidgets.QWidget):
    HEADER = 26
    contentsCollapsed = Signal(bool)

    def __init__(self, parent: QtWidgets.QWidget | None = None) -> None:
        super().__init__(parent)
        self._text, self._collapsed = "", False
        self.setContentsMargins(0, self.HEADER, 0, 0)
        self.setMinimumHeight(self.HEADER)

    def _set_text(self, text: str) -> None:
        self._text = text

    def _set_collapsed(self, collapsed: bool) -> None:
        self._collapsed = collapsed
        self._show_children()
        self.setMaximumHeight(self.HEADER if collapsed else 16777215)
        self.contentsCollapsed.emit(collapsed)

    def _show_children(self) -> None:
        for child in self.findChildren(QtWidgets.QWidget, options=Qt.FindChildOption.FindDirectChildrenOnly):
            child.setVisible(not self._collapsed)

    text = Property(str, lambda self: self._text, _set_text)
    collapsed = Property(bool, lambda self: self._collapsed, _set_collapsed)

    def showEvent(self, event: QtGui.QShowEvent) -> None:
        if self._collapsed:
            self._show_children()

    def paintEvent(self, event: QtGui.QPaintEvent) -> None:
        painter = QtGui.QPainter(self)
        option = QtWidgets.QStyleOptionButton()
        option.initFrom(self)
        option.rect = QtCore.QRect(0, 0, self.width(), self.HEADER - 3)
        self.style().drawControl(QtWidgets.QStyle.ControlElement.CE_PushButtonBevel, option, painter, self)
        painter.drawText(option.rect.adjusted(24, 0, 0, 0), Qt.AlignmentFlag.AlignVCenter, self._text)
        painter.drawText(
            option.rect.adjusted(8, 0, 0, 0), Qt.AlignmentFlag.AlignVCenter, "\u25b8" if self._collapsed else "\u25be"
        )


WIDGETS = (
    qMRMLWidget,
    qMRMLNodeComboBox,
    qSlicerSimpleMarkupsWidget,
    qSlicerMarkupsPlaceWidget,
    qMRMLSequenceBrowserPlayWidget,
    qMRMLSequenceBrowserSeekWidget,
    ctkCollapsibleButton,
)
