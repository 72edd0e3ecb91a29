"""The rows of ACE-Net's Tables 1 and 2 side by side, from what test.py wrote of each on the same faces.

    python -m benchmarks.ace_net_tables results/synthetic/gt68_line results/synthetic/line results/synthetic/ace

It prints Markdown, a row for each folder.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.tables import markdown
from config import METRICS_FILE


def rows_of(folders: Sequence[Path]) -> list[dict]:
    """A row for each folder, named as it is: NME^AC in percent overall, of the parts and of the points found, and the
    shares.

    Raises:
        FileNotFoundError: a folder without an evaluation.
        ValueError: an evaluation of landmarks, a broken one, one of an older version, or evaluations of different data
            sets or numbers of faces.
    """
    rows, faces = [], {}
    for folder in folders:
        file = folder / METRICS_FILE
        if not file.is_file():
            raise FileNotFoundError(f"{folder} holds no evaluation. Received no {METRICS_FILE}; test.py --out makes it")
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
                f"{file} is no evaluation of contours, or one of an older version. Received {error!r}; test.py writes "
                "them"
            ) from error
    if len(faces) > 1:
        raise ValueError(f"evaluations of the same faces can be compared. Received {[*faces]}")
    return rows


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(description="Tables 1 and 2 of ACE-Net from evaluations.")
    parser.add_argument("results", nargs="+", type=Path, help="folders that test.py wrote")
    options = parser.parse_args(arguments)
    try:
        print(markdown(rows_of(options.results)), end="")
    except (ValueError, OSError) as error:
        print(f"benchmarks.ace_net_tables: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
