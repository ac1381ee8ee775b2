"""A menu of the trackers or registration methods that are installed, and a parameter that holds the name of one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from UltrasoundMotionLib.pytorch import has_pytorch
from UltrasoundMotionLib.registry import Registry
from UltrasoundMotionLib.weights import user_models_folder

_RECOMMENDED = 3
"""Number of entries that a menu describes before all others."""

RegistryOf = Callable[[], Registry[Any]]
"""Gives a registry when it is asked for: to look for entries takes longer than a module may take to load."""


@dataclass(frozen=True)
class MenuItem:
    """A line of a menu.

    Attributes:
        name: value of the parameter; None for a heading, which cannot be chosen.
        title: text of the line.
        tip: its tool tip.
        why_not: the reason why it cannot be chosen; empty where it can.
    """

    name: str | None
    title: str
    tip: str
    why_not: str = ""


def _itemsOf(registry: Registry[Any]) -> list[MenuItem]:
    """A line for each entry of a registry: first what can run here, then what cannot, with the reason."""
    items = []
    for entry in registry.all():
        why_not = "" if entry.installed else _whyNotInstalled(entry)
        tip = ". ".join(part for part in (entry.summary, entry.use) if part)
        items.append(MenuItem(entry.name, entry.name, tip, why_not))
    for module, package in registry.unavailable.items():
        why_not = _("It needs the Python package {package}, which is not installed.").format(package=package)
        items.append(MenuItem(module, module, "", why_not))
    return sorted(items, key=lambda item: bool(item.why_not))


def _whyNotInstalled(entry: Any) -> str:
    """Returns the reason why an entry without PyTorch or its weights cannot run, and how to get them where that is
    known.
    """
    how = getattr(entry, "how_to_install", "")
    if not has_pytorch() and getattr(entry, "needs_pytorch", False):
        return _("It needs PyTorch, which is not installed.")
    reason = _("Its trained weights are not installed.")
    return f"{reason} {how}" if how else reason


def _whatIsInstalled() -> tuple[bool, int]:
    """Returns whether PyTorch is installed, and when weights were last added to the user's models folder or removed,
    in ns; 0 where there is none.
    """
    try:
        return has_pytorch(), user_models_folder().stat().st_mtime_ns
    except OSError:
        return has_pytorch(), 0


def _fewFirst(registry: Registry[Any], default: str) -> list[MenuItem]:
    """A line for each entry of a registry: the default one and those that are recommended, with what they are for, and
    the others below a heading.
    """
    usable = [entry for entry in registry.all() if entry.installed and (entry.name == default or entry.recommended)]
    few = sorted(usable, key=lambda entry: entry.name != default)[:_RECOMMENDED]
    items = {item.name: item for item in _itemsOf(registry)}
    described = [replace(items.pop(entry.name), title=f"{entry.name}: {entry.use}") for entry in few]
    return [*described, MenuItem(None, _("More"), ""), *items.values()]


@dataclass(frozen=True)
class EntryParameter:
    """A text parameter that holds the name of an entry.

    Attributes:
        name: of the parameter.
        registry: of the entries.
        default: the entry to use where the name is not known; empty where an empty name means something else.
    """

    name: str
    registry: RegistryOf
    default: str

    def restore(self, node: slicer.vtkMRMLScriptedModuleNode) -> str:
        """Makes the parameter of a loaded scene valid: names as they were spelled before are renamed, and a name that
        is not known here gives way to the default.

        Returns:
            A message for the user; empty where nothing was lost.
        """
        saved = node.GetParameter(self.name)
        if not saved:
            return ""
        names = [entry.name for entry in self.registry().all() if entry.installed]
        if saved in names:
            return ""
        # until version 0.1 some were saved as `INSTANCE`, or `PRESET`
        former = self.registry().present_name(saved.lower().replace("_", "-"))
        if former == "preset" or former in names:
            node.SetParameter(self.name, "" if former == "preset" else former)
            return ""
        node.SetParameter(self.name, self.default)
        text = _("The scene asks for \u201c{name}\u201d, which is not installed here; the default is used instead.")
        return text.format(name=saved)


class EntryMenu:
    """A combo box for an `EntryParameter`.

    Weights that are imported, and PyTorch where it is installed, while the application runs are seen the next time the
    menu is shown or asked.
    """

    def __init__(
        self,
        comboBox: object,
        registry: RegistryOf,
        onChosen: Callable[[str], None],
        first: Sequence[MenuItem] = (),
        *,
        default: str | None = None,
    ) -> None:
        """Fills the combo box.

        Args:
            onChosen: called with the name when the user has chosen one.
            first: lines before those of the registry.
            default: name of the entry that stands first, followed by those that its registry recommends; the others are
                below a heading. None: all as they are ranked.
        """
        self._comboBox, self._onChosen = comboBox, onChosen
        self._tip = comboBox.toolTip
        self._first, self._registry, self._default = tuple(first), registry, default
        self._updating = False
        self._fill()
        comboBox.connect("currentIndexChanged(int)", self.onIndexChanged)

    def disconnect(self) -> None:
        """Disconnects from the combo box."""
        self._comboBox.disconnect("currentIndexChanged(int)", self.onIndexChanged)

    def show(self, name: str) -> None:
        """Selects an entry; nothing is selected where there is no such entry."""
        self._refresh()
        self._updating = True
        item = self._find(name)
        self._comboBox.currentIndex = -1 if item is None else self._items.index(item)
        self._comboBox.toolTip = item.tip if item is not None and item.tip else self._tip
        self._updating = False

    def whyNot(self, name: str) -> str:
        """Returns the reason why a run with this entry is not possible, or an empty text."""
        self._refresh()
        item = self._find(name)
        if item is None:
            return _("There is no \u201c{name}\u201d here; choose another").format(name=name)
        return f"{item.name}: {item.why_not}" if item.why_not else ""

    def onIndexChanged(self, index: int) -> None:
        """Passes the user's choice on."""
        if not self._updating and index >= 0 and self._items[index].name is not None:
            self._onChosen(self._items[index].name)

    def _refresh(self) -> None:
        """Fills the menu anew where something was installed or removed, with the same entry selected."""
        if _whatIsInstalled() == self._filledAt:
            return
        current = self._comboBox.currentIndex
        name = self._items[current].name if 0 <= current < len(self._items) else None
        self._fill()
        self._updating = True
        self._comboBox.currentIndex = next((at for at, item in enumerate(self._items) if item.name == name), -1)
        self._updating = False

    def _fill(self) -> None:
        self._filledAt = _whatIsInstalled()
        registry = self._registry()
        entries = _itemsOf(registry) if self._default is None else _fewFirst(registry, self._default)
        self._items = [*self._first, *entries]
        self._updating = True
        self._comboBox.clear()
        for index, item in enumerate(self._items):
            self._comboBox.addItem(item.title)
            tip = " ".join(part for part in (item.tip, item.why_not) if part)
            self._comboBox.setItemData(index, tip, qt.Qt.ToolTipRole)
            if item.why_not or item.name is None:
                # the role of an item's flags: it is disabled
                self._comboBox.setItemData(index, 0, int(qt.Qt.UserRole) - 1)
        self._updating = False

    def _find(self, name: str) -> MenuItem | None:
        return next((item for item in self._items if item.name == name), None)
