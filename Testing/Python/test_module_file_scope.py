"""What importing a module runs, as the Extensions Index asks: light packages only, no code of its own, no installation,
no network, no dialog.

The files that a module reaches by the imports at file scope are found in their sources.
"""

import ast
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from slicer_stand_ins import MODULE_FOLDER, module_names

ROOT = Path(__file__).resolve().parents[2]
RULES = json.loads(Path(__file__).with_name("extensions_index.json").read_text(encoding="utf-8"))
OF_SLICER = {"slicer": ("qt", "ctk", "SampleData"), "vtk": ("vtkmodules",)}
ALLOWED = {name for package in RULES["file_scope_packages"] for name in (package, *OF_SLICER.get(package, ()))}
INSTALLERS = {"pip_install", "pip_ensure", "pip_uninstall", "installTorch"}
NETWORK = {"urllib.request", "http", "requests", "socket", "ftplib", "smtplib", "socketserver", "ssl", "xmlrpc"}
ASKING = {"exec", "exec_", "confirmOkCancelDisplay", "confirmYesNoDisplay", "infoDisplay", "warningDisplay"}
AT_START = ("__init__", "setup", "setupPanel", "enter")
"""Methods that run when Slicer starts or a user opens a module, without a button having been pressed."""


def _sources() -> dict[str, Path]:
    """The files of the modules and of the library that is installed in Slicer, by the name they are imported under."""
    found = {}
    for base, pattern in ((MODULE_FOLDER, "**/*.py"), (ROOT, "UltrasoundMotionLib/**/*.py")):
        for file in base.glob(pattern):
            name = ".".join(file.relative_to(base).with_suffix("").parts).removesuffix(".__init__")
            if not name.startswith("UltrasoundMotionLib.lab"):
                found[name] = file
    return found


@pytest.fixture(scope="module")
def trees():
    return {name: ast.parse(file.read_text(encoding="utf-8")) for name, file in _sources().items()}


@pytest.fixture(scope="module")
def nodes_of(trees):
    """Every node of each file's tree, walked once."""
    return {name: list(ast.walk(tree)) for name, tree in trees.items()}


