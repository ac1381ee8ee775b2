"""The calls of this repository into Slicer's own Python code, and the signatures that Slicer has for them.

`slicer_signatures.json` holds the parameters of each function that is called, for every supported version, with the
commits that they were read in, and what Slicer's C++ asks of a file reader in Python and offers it. After a new call,
or for a new version of Slicer, write it anew from clones of https://github.com/Slicer/Slicer and
https://github.com/fepegar/SlicerPyTorch that have the commits:

    python Testing/Python/slicer_signatures.py SLICER_CLONE PYTORCH_CLONE
"""

from __future__ import annotations

import ast
import inspect
import json
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
HELD = Path(__file__).with_suffix(".json")
FOLDERS = ("UltrasoundMotion", "UltrasoundMotionLib/mrml", "Testing/Slicer")
PAGES = ("README.md", "Docs")

SLICER, PYTORCH = "Slicer/Slicer", "fepegar/SlicerPyTorch"
PYTORCH_COMMIT = "e1c85cc0a62e92fa6c38223cd88c611906adb60e"
COMMITS = {
    "5.10": {SLICER: "a2b6d082be04274a849884fbb1e85634a9df90fb", PYTORCH: PYTORCH_COMMIT},
    "5.12": {SLICER: "9034c71a8fce68ab312458b3d7d16f610562263d", PYTORCH: PYTORCH_COMMIT},
}
"""The tags v5.10.0 and v5.12.3; the PyTorch extension is the same for both."""

BASE = "Base/Python/slicer"
SOURCES = {
    "slicer.util": (SLICER, (f"{BASE}/util.py",)),
    "slicer.i18n": (SLICER, (f"{BASE}/i18n.py",)),
    "slicer.packaging": (SLICER, (f"{BASE}/packaging.py",)),
    "slicer.ScriptedLoadableModule": (SLICER, (f"{BASE}/ScriptedLoadableModule.py",)),
    "slicer.parameterNodeWrapper": (
        SLICER,
        tuple(f"{BASE}/parameterNodeWrapper/{name}.py" for name in ("wrapper", "validators", "default")),
    ),
    "SampleData": (SLICER, ("Modules/Scripted/SampleData/SampleData.py",)),
    "PyTorchUtils": (PYTORCH, ("PyTorchUtils/PyTorchUtils.py",)),
}
"""The files that define the content of each module of Slicer's Python."""

ON_ANY_OBJECT = {
    "connectGui": "slicer.parameterNodeWrapper._connectGui",
    "disconnectGui": "slicer.parameterNodeWrapper._disconnectGui",
}
"""Methods that Slicer gives to classes of ours, and the functions that they are."""


@dataclass(frozen=True)
class Use:
    """A call of Slicer's Python, or an import from it.

    Attributes:
        place: file and line.
        name: the dotted name in Slicer.
        positional, keywords: the arguments of a call; None for a name that is only imported or referred to.
        bound: called on an instance, which is passed as the first argument too.
        guarded: in a `try` that expects a missing module, or under `hasattr`.
    """

    place: str
    name: str
    positional: int | None = None
    keywords: tuple[str, ...] = ()
    bound: bool = False
    guarded: bool = False


@cache
def uses() -> list[Use]:
    """All of them, in the modules, in what they use, and in the pages' Python examples."""
    trees = dict(_python_files())
    classes = {
        node.name: (node, tree) for tree in trees.values() for node in ast.walk(tree) if isinstance(node, ast.ClassDef)
    }
    return [use for place, tree in trees.items() for use in _Reader(place, tree, classes).read()]


def uses_in(text: str) -> list[Use]:
    """Those in a piece of code."""
    return _Reader("text", ast.parse(text), {}).read()


def held() -> dict[str, dict[str, str]]:
    """The parameters of each function for each version that has it."""
    return json.loads(HELD.read_text(encoding="utf-8"))["signatures"]


