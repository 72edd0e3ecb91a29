"""The real network, where the other tests have a tiny one: minutes, not seconds."""

import json
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from tiny_runs import state_of

from config import ROOT

pytestmark = pytest.mark.slow


def train(prepared, folder, *words):
    command = [sys.executable, "train.py", "--dataset", "300W", "--data-dir", prepared, "--save-path", folder]
    command += ["--input-size", "64", "--batch-size", "8", "--epochs", "40", *words]
    return subprocess.Popen(list(map(str, command)), cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def finish(process):
    _, errors = process.communicate(timeout=900)
    assert process.returncode == 0, errors[-2000:]


def test_mobilenet_learns_its_faces_and_survives_a_kill(prepared_300w, tmp_path):
    finish(train(prepared_300w, tmp_path / "whole"))
    rows = json.loads(str(state_of(tmp_path / "whole")["rows"]))
    assert rows[-1]["loss"] < 2 / 3 * rows[0]["loss"]  # which is about that of the mean face, where the head starts

    killed = train(prepared_300w, tmp_path / "killed")
    log = tmp_path / "killed/log.csv"
    while killed.poll() is None and not (log.exists() and log.read_text().count("\n") > 12):
        time.sleep(0.05)
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    finish(train(prepared_300w, tmp_path / "killed", "--resume"))
    one, other = state_of(tmp_path / "whole"), state_of(tmp_path / "killed")
    for name in one.keys() - {"rows"}:
        np.testing.assert_allclose(other[name], one[name], atol=1e-5)


def test_benchmark_of_throughput(prepared_300w, raw_300w):
    command = [sys.executable, "-m", "benchmarks.training_speed", "--dataset", "300W", "--data-dir", prepared_300w]
    command += ["--raw", raw_300w, "--input-size", "32", "--batch-size", "2", "--steps", "2", "--blocks", "2"]
    command += ["--preparations", "1"]
    done = subprocess.run(list(map(str, command)), cwd=ROOT, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr[-2000:]
    pipeline = "augmented on the CPU"
    ratios = [f"{pipeline} / random arrays in memory", f"{pipeline} / eager loop, batch of 3"]
    for row in (*ratios, "peak memory of training", "preparing 300W"):
        assert row in done.stdout
