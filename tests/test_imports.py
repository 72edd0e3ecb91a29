"""The import rule, and the use of the scripts from another folder."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

from config import ROOT

LINES = (  # a unit imports only from the lines above its own
    ("config.py",),
    ("image_utility.py", "utils", "losses", "synthetic_faces"),
    ("networks", "face_datasets"),
    ("cnn_model.py", "pca_utility.py", "metrics.py"),
    ("acr_loss.py", "pixelwise", "ace_net", "training"),
    ("methods.py", "data_helper.py"),
    ("inference",),
    ("evaluation", "predict.py"),
    ("test.py", "export.py"),
    ("train.py",),
    ("benchmarks",),
    ("tests",),
)
LINE = {unit: number for number, line in enumerate(LINES) for unit in line}


def unit_of(path: Path) -> str:
    return path.relative_to(ROOT).parts[0]


def sources() -> list[Path]:
    return [path for unit in LINE for path in ([ROOT / unit] if unit.endswith(".py") else (ROOT / unit).rglob("*.py"))]


def imported(node: ast.AST):
    """Modules that a tree imports, those under `if TYPE_CHECKING:` left out."""
    if isinstance(node, ast.If) and getattr(node.test, "id", None) == "TYPE_CHECKING":
        return
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    if isinstance(node, ast.ImportFrom):
        yield node.module
    for child in ast.iter_child_nodes(node):
        yield from imported(child)


def test_every_module_at_the_root_has_its_line():
    assert {path.name for path in ROOT.glob("*.py")} == {unit for unit in LINE if unit.endswith(".py")}


@pytest.mark.parametrize("path", sources(), ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_imports_from_the_lines_above(path):
    own = unit_of(path)
    for name in imported(ast.parse(path.read_text(encoding="utf-8"))):
        other = name.partition(".")[0]
        other = other if other in LINE else f"{other}.py"
        if other in LINE and other != own:
            assert LINE[other] < LINE[own], f"{path.relative_to(ROOT)} imports {name}"


CALLS = """
import test, train
from config import DatasetName, ModelArch
from pca_utility import PCAUtility
from predict import Predictor
from test import Test
from train import Train
Predictor()
assert callable(PCAUtility().create_pca_from_npy) and callable(Test().test_model) and callable(Train)
"""


@pytest.mark.integration
@pytest.mark.parametrize("command", [["-c", CALLS], [str(ROOT / "predict.py"), "--help"]])
def test_the_scripts_work_from_another_folder(command, tmp_path):
    environment = os.environ | {"PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run([sys.executable, *command], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
