"""tests/robustness/faults.py: results compare without what differs from run to run."""

import json

import keras
import numpy as np
import pytest

from face_datasets.catalogue import get_dataset
from tests.robustness.faults import check_complete, differences, read_result
from tests.robustness.tiny_network import build_tiny


def leave(root, seconds=1.0, nme=5.0, weight=0.0):
    """Files of a training, as far as results can differ."""
    (root / "run").mkdir(parents=True)
    record = {"settings": {"seed": 3}, "training": {"seconds": seconds, "command": str(root)}, "validation": nme}
    (root / "run/settings.json").write_text(json.dumps(record))
    keras.utils.clear_session()  # the names of layers are counted, and a fork counts from the same number
    model = build_tiny(None, get_dataset("300W"), 16, 0.9)
    model.set_weights([np.full_like(array, weight) for array in model.get_weights()])
    model.save(root / "run/best.keras")
    np.savez(root / "run/state.npz", rows="[]", v0=np.full(3, weight))
    (root / "run/journal.jsonl").write_text('{"a": 1}\n{"b": 2}\n{"c"')
    (root / "run/.lock").touch()
    return read_result(root)


def test_the_time_that_a_run_took_is_no_difference(tmp_path):
    one, other = leave(tmp_path / "one", seconds=1.0), leave(tmp_path / "other", seconds=2.0)
    assert set(one) == {"run/settings.json", "run/best.keras", "run/state.npz", "run/journal.jsonl"}
    assert differences(one, other) == []


def test_figures_and_weights_are_differences(tmp_path):
    right = leave(tmp_path / "right")
    assert differences(right, leave(tmp_path / "a", nme=5.1)) == ["run/settings.json"]
    assert differences(right, leave(tmp_path / "b", weight=1.0)) == ["run/best.keras", "run/state.npz"]
    (tmp_path / "b/run/state.npz").unlink()
    assert "run/state.npz" in differences(right, read_result(tmp_path / "b"))


@pytest.mark.parametrize("name", ["best.keras", "state.npz", "settings.json"])
def test_half_a_file_is_incomplete(tmp_path, name):
    leave(tmp_path)
    check_complete(tmp_path)
    data = (tmp_path / "run" / name).read_bytes()
    (tmp_path / "run" / name).write_bytes(data[: len(data) // 2])
    with pytest.raises(Exception):  # noqa: B017  whatever its reader says
        check_complete(tmp_path)