def fault(use: Use, signatures: dict[str, dict[str, str]], version: str) -> str | None:
    """Returns how a use does not fit a version of Slicer, or None where it fits."""
    parameters = signatures.get(use.name, {}).get(version)
    if parameters is None:
        return None if use.guarded else f"{use.place}: Slicer {version} has no {use.name}"
    if use.positional is None:
        return None
    static, parameters = parameters.startswith("static "), parameters.removeprefix("static ")
    count = use.positional + (use.bound and not static)
    try:
        signature_of(parameters).bind(*range(count), **dict.fromkeys(use.keywords))
    except TypeError as error:
        return f"{use.place}: {use.name}({parameters}) of Slicer {version}: {error}"
    return None


def held_reader() -> dict[str, dict[str, list[str]]]:
    """For each version, the methods that Slicer calls on a scripted file reader, and what its parent offers it."""
    return json.loads(HELD.read_text(encoding="utf-8"))["scripted_file_reader"]


def signature_of(parameters: str) -> inspect.Signature:
    """The signature with these parameters, as they stand between the parentheses of a `def`."""
    arguments = ast.parse(f"lambda {parameters}: None", mode="eval").body.args
    positional = [*arguments.posonlyargs, *arguments.args]
    optional = {one.arg for one in positional[len(positional) - len(arguments.defaults) :]} | {
        one.arg for one, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True) if default is not None
    }
    kinds = inspect.Parameter
    listed = [(one, kinds.POSITIONAL_ONLY) for one in arguments.posonlyargs]
    listed += [(one, kinds.POSITIONAL_OR_KEYWORD) for one in arguments.args]
    listed += [(arguments.vararg, kinds.VAR_POSITIONAL)] if arguments.vararg else []
    listed += [(one, kinds.KEYWORD_ONLY) for one in arguments.kwonlyargs]
    listed += [(arguments.kwarg, kinds.VAR_KEYWORD)] if arguments.kwarg else []
    return inspect.Signature(
        [kinds(one.arg, kind, default=None if one.arg in optional else kinds.empty) for one, kind in listed]
    )


# Reading our code


def _python_files() -> Iterator[tuple[str, ast.Module]]:
    for folder in FOLDERS:
        for path in sorted((ROOT / folder).rglob("*.py")):
            yield str(path.relative_to(ROOT)), ast.parse(path.read_text(encoding="utf-8"))
    for page in PAGES:
        for path in [ROOT / page] if page.endswith(".md") else sorted((ROOT / page).rglob("*.md")):
            for number, block in enumerate(re.findall(r"```python\n(.*?)```", path.read_text(encoding="utf-8"), re.S)):
                plain = re.sub(r"^(>>>|\.\.\.) ?", "", block, flags=re.M)
                yield f"{path.relative_to(ROOT)}, block {number + 1}", ast.parse(plain)


