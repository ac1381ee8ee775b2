"""Signals of a panel's widgets, connected with the slots of one of its sections."""

from __future__ import annotations

from collections.abc import Callable


class Connections:
    """Signals that are connected together, and disconnected together."""

    def __init__(self, *connections: tuple[object, str, Callable[..., object]]) -> None:
        """Connects each (sender, signal, slot), such as `(ui.undoButton, "clicked()", self.onUndo)`."""
        self._connections = connections
        for sender, signal, slot in connections:
            sender.connect(signal, slot)

    def disconnect(self) -> None:
        """Disconnects all of them, as when the module is reloaded."""
        for sender, signal, slot in self._connections:
            sender.disconnect(signal, slot)
