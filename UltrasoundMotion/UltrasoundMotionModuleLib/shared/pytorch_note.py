"""A line below a menu of trackers: what PyTorch would add where it is not installed, with a link that installs it."""

from __future__ import annotations

from collections.abc import Callable

import slicer
from slicer.i18n import tr as _

from UltrasoundMotionLib.pytorch import has_pytorch
from UltrasoundMotionModuleLib.shared.entry_menu import RegistryOf


class PyTorchNote:
    """Shows the line in a label, and hides it once PyTorch is there."""

    def __init__(self, label: object, registry: RegistryOf, install: Callable[[], None]) -> None:
        """Connects the label.

        Args:
            install: installs PyTorch, after asking.
        """
        self._label, self._registry, self._install = label, registry, install
        label.connect("linkActivated(QString)", self.onLink)
        self.update()

    def disconnect(self) -> None:
        """Disconnects from the label."""
        self._label.disconnect("linkActivated(QString)", self.onLink)

    def update(self) -> None:
        """Shows or hides the line."""
        self._label.visible = not has_pytorch()
        if self._label.visible or self._label.text:
            return
        names = [entry.name for entry in self._registry().all() if entry.needs_pytorch]
        text = _("With PyTorch there are also {names}. {link}")
        link = '<a href="install">{title}</a>'.format(title=_("Install PyTorch"))
        self._label.text = text.format(names=", ".join(names), link=link)

    def onLink(self, link: str) -> None:
        """Installs PyTorch; a refusal is shown."""
        with slicer.util.tryWithErrorDisplay(_("PyTorch could not be installed.")):
            self._install()
        self.update()