class _Reader:
    """Finds the uses in one file."""

    def __init__(self, place: str, tree: ast.Module, classes: dict[str, tuple[ast.ClassDef, ast.Module]]) -> None:
        self._place, self._classes = place, classes
        self._nodes = list(ast.walk(tree))
        self._parents = {child: node for node in self._nodes for child in ast.iter_child_nodes(node)}
        self._names: dict[str, str] = {"slicer": "slicer"}
        self._guarded_names: set[str] = set()

    def read(self) -> list[Use]:
        found = []
        for node in self._nodes:
            found += self._imports(node)
        for node in self._nodes:  # `logic = SampleData.SampleDataLogic`
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
                name = self._dotted(node.value) if isinstance(node.value, ast.Attribute) else None
                if name and _module_of(name):
                    self._names[node.targets[0].id] = name
        for node in self._nodes:
            if isinstance(node, ast.Call):
                found += self._call(node)
        return found

    def _imports(self, node: ast.AST) -> Iterator[Use]:
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name in SOURCES:
                    self._names[alias.asname or alias.name] = alias.name
        elif isinstance(node, ast.ImportFrom) and node.module in SOURCES:
            for alias in node.names:
                name = f"{node.module}.{alias.name}"
                self._names[alias.asname or alias.name] = name
                if self._guarded(node):
                    self._guarded_names.add(alias.asname or alias.name)
                yield Use(self._at(node), name, guarded=self._guarded(node))

    def _call(self, call: ast.Call) -> Iterator[Use]:
        name, bound = self._dotted(call.func), False
        if isinstance(call.func, ast.Attribute):
            owner = call.func.value
            bound = isinstance(owner, ast.Call)
            if call.func.attr in ON_ANY_OBJECT:
                name, bound = ON_ANY_OBJECT[call.func.attr], True
            elif name is None and ((isinstance(owner, ast.Name) and owner.id == "self") or _is_super(owner)):
                name, bound = self._inherited(call), True
        if name is None or not _module_of(name) or any(isinstance(one, ast.Starred) for one in call.args):
            return
        root = call.func
        while isinstance(root, ast.Attribute | ast.Call):
            root = root.value if isinstance(root, ast.Attribute) else root.func
        guarded = self._guarded(call) or (isinstance(root, ast.Name) and root.id in self._guarded_names)
        keywords = tuple(one.arg for one in call.keywords if one.arg is not None)
        yield Use(self._at(call), name, len(call.args), keywords, bound, guarded)

    def _dotted(self, node: ast.expr) -> str | None:
        """The name in Slicer that an expression stands for; a method of a new object is one of its class."""
        if isinstance(node, ast.Name):
            return self._names.get(node.id)
        if isinstance(node, ast.Call):
            name = self._dotted(node.func)
            return name if name and name.rpartition(".")[2][:1].isupper() else None
        if isinstance(node, ast.Attribute):
            owner = self._dotted(node.value)
            return f"{owner}.{node.attr}" if owner else None
        return None

    def _inherited(self, call: ast.Call) -> str | None:
        """The method of a class of Slicer's that `self.method(...)` reaches, if no class of ours defines it."""
        node = call
        while node in self._parents and not isinstance(node, ast.ClassDef):
            node = self._parents[node]
        if not isinstance(node, ast.ClassDef):
            return None
        return _find_method(node, self._names, call.func.attr, self._classes, skip_own=_is_super(call.func.value))

    def _guarded(self, node: ast.AST) -> bool:
        while node in self._parents:
            child, node = node, self._parents[node]
            if isinstance(node, ast.Try) and child in node.body:
                caught = {ast.unparse(handler.type) for handler in node.handlers if handler.type is not None}
                if caught & {"ModuleNotFoundError", "ImportError"}:
                    return True
            if isinstance(node, ast.If) and child in node.body and "hasattr(" in ast.unparse(node.test):
                return True
        return False

    def _at(self, node: ast.AST) -> str:
        return f"{self._place}:{node.lineno}"


def _is_super(node: ast.expr) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "super"


def _find_method(
    owner: ast.ClassDef,
    names: dict[str, str],
    method: str,
    classes: dict[str, tuple[ast.ClassDef, ast.Module]],
    *,
    skip_own: bool,
) -> str | None:
    if not skip_own and any(isinstance(one, ast.FunctionDef) and one.name == method for one in owner.body):
        return None
    for base in filter(None, (getattr(one, "id", None) for one in owner.bases)):
        name = names.get(base)
        if name is not None and f"{name}.{method}" in METHODS:
            return f"{name}.{method}"
        if base in classes:
            node, tree = classes[base]
            other = _Reader("", tree, classes)
            for one in ast.walk(tree):
                list(other._imports(one))
            found = _find_method(node, other._names, method, classes, skip_own=False)
            if found is not None:
                return found
    return None


def _module_of(name: str) -> str | None:
    return next((module for module in SOURCES if name.startswith(f"{module}.")), None)


METHODS = {
    f"slicer.{place}.{method}"
    for place, methods in {
        "ScriptedLoadableModule.ScriptedLoadableModule": ("resourcePath",),
        "ScriptedLoadableModule.ScriptedLoadableModuleWidget": ("resourcePath", "setup", "cleanup"),
        "ScriptedLoadableModule.ScriptedLoadableModuleLogic": ("getParameterNode", "createParameterNode"),
        "ScriptedLoadableModule.ScriptedLoadableModuleTest": ("delayDisplay", "setUp", "tearDown"),
        "util.VTKObservationMixin": ("addObserver", "removeObserver", "removeObservers", "hasObserver", "observer"),
    }.items()
    for method in (*methods, "__init__")
}
"""The methods that our classes inherit from Slicer's."""


