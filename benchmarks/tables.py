"""Rows of results as text: comma-separated for programs, Markdown for readers.

A row is a dictionary from columns to values. The columns are those of the fullest row, then what others have besides;
what a row lacks, or holds as None, stays empty.
"""

import csv
import io
from collections.abc import Sequence


def csv_text(rows: Sequence[dict]) -> str:
    """The rows as comma-separated text, numbers as they are."""
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=_columns(rows), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def markdown(rows: Sequence[dict]) -> str:
    """The rows as a Markdown table, floats with four decimals; values that are text already stay as they are."""
    columns = _columns(rows)
    cells = [[_cell(row.get(column)) for column in columns] for row in rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in (columns, ["---"] * len(columns), *cells) if columns)


def _columns(rows: Sequence[dict]) -> list[str]:
    return list(dict.fromkeys(column for row in sorted(rows, key=len, reverse=True) for column in row))


def _cell(value: object) -> str:
    if value is None:
        return ""
    return f"{value:.4f}" if isinstance(value, float) else str(value)
