"""README.md and Docs: every link resolves, every command parses, every message exists, and nothing is private."""

import argparse
import ast
import importlib
import re
import shlex
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import CodeType
from urllib.parse import unquote

import pytest

from UltrasoundMotionLib.cli.main import build_parser

ROOT = Path(__file__).resolve().parents[2]
TOP_PAGES = ("README.md", "CONTRIBUTING.md", "Resources/Models/README.md")
PAGES = sorted([*(ROOT / name for name in TOP_PAGES), *(ROOT / "Docs").rglob("*.md")])
FILES = [
    file.relative_to(ROOT).as_posix()
    for folder in ("UltrasoundMotion", "UltrasoundMotionLib", "Testing", "Resources")
    for file in (ROOT / folder).rglob("*.*")
]
LINK = re.compile(r"""(?:\]\(|<img\s[^>]*src=")([^)\s"]+)""")
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
PRIVATE = re.compile(r"\.\./shared|/work\b|/tmp/")  # folders of one developer's machine
PROGRAMS = ("ultrasound-motion", ".venv/bin/ultrasound-motion")


def page_id(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def anchors(page: Path) -> set[str]:
    """The anchors that GitHub makes of a page's headings."""
    headings = re.findall(r"^#+ (.+)$", FENCE.sub("", page.read_text(encoding="utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_links_and_pictures_resolve(page):
    broken = []
    for target in LINK.findall(FENCE.sub("", page.read_text(encoding="utf-8"))):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = unquote(target).partition("#")
        file = (page.parent / path).resolve() if path else page
        if not file.exists() or (anchor and anchor not in anchors(file)):
            broken.append(target)
    assert not broken


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_files_that_are_named_exist(page):
    text = page.read_text(encoding="utf-8")
    paths = re.findall(r"\b(?:Testing|Resources|UltrasoundMotion|UltrasoundMotionLib)/[\w/.-]+\.\w+", text)
    names = re.findall(r"`((?!Base/)[\w/]+\.(?:py|ui))`", text)  # Base/ is in Slicer's own sources
    absent = [path for path in paths if "NAME" not in path and not (ROOT / path).exists()]
    absent += [name for name in names if not any(f"/{file}".endswith(f"/{name}") for file in FILES)]
    assert not absent


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_nothing_is_private(page):
    assert PRIVATE.findall(page.read_text(encoding="utf-8")) == []


def commands(page: Path) -> list[list[str]]:
    """The `ultrasound-motion` lines of a page's fenced blocks as arguments, continued lines joined."""
    found = []
    for _, block in FENCE.findall(page.read_text(encoding="utf-8")):
        for line in block.replace("\\\n", " ").splitlines():
            words = shlex.split(line, comments=True)
            if words and words[0] in PROGRAMS:
                found.append(words[1:])
            elif words[:1] == ["torchrun"]:
                found.append(words[words.index("UltrasoundMotionLib") + 1 :])
    return found


@pytest.fixture(scope="module")
def parser():
    return build_parser()


@pytest.mark.parametrize("page", [page for page in PAGES if commands(page)], ids=page_id)
def test_commands_parse(page, parser, capsys):
    wrong = []
    for words in commands(page):
        try:
            parser.parse_args(words)
        except SystemExit as end:
            if end.code:
                wrong.append((" ".join(words), capsys.readouterr().err))
    assert not wrong


def options_of(parser: argparse.ArgumentParser) -> set[str]:
    """The long options of a parser and its verbs, without train and benchmark, whose --help is their reference."""
    found: set[str] = set()
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            inner = {name: sub for name, sub in action.choices.items() if name not in ("train", "benchmark")}
            found.update(*(options_of(sub) for sub in inner.values()))
        else:
            found.update(option for option in action.option_strings if option.startswith("--"))
    return found


def test_the_reference_has_every_option(parser):
    text = (ROOT / "Docs" / "reference" / "command-line.md").read_text(encoding="utf-8")
    stated = set(re.findall(r"--[a-z][a-z-]*", text))
    assert sorted(options_of(parser) - stated) == []


def python_blocks(page: Path) -> list[str]:
    return [block for kind, block in FENCE.findall(page.read_text(encoding="utf-8")) if kind == "python"]


@pytest.mark.parametrize("page", [page for page in PAGES if python_blocks(page)], ids=page_id)
def test_python_blocks_parse_and_import_what_exists(page):
    absent = []
    for block in python_blocks(page):
        for node in ast.walk(ast.parse(block)):
            if isinstance(node, ast.ImportFrom) and node.module.startswith("UltrasoundMotionLib"):
                module = importlib.import_module(node.module)
                absent += [f"{node.module}.{name.name}" for name in node.names if not hasattr(module, name.name)]
    assert not absent


def test_the_python_reference_names_what_exists():
    text = (ROOT / "Docs" / "reference" / "python.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(UltrasoundMotionLib[\w.]*)` \| (.*) \|$", text, re.MULTILINE)
    assert rows
    absent = []
    for module, names in rows:
        holder = importlib.import_module(module)
        absent += [f"{module}.{name}" for name in re.findall(r"`(\w+)`", names) if not hasattr(holder, name)]
    assert not absent


def texts_in(constants: Iterable[object]) -> Iterator[str]:
    """All strings among the constants of compiled code, and of the code and tuples in it, but for names."""
    for constant in constants:
        if isinstance(constant, str) and not constant.isidentifier():
            yield re.sub(r"\{\w*\}", "\0", constant)
        elif isinstance(constant, tuple | frozenset):
            yield from texts_in(constant)
        elif isinstance(constant, CodeType):
            yield from texts_in(constant.co_consts)


@pytest.fixture(scope="module")
def source_texts():
    """All string constants of the library and the modules, the parts of f-strings apart."""
    files = [file for folder in ("UltrasoundMotionLib", "UltrasoundMotion") for file in (ROOT / folder).rglob("*.py")]
    codes = [compile(file.read_text(encoding="utf-8"), file.name, "exec", dont_inherit=True) for file in sorted(files)]
    return "\n".join(texts_in(codes))


def documented_messages(page: Path) -> list[str]:
    """The messages in the first column of a page's tables, where a table is headed `message`."""
    found, inside = [], False
    for line in page.read_text(encoding="utf-8").splitlines():
        first = line.split("|")[1].strip() if line.startswith("|") else ""
        inside = bool(first) and (inside or first == "message")
        if inside:
            found += re.findall(r"`([^`]+)`", first)
    return found


@pytest.mark.parametrize("page", ["README.md", "Docs/reference/messages.md"])
def test_messages_exist(page, source_texts):
    messages = documented_messages(ROOT / page)
    assert messages
    missing = []
    for message in messages:
        told = message.removeprefix("note: ")
        parts = [part.strip(" :;,()") for part in re.split(r"\.\.\.|\bN%?|\bM\b|%", told)]
        missing += [(message, part) for part in parts if len(part) > 6 and part not in source_texts]
    assert not missing


def test_the_citation_file_names_this_version():
    from UltrasoundMotionLib import __version__

    text = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert text.startswith("cff-version: 1.2.0\n")
    assert f"\nversion: {__version__}\n" in text
