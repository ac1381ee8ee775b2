"""Which Python runs the child process, and with what environment."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import UltrasoundMotionLib
from UltrasoundMotionLib.errors import InputError


def find_python() -> str:
    """This Python; where the application itself is `sys.executable`, as it may be in 3D Slicer, the PythonSlicer beside
    it.

    Raises:
        InputError: there is none; say which with `python=`.
    """
    executable = Path(sys.executable or "")
    if executable.stem.lower().startswith(("python", "pypy")):
        return str(executable)
    name = "PythonSlicer" + (".exe" if os.name == "nt" else "")
    folders = [executable.parent]
    slicer = sys.modules.get("slicer")
    if home := getattr(getattr(slicer, "app", None), "slicerHome", None):
        folders.append(Path(home) / "bin")
    for folder in folders:
        if (folder / name).is_file():
            return str(folder / name)
    if found := shutil.which(name):
        return found
    raise InputError(f"no Python was found beside {executable} to run jobs with; give JobProcess(python=...)")


def child_environment() -> dict[str, str]:
    """The environment of this process, in which the child finds the same library and nothing of the working folder."""
    environment = dict(os.environ)
    library = str(Path(UltrasoundMotionLib.__file__).resolve().parents[1])
    others = [folder for folder in environment.get("PYTHONPATH", "").split(os.pathsep) if folder and folder != library]
    environment["PYTHONPATH"] = os.pathsep.join([library, *others])
    environment["PYTHONSAFEPATH"] = "1"
    environment["PYTHONUTF8"] = "1"
    return environment
