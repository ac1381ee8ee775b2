"""Tables as aligned text and as Markdown."""

from __future__ import annotations

from collections.abc import Sequence


def format_number(value: float | int | str | None, digits: int = 3) -> str:
    """Formats a table entry: floats to `digits` decimals, `-` for None; integers and text unchanged."""
    if value is None:
        return "-"
    if isinstance(value, str):
        return value
    if isinstance(value, int):
        return str(value)
    return f"{value:.{digits}f}"


def text_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Formats aligned columns, the first left-aligned, the others right-aligned."""
    widths = _column_widths(header, rows)
    lines = [header, ["-" * width for width in widths], *rows]
    return "\n".join("  ".join(_pad(line, widths)).rstrip() for line in lines)


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Formats a Markdown table; a `|` in an entry is escaped."""
    header, *rows = [[cell.replace("|", "\\|") for cell in row] for row in (header, *rows)]
    widths = _column_widths(header, rows)
    rule = ["-" * width if column == 0 else "-" * (width - 1) + ":" for column, width in enumerate(widths)]
    return "\n".join("| " + " | ".join(_pad(line, widths)) + " |" for line in (header, rule, *rows))


def _column_widths(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[int]:
    return [max(3, *(len(row[column]) for row in (header, *rows))) for column in range(len(header))]


def _pad(cells: Sequence[str], widths: Sequence[int]) -> list[str]:
    return [
        cell.ljust(width) if column == 0 else cell.rjust(width)
        for column, (cell, width) in enumerate(zip(cells, widths, strict=True))
    ]
