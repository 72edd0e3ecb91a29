"""benchmarks/tables.py: rows as text."""

import csv
import io

from benchmarks.tables import csv_text, markdown

ROWS = [{"entry": "truth", "n": 2}, {"entry": "a, b", "kind": "open", "n": 2, "nme": 0.123456}, {"nme": None, "n": 0}]


def test_markdown_by_hand():
    assert markdown(ROWS) == (
        "| entry | kind | n | nme |\n| --- | --- | --- | --- |\n| truth |  | 2 |  |\n| a, b | open | 2 | 0.1235 |\n"
        "|  |  | 0 |  |\n"
    )
    assert markdown([]) == ""


def test_comma_separated_text_reads_back_as_it_was():
    rows = list(csv.DictReader(io.StringIO(csv_text(ROWS))))
    assert [list(row) for row in rows] == [["entry", "kind", "n", "nme"]] * 3
    assert rows[1] == {"entry": "a, b", "kind": "open", "n": "2", "nme": "0.123456"}
    assert rows[2] == {"entry": "", "kind": "", "n": "0", "nme": ""}
    assert csv_text([]).strip() == ""
