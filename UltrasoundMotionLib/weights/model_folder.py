"""The folders of trained weights: those that are shipped, and those that the user trained or imported."""

from __future__ import annotations

import os
from pathlib import Path

from UltrasoundMotionLib.errors import InputError

DISTRIBUTION = "ultrasound-motion"
INSTALLED_FOLDER = "share/ultrasound-motion/models"
USER_FOLDER_VARIABLE = "ULTRASOUND_MOTION_MODELS"


def models_folder() -> Path:
    """Returns the folder of the shipped models.

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


def user_models_folder() -> Path:
    """Returns the folder of imported weights, which need not exist: `ULTRASOUND_MOTION_MODELS`, or
    `.ultrasound-motion/models` in the home folder.
    """
    given = os.environ.get(USER_FOLDER_VARIABLE)
    return Path(given) if given else Path.home() / ".ultrasound-motion" / "models"


def shipped_cards() -> tuple[Path, ...]:
    """Paths of the cards of all shipped models, by name; none when there is no folder of models."""
    try:
        return tuple(sorted(models_folder().glob("*.json")))
    except InputError:
        return ()


def installed_cards() -> tuple[Path, ...]:
    """Paths of the cards of all models that can be used by name: shipped ones, then imported ones."""
    shipped = shipped_cards()
    taken = {path.stem for path in shipped}
    imported = sorted(user_models_folder().glob("*.json")) if user_models_folder().is_dir() else []
    return (*shipped, *(path for path in imported if path.stem not in taken))


def find_card(weights: str | Path) -> Path:
    """Returns the path of the card of some weights.

    Args:
        weights: the name of installed weights, or the path of a card (.json) or of weights (.safetensors) beside it.

    Raises:
        InputError: there are none of that name, no such file, or no card beside it.
    """
    path = Path(weights)
    if path.suffix == ".json":
        if not path.is_file():
            raise InputError(f"{path}: no such model card")
        return path
    if path.suffix == ".safetensors":
        card = path.with_suffix(".json")
        if not path.is_file():
            raise InputError(f"{path}: no such file of weights")
        if not card.is_file():
            raise InputError(
                f"{path}: has no card {card.name} beside it; `ultrasound-motion models import "
                f"{path} --as NAME` makes one"
            )
        return card
    if path.suffix or len(path.parts) > 1:
        raise InputError(f"{path}: weights are a .safetensors file, its card (.json) or a name of `models list`")
    for card in installed_cards():
        if card.stem == str(weights):
            return card
    raise InputError(f"{weights}: no weights of that name are installed; `ultrasound-motion models list` names them")


def _installed_by_pip() -> Path | None:
    from importlib import metadata  # it takes long to import, and a checkout and Slicer do without

    try:
        files = metadata.files(DISTRIBUTION) or ()
    except metadata.PackageNotFoundError:
        return None
    for file in files:
        if file.as_posix().endswith(".json") and INSTALLED_FOLDER in file.as_posix():
            folder = Path(str(file.locate())).resolve().parent
            if folder.is_dir():
                return folder
    return None
