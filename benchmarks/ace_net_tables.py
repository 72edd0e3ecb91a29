"""Rows of ACE-Net's Tables 1 and 2 from evaluations of test.py on the same faces.

    python -m benchmarks.ace_net_tables results/synthetic/gt68_line results/synthetic/line results/synthetic/ace

prints Markdown, a row for each folder.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.tables import markdown
from config import METRICS_FILE
from utils import cli


def make_rows(folders: Sequence[Path]) -> list[dict]:
    """Return a row for each folder: NME^AC in percent overall, of the parts and of the found points, and fractions.

    Args:
        folders: output folders of test.py; their names are the names of the rows.

    Raises:
        FileNotFoundError: a folder without an evaluation.
        ValueError: an evaluation of landmarks, a broken one, or evaluations of different data sets or numbers of faces.
    """
    rows, faces = [], {}
    for folder in folders:
        file = folder / METRICS_FILE
        if not file.is_file():
            raise FileNotFoundError(f"{folder} has no {METRICS_FILE}; test.py --out writes it")
        try:
            metrics = json.loads(file.read_text(encoding="utf-8"))
            metric = metrics.get("metric", "NME")
            if metric != "NME^AC":
                raise ValueError(f"the metric {metric}")
            full, parts = metrics["subsets"]["full"], metrics["parts"]
            faces[metrics["dataset"], full["n"]] = file
            row = {"row": folder.name, "NME^AC %": f"{full['nme']:.2f}"}
            row |= {part: f"{error:.2f}" for part, error in parts.items()}
            row |= {"AUC@6": full["auc@6"], "<= 1.25 %": full["share@1.25"], "missing": full["missing"]}
            found = full["nme_found"]
            rows.append(row | {"of those found %": None if found is None else f"{found:.2f}"})
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(
                f"{file} is not an evaluation of contours. Received {error!r}; test.py writes them"
            ) from error
    if len(faces) > 1:
        raise ValueError(f"only evaluations of the same faces can be compared. Received {[*faces]}")
    return rows


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit status."""
    parser = argparse.ArgumentParser(description="Print Tables 1 and 2 of ACE-Net from evaluations.")
    parser.add_argument("results", nargs="+", type=Path, help="output folders of test.py")
    options = parser.parse_args(arguments)
    return cli.run(lambda: print(markdown(make_rows(options.results)), end=""), "ace_net_tables")


if __name__ == "__main__":
    sys.exit(main())
