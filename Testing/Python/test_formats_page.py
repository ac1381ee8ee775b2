"""Docs/reference/formats.md says what the readers do."""

import warnings

import pytest

import format_rows

pytest.importorskip("PIL")


def test_the_page_is_what_the_readers_do():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        written = format_rows.page()
    assert written == format_rows.PAGE.read_text(encoding="utf-8"), "run python Testing/Python/format_rows.py"


def test_what_is_said_to_be_refused_has_no_meaning():
    """A line that says what is read is read, and one that says nothing is refused."""
    for _, rows in format_rows.TABLES:
        for row in rows:
            line = next(
                line for line in format_rows.PAGE.read_text(encoding="utf-8").splitlines()
                if line.startswith(f"| {row.name} | {row.use} |")
            )  # fmt: skip
            assert ("| read: " in line) == bool(row.meaning), line
