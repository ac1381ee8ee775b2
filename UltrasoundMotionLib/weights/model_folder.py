"""Where the shipped weights lie: in `Resources/Models` of a checkout, or where an installation has put that folder."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path

from UltrasoundMotionLib.errors import InputError

DISTRIBUTION = "ultrasound-motion"
INSTALLED_FOLDER = "share/ultrasound-motion/models"


def models_folder() -> Path:
    """The folder of the shipped models.

    A checkout, or an editable installation of one: `Resources/Models`. In Slicer: `models` beside this file, where
    CMakeLists.txt puts it. Installed by pip: `share/ultrasound-motion/models`, wherever the installation's own list of
    files says that is, or, with pip's `--target`, beside the package.

    Raises:
        InputError: none of them exists.
    """
    here = Path(__file__).resolve().parent
    checkout = here.parents[1] / "Resources" / "Models"
    for folder in (checkout, here / "models", here.parents[1] / INSTALLED_FOLDER):
        if folder.is_dir():
            return folder
    installed = _installed_by_pip()
    if installed is None:
        raise InputError(f"{checkout}: no folder of trained models; install the package again")
    return installed


def shipped_cards() -> tuple[Path, ...]:
    """Paths of the cards of all shipped models, by name; none when there is no folder of models."""
    try:
        return tuple(sorted(models_folder().glob("*.json")))
    except InputError:
        return ()


def find_card(name: str) -> Path:
    """Path of the card of a shipped model.

    Raises:
        InputError: no model of that name is shipped.
    """
    path = models_folder() / f"{name}.json"
    if not path.is_file():
        raise InputError(f"{path}: no such model card; the weights of {name} are not installed")
    return path


def _installed_by_pip() -> Path | None:
    try:
        files = metadata.files(DISTRIBUTION) or ()
    except metadata.PackageNotFoundError:
        return None
    for file in files:
        if file.as_posix().endswith(".json") and INSTALLED_FOLDER in file.as_posix():
            folder = Path(file.locate()).resolve().parent
            if folder.is_dir():
                return folder
    return None
