"""Rows of results as text: comma-separated for programs, Markdown for readers.

A row is a dictionary from columns to values. The columns are those of the longest row, then additional ones of the
others; missing values and None stay empty.
"""

import csv
import io
from collections.abc import Sequence


def csv_text(rows: Sequence[dict]) -> str:
    """Return the rows as comma-separated text, numbers in full precision."""
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=_columns(rows), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def markdown(rows: Sequence[dict]) -> str:
    """Return the rows as a Markdown table, floats with four decimals; text stays as it is."""
    columns = _columns(rows)
    cells = [[_cell(row.get(column)) for column in columns] for row in rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in (columns, ["---"] * len(columns), *cells) if columns)


def _columns(rows: Sequence[dict]) -> list[str]:
    return list(dict.fromkeys(column for row in sorted(rows, key=len, reverse=True) for column in row))


def _cell(value: object) -> str:
    if value is None:
        return ""
    return f"{value:.4f}" if isinstance(value, float) else str(value)
