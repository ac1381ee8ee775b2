"""The part of Landmark Tracking's panel for the layers of several observers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import qt
import slicer
from slicer.i18n import tr as _

from UltrasoundMotionLib.mrml.layouts import IMAGE_CHART_TABLE
from UltrasoundMotionLib.mrml.markups_items import setting_locked
from UltrasoundMotionLib.mrml.observer_layers import (
    DisagreementNodes,
    adding_disagreement,
    adding_layer,
    layers_on,
    observer_of,
    show_layers,
)
from UltrasoundMotionLib.mrml.sequence_nodes import SequenceNodes
from UltrasoundMotionLib.mrml.track_links import image_of
from UltrasoundMotionLib.mrml.views import show_as_acquired, show_chart, show_table
from UltrasoundMotionLib.steps import Steps
from UltrasoundMotionModuleLib.shared.connections import Connections

_SETTING = "UltrasoundMotion/Observer"


class ObserversSection:
    """Adds and chooses layers, and shows the observers' disagreement."""

    def __init__(
        self,
        panel: object,
        ui: object,
        result: Callable[[], SequenceNodes | None],
        step: Callable[[Steps, Callable[[Any], None]], None],
    ) -> None:
        """Connects the widgets.

        Args:
            panel: a `MotionModuleWidget`.
            ui: the widgets.
            result: gives the tracked landmarks, or None.
            step: runs steps on the scene a slice at a time, and then calls a function with their result.
        """
        self._panel, self._ui, self._resultNow, self._step = panel, ui, result, step
        self._layers: list[SequenceNodes] = []
        self._shown: object = None
        ui.observerEdit.text = str(slicer.app.userSettings().value(_SETTING) or "")
        self._connections = Connections(
            (ui.observerEdit, "editingFinished()", self.onNameEdited),
            (ui.addLayerButton, "clicked()", self.onAddLayer),
            (ui.layerSelector, "currentIndexChanged(int)", self.onLayerChosen),
            (ui.layersTogetherCheckBox, "toggled(bool)", self.onTogether),
            (ui.disagreementButton, "clicked()", self.onDisagreement),
            (ui.exportObserversButton, "clicked()", self.onExport),
        )

    def disconnect(self) -> None:
        """Disconnects from the panel."""
        self._connections.disconnect()

    def forget(self) -> None:
        """Releases the nodes."""
        self._layers, self._shown = [], None
        self._ui.layerSelector.clear()

    def update(self, result: SequenceNodes | None) -> None:
        """Lists the layers of the result's clip; quick where there is none that is new."""
        free = result is not None and self._panel.run is None
        self._ui.addLayerButton.enabled = free
        scene = slicer.mrmlScene
        key = result and (result.sequence.GetID(), scene.GetNumberOfNodesByClass("vtkMRMLMarkupsFiducialNode"))
        if key == self._shown:
            return
        self._shown = key
        self._layers = layers_on(image_of(result)) if result is not None else []
        selector = self._ui.layerSelector
        blocked = selector.blockSignals(True)
        selector.clear()
        for layer in self._layers:
            selector.addItem(observer_of(layer) or layer.proxy.GetName())
        for index, layer in enumerate(self._layers):
            if layer.sequence is result.sequence:
                selector.setCurrentIndex(index)
        selector.blockSignals(blocked)
        several = len(self._layers) > 1
        named = sum(bool(observer_of(layer)) for layer in self._layers)
        selector.enabled = self._ui.layersTogetherCheckBox.enabled = several
        self._ui.disagreementButton.enabled = named > 1
        self._ui.exportObserversButton.enabled = named > 0
        if several:
            self.onTogether(self._ui.layersTogetherCheckBox.checked)

    def onNameEdited(self) -> None:
        """Keeps the observer's name in Slicer's settings, which are no part of a scene."""
        slicer.app.userSettings().setValue(_SETTING, self._ui.observerEdit.text)

    def onAddLayer(self) -> None:
        """Makes a layer of the observer, a copy of the result that is chosen."""
        result = self._resultNow()
        if result is None:
            return
        name = " ".join(self._ui.observerEdit.text.split())
        editor = self._panel.logic.editor(result.proxy)
        self._step(adding_layer(result, editor.sequence, name), lambda layer: self._onLayerAdded(layer, name))

    def _onLayerAdded(self, layer: SequenceNodes, name: str) -> None:
        self._shown = None
        self._choose(layer)
        self._panel.applyButton.showStatus(
            _("{layer} is {observer}'s layer; corrections now go there").format(
                layer=layer.proxy.GetName(), observer=name
            )
        )

    def onLayerChosen(self, index: int) -> None:
        """Makes another layer the one to work on."""
        if 0 <= index < len(self._layers) and self._panel.run is None:
            self._choose(self._layers[index])

    def _choose(self, layer: SequenceNodes) -> None:
        """Makes a layer the one to work on; the one before is locked, so that it is not dragged by mistake."""
        before = self._resultNow()
        self._panel.parameters.trackedLandmarks = layer.proxy
        if before is not None and before.sequence is not layer.sequence and not before.proxy.GetLocked():
            self._step(setting_locked(before, True), lambda nothing: None)

    def onTogether(self, on: bool) -> None:
        """Shows all layers in different colours, or only the one that is worked on."""
        result = self._resultNow()
        if result is not None and len(self._layers) > 1:
            show_layers(image_of(result), result, together=on)

    def onDisagreement(self) -> None:
        """Makes the tables and the chart of the observers' disagreement and shows them."""
        result = self._resultNow()
        if result is None:
            return
        editor = self._panel.logic.editor(result.proxy)
        self._step(adding_disagreement(image_of(result), editor.sequence), self._onDisagreementAdded)

    def _onDisagreementAdded(self, nodes: DisagreementNodes) -> None:
        image, found = image_of(self._resultNow()), nodes.found
        self._panel.layouts.show(IMAGE_CHART_TABLE, lambda: _arrange(image, nodes))
        self._panel.applyButton.showStatus(
            _("{observers}: {mean} {unit} apart on average, limits of agreement in the table").format(
                observers=", ".join(found.observers),
                mean=f"{np.nanmean(found.distance):.2f}",
                unit=found.unit,
            )
        )

    def onExport(self) -> None:
        """Asks for a file and writes the tracks of all observers into it."""
        result = self._resultNow()
        widget = self._panel.uiWidget
        path = qt.QFileDialog.getSaveFileName(widget, _("Export observers"), "observers.csv", _("Tables (*.csv)"))
        if path and result is not None:
            with slicer.util.tryWithErrorDisplay(_("The tracks could not be exported."), waitCursor=True):
                self._panel.logic.exportObservers(image_of(result).proxy, path)
                self._panel.applyButton.showStatus(_("Wrote {path}").format(path=path))


def _arrange(image: SequenceNodes, nodes: DisagreementNodes) -> None:
    """Shows the clip with chart and summary of the disagreement beside it, as far as they are in the scene still."""
    if image.proxy.GetScene() is not None:
        show_as_acquired(slicer.mrmlScene, image.proxy)
    if nodes.chart.GetScene() is not None:
        show_chart(slicer.mrmlScene, nodes.chart)
    if nodes.summary.GetScene() is not None:
        show_table(slicer.mrmlScene, nodes.summary)
