"""Installation of the Python packages that a run needs, when the user presses Apply and never before."""

from __future__ import annotations

import importlib.metadata
import re
from pathlib import Path

import slicer
from slicer.i18n import tr as _

from UltrasoundMotionLib.errors import MissingPackageError
from UltrasoundMotionLib.images.readers.video import VIDEO_ENDINGS

_TORCH_REQUIREMENT = ">=2.2"
_VIDEO_REQUIREMENT = "av>=12"


def ensurePackages(requirementsPath: str | Path, requester: str) -> None:
    """Installs missing packages, after asking; quick where none is missing.

    Args:
        requirementsPath: a requirements file.
        requester: the module's title, for the question.

    Raises:
        MissingPackageError: the user declined.
    """
    missing = [line for line in _requirements(requirementsPath) if not _installed(line)]
    if missing:
        _install(missing, requester)


def ensureTorch(requirementsPath: str | Path, requester: str) -> None:
    """Installs PyTorch, which its extension chooses to fit the graphics card, and what networks need beside it, after
    asking; quick where nothing is missing.

    Args:
        requirementsPath: a requirements file of what networks need beside torch.
        requester: the module's title, for the question.

    Raises:
        MissingPackageError: the PyTorch extension is missing, or the user declined.
    """
    if not _installed("torch" + _TORCH_REQUIREMENT):
        _installTorch()
    ensurePackages(requirementsPath, requester)


def ensureReader(path: str | Path, requester: str) -> None:
    """Installs the package that reading a clip needs, after asking: videos need PyAV, other files nothing.

    Raises:
        MissingPackageError: the user declined.
    """
    if Path(path).suffix.lower() in VIDEO_ENDINGS and not _installed(_VIDEO_REQUIREMENT):
        _install([_VIDEO_REQUIREMENT], requester)


def _requirements(path: str | Path) -> list[str]:
    lines = (line.partition("#")[0].strip() for line in Path(path).read_text(encoding="utf-8").splitlines())
    return [line for line in lines if line]


def _installed(requirement: str) -> bool:
    """Compares the installed version, without importing the package: torch would be loaded into the application.

    Args:
        requirement: `name>=version`, the only kind there is in the modules' file.
    """
    name, _separator, least = requirement.partition(">=")
    try:
        return _numbers(importlib.metadata.version(name.strip())) >= _numbers(least)
    except importlib.metadata.PackageNotFoundError:
        return False


def _numbers(version: str) -> tuple[int, ...]:
    """`2.13.0+cpu` as (2, 13, 0)."""
    return tuple(int(number) for number in re.match(r"[\d.]*", version.strip()).group().split(".") if number)


def _installTorch() -> None:
    try:
        import PyTorchUtils
    except ModuleNotFoundError:
        raise MissingPackageError(
            _("PyTorch is needed: install the PyTorch extension in the Extensions Manager, restart, and try again")
        ) from None
    if (
        PyTorchUtils.PyTorchUtilsLogic().installTorch(askConfirmation=True, torchVersionRequirement=_TORCH_REQUIREMENT)
        is None
    ):
        raise MissingPackageError(_("PyTorch was not installed; press the button again to install it"))


def _install(missing: list[str], requester: str) -> None:
    try:
        from slicer.packaging import pip_ensure
    except ModuleNotFoundError:  # Slicer 5.10
        question = _("{module} needs Python packages that are not installed: {packages}. Install them now?")
        if not slicer.util.confirmOkCancelDisplay(question.format(module=requester, packages=", ".join(missing))):
            raise MissingPackageError(
                _("the packages were not installed; press the button again to install them")
            ) from None
        slicer.util.pip_install(" ".join(missing))
        return
    try:
        pip_ensure(missing, requester=requester)
    except RuntimeError as error:
        raise MissingPackageError(
            _("the packages were not installed; press the button again to install them")
        ) from error