# Reading Slicer's code


def read_signatures(names: Iterable[str], clones: dict[str, Path]) -> dict[str, dict[str, str]]:
    """Reads the parameters of functions in each version; a version that lacks one is left out."""
    found: dict[str, dict[str, str]] = {name: {} for name in sorted(names)}
    for version, commits in COMMITS.items():
        for module, (repository, files) in SOURCES.items():
            definitions: dict[str, str] = {}
            for file in files:
                show = ["git", "-C", str(clones[repository]), "show", f"{commits[repository]}:{file}"]
                shown = subprocess.run(show, capture_output=True, text=True, check=False)
                if shown.returncode == 0:
                    definitions |= _definitions(ast.parse(shown.stdout), module)
            for name in found.keys() & definitions.keys():
                found[name][version] = definitions[name]
    return found


def _definitions(tree: ast.Module, module: str) -> dict[str, str]:
    """Parameters by dotted name; of a class, those of its `__init__` with `self`."""
    found = {}
    for node in tree.body:
        if isinstance(node, ast.FunctionDef):
            found[f"{module}.{node.name}"] = _parameters(node)
        elif isinstance(node, ast.ClassDef):
            found[f"{module}.{node.name}"] = "static "  # without an `__init__` of its own
            for method in (one for one in node.body if isinstance(one, ast.FunctionDef)):
                static = any(ast.unparse(one) == "staticmethod" for one in method.decorator_list)
                found[f"{module}.{node.name}.{method.name}"] = ("static " if static else "") + _parameters(method)
                if method.name == "__init__":
                    arguments = method.args
                    arguments.args = arguments.args[1:]
                    found[f"{module}.{node.name}"] = "static " + _parameters(method)
    return found


def _parameters(function: ast.FunctionDef) -> str:
    for one in ast.walk(function.args):
        if isinstance(one, ast.arg):
            one.annotation = None
    return ast.unparse(function.args)


def read_scripted_file_reader(clone: Path) -> dict[str, dict[str, list[str]]]:
    """Reads `held_reader` in Slicer's C++."""
    found = {}
    for version, commits in COMMITS.items():
        text = {
            name: subprocess.run(
                ["git", "-C", str(clone), "show", f"{commits[SLICER]}:Base/QTCore/{name}"],
                capture_output=True,
                text=True,
                check=True,
            ).stdout
            for name in (
                "qSlicerScriptedFileReader.cxx",
                "qSlicerScriptedFileReader.h",
                "qSlicerFileReader.h",
                "qSlicerIO.h",
            )
        }
        headers = "".join(content for name, content in text.items() if name.endswith(".h"))
        found[version] = {
            "called": sorted(
                re.findall(r'declareMethod\(\s*Self::\w+, "(\w+)"\)', text["qSlicerScriptedFileReader.cxx"])
            ),
            "offered": sorted(
                {*re.findall(r"Q_INVOKABLE[^;(]*?(\w+)\(", headers), *re.findall(r"Q_PROPERTY\(\S+ (\w+)", headers)}
            ),
        }
    return found


def main(slicer_clone: str, pytorch_clone: str) -> None:
    """Writes the held signatures anew."""
    names = {use.name for use in uses()} | METHODS
    signatures = read_signatures(names, {SLICER: Path(slicer_clone), PYTORCH: Path(pytorch_clone)})
    missing = [name for name, versions in signatures.items() if not versions and name not in METHODS]
    if missing:
        raise SystemExit(f"no supported version of Slicer has {', '.join(missing)}")
    content = {
        "read_in": COMMITS,
        "scripted_file_reader": read_scripted_file_reader(Path(slicer_clone)),
        "signatures": {name: one for name, one in signatures.items() if one},
    }
    HELD.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
