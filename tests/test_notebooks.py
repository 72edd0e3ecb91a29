"""The notebooks run from the first cell to the last, on a tiny data set."""

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

pytestmark = pytest.mark.integration

NOTEBOOKS = Path(__file__).parent.parent / "notebooks"


@pytest.mark.filterwarnings("ignore")
def test_acr_loss_notebook(prepared_300w, tmp_path):
    notebook = nbformat.read(NOTEBOOKS / "acr_loss.ipynb", as_version=4)
    (parameters,) = (cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", ()))
    parameters.source = f"""
from config import DatasetName

DATASET = DatasetName.w300
DATA_DIR = {str(prepared_300w)!r}
SAVE_PATH = {str(tmp_path / "run")!r}
PICTURE = {str(tmp_path / "picture.png")!r}
FACE = 0
EPOCHS = 1
INPUT_SIZE = 32
"""
    NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(NOTEBOOKS)}}).execute()
    printed = "".join(output.get("text", "") for cell in notebook.cells for output in cell.get("outputs", ()))
    assert "inter-ocular" in printed and "challenging" in printed
    for name in ("picture.png", "run/best.keras", "run/metrics.json", "run/ced.png", "run/worst.png"):
        assert (tmp_path / name).is_file()


@pytest.mark.filterwarnings("ignore")
def test_your_picture_notebook(weights):
    notebook = nbformat.read(NOTEBOOKS / "your_picture.ipynb", as_version=4)
    (parameters,) = (cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", ()))
    parameters.source = f"WEIGHTS = {str(weights)!r}\nPICTURE = None"
    NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(NOTEBOOKS)}}).execute()
    printed = "".join(output.get("text", "") for cell in notebook.cells for output in cell.get("outputs", ()))
    assert "68 landmarks" in printed and "occluded" in printed