def at_file_scope(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """The statements that an import runs, those of classes and branches among them; not what types alone need."""
    for statement in body:
        if isinstance(statement, ast.If) and ast.unparse(statement.test) == "TYPE_CHECKING":
            yield from at_file_scope(statement.orelse)
        elif isinstance(statement, ast.If | ast.Try | ast.With | ast.ClassDef | ast.For | ast.While):
            for part in ("body", "orelse", "finalbody"):
                yield from at_file_scope(getattr(statement, part, []))
            for handler in getattr(statement, "handlers", []):
                yield from at_file_scope(handler.body)
            if not isinstance(statement, ast.ClassDef):
                yield statement
        else:
            yield statement


def imported_by(statement: ast.stmt, within: str) -> list[str]:
    """The names that an import asks for, `package.member` among them, absolute."""
    if isinstance(statement, ast.Import):
        return [alias.name for alias in statement.names]
    if isinstance(statement, ast.ImportFrom):
        assert statement.level == 0, f"{within} imports relatively"
        return [statement.module, *(f"{statement.module}.{alias.name}" for alias in statement.names)]
    return []


def reached(name: str, trees: dict[str, ast.Module]) -> set[str]:
    """Our own files that importing one of them runs."""
    found, ahead = set(), [name]
    while ahead:
        one = ahead.pop()
        if one in found:
            continue
        found.add(one)
        for statement in at_file_scope(trees[one].body):
            for target in imported_by(statement, one):
                parts = target.split(".")
                ahead += [part for k in range(len(parts)) if (part := ".".join(parts[: k + 1])) in trees]
    return found


@pytest.fixture(scope="module")
def reached_by_all(trees):
    return {one for name in module_names() for one in reached(name, trees)}


def test_the_walk_finds_what_it_should(reached_by_all):
    wanted = {"UltrasoundMotionModuleLib.shared.module_widget", "UltrasoundMotionLib.jobs", "UltrasoundMotionLib"}
    assert wanted <= reached_by_all
    code = "try:\n    import a\nexcept ImportError:\n    import b\nclass C:\n    import c\ndef f():\n    import d\n"
    assert [imported_by(one, "") for one in at_file_scope(ast.parse(code).body)][:3] == [["a"], ["b"], []]
    guarded = "if TYPE_CHECKING:\n    import torch\nelse:\n    import numpy\n"
    assert [imported_by(one, "") for one in at_file_scope(ast.parse(guarded).body)] == [["numpy"]]


@pytest.mark.parametrize("name", module_names())
def test_only_light_packages_at_file_scope(name, trees):
    heavy = [
        f"{one} imports {target}"
        for one in reached(name, trees)
        for statement in at_file_scope(trees[one].body)
        for target in imported_by(statement, one)[:1]
        if target.split(".")[0] not in {*ALLOWED, *sys.stdlib_module_names} and target not in trees
    ]
    assert heavy == []


def test_no_code_runs_at_file_scope(trees, reached_by_all):
    """Definitions, constants and imports only; of the exceptions two make the library and slicer importable, one names
    what is removed when the process is ended.
    """
    quiet = (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Assign, ast.AnnAssign)
    found = set()
    for name in reached_by_all:
        for statement in trees[name].body:
            is_text = isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
            is_definition = isinstance(statement, ast.If) and all(
                isinstance(one, quiet) for one in (*statement.body, *statement.orelse)
            )
            if not isinstance(statement, quiet) and not is_text and not is_definition:
                found.add(name)
    assert found == {"UltrasoundMotionModuleLib", "UltrasoundMotionLib.mrml", "UltrasoundMotionLib.atomic_output"}


def names_in(nodes: list[ast.AST]) -> set[str]:
    return {node.id if isinstance(node, ast.Name) else getattr(node, "attr", "") for node in nodes}


def calls_at_start(nodes: list[ast.AST]) -> set[str]:
    """The names that are called at file scope and in the methods of `AT_START`, not in what they only connect.

    Args:
        nodes: of a file, the module first.
    """
    ahead = [nodes[0], *(one for one in nodes if isinstance(one, ast.FunctionDef) and one.name in AT_START)]
    called = set()
    while ahead:
        node = ahead.pop()
        if isinstance(node, ast.Call):
            called.add(node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", ""))
        later = (ast.FunctionDef, ast.Lambda)
        ahead += [child for child in ast.iter_child_nodes(node) if not isinstance(child, later)]
    return called


def test_calls_at_start_are_found():
    method = "    def setup(self):\n        a.b()\n        connect(lambda: c())\n"
    code = f"f()\nclass A:\n{method}    def on(self):\n        d()"
    assert calls_at_start(list(ast.walk(ast.parse(code)))) == {"f", "b", "connect"}


def test_nothing_is_installed_or_asked_before_a_button_is_pressed(nodes_of):
    installing = {name for name, nodes in nodes_of.items() if names_in(nodes) & INSTALLERS}
    assert installing == {"UltrasoundMotionModuleLib.shared.required_packages"}
    forbidden = {*INSTALLERS, *ASKING, "ensurePackages", "ensureTorch", "ensureReader", "addTorch"}
    assert [(name, found) for name, nodes in nodes_of.items() if (found := calls_at_start(nodes) & forbidden)] == []


LIVE = {f"UltrasoundMotionLib.live.{name}" for name in ("connection", "server", "source")}
"""Files that talk to a scanner at the address that the user gives, and to programs on this computer."""


def test_nothing_uses_the_network(nodes_of):
    """Neither modules nor library download or send anything, but for live tracking's messages; packages come through
    Slicer's own installers.
    """
    assert set(nodes_of) >= LIVE
    for name, nodes in nodes_of.items():
        for node in nodes:
            if isinstance(node, ast.Import | ast.ImportFrom):
                for target in imported_by(node, name)[: 1 if isinstance(node, ast.ImportFrom) else None]:
                    used = {target, target.split(".")[0]} & NETWORK
                    assert used <= ({"socket"} if name in LIVE else set()), f"{name} imports {target}"
        assert not names_in(nodes) & {"downloadFile", "downloadFromURL", "urlopen", "QNetworkAccessManager"}, name
