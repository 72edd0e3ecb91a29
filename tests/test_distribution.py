"""One training on several devices and workers: the same loss curve as on one, and a lost worker costs an epoch."""

import json
import os
import socket
import subprocess
import sys
import time

import keras
import numpy as np
import pytest

import data_helper
from config import CROPS, ROOT
from face_datasets.face_dataset import load_faces
from methods import encode_regression
from training.batches import AugmentedBatches, CPUAugmentation, Shuffled
from training.distribution import get_distribution
from training.multi_worker import is_chief
from training.recipes import RECIPES

pytestmark = pytest.mark.integration

LIMIT = 3000  # seconds after which something hangs, however busy the machine is

# train.py's own command line with a tiny network, on `devices` virtual processors; no dropout, whose masks differ.
# Adam's epsilon is as large as gradients: an update then shows their scale, and none hangs on how a sum was rounded.
START = """
import dataclasses, sys
sys.path[:0] = ['.']
import keras, train
from training import recipes
from tests.robustness import tiny_network
recipes.RECIPES['faces'] = dataclasses.replace(recipes.RECIPES['faces'], epsilon=1e-3)
devices, words = int(sys.argv[1]), sys.argv[2:]
if devices > 1 and keras.backend.backend() == 'tensorflow':
    import tensorflow as tf
    processor = tf.config.list_physical_devices('CPU')[0]
    tf.config.set_logical_device_configuration(processor, [tf.config.LogicalDeviceConfiguration()] * devices)
tiny_network.install()
keras.layers.Dropout.call = lambda self, inputs, training=False: inputs
sys.exit(train.main(words))
"""


def start(prepared, folder, *words, devices=1, environment=(), epochs=5):
    words = ["--dataset", "300W", "--data-dir", prepared, "--save-path", folder, "--method", "acr", *words]
    words += ["--input-size", 32, "--batch-size", 8, "--seed", 3, "--epochs", epochs]
    flags = f"--xla_force_host_platform_device_count={devices}"
    variables = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "XLA_FLAGS": flags, **dict(environment)}
    command = [sys.executable, "-c", START, str(devices), *map(str, words)]
    with open(f"{folder}_{time.monotonic_ns()}.txt", "w") as printed:
        return subprocess.Popen(command, cwd=ROOT, env=variables, stdout=printed, stderr=subprocess.STDOUT)


def output(folder):
    return "".join(path.read_text()[-3000:] for path in folder.parent.glob(f"{folder.name}_*.txt"))


def finished(process, folder):
    return process.wait(LIMIT) == 0 or pytest.fail(output(folder))


def curve(folder):
    """Loss, validation NME and percentage of every epoch, (epochs, 3)."""
    with np.load(folder / "state.npz", allow_pickle=False) as file:
        return np.array([[row["loss"], row["val_nme"], row["percentage"]] for row in json.loads(str(file["rows"]))])


def cluster(index, ports):
    workers = [f"localhost:{port}" for port in ports]
    return {"TF_CONFIG": json.dumps({"cluster": {"worker": workers}, "task": {"type": "worker", "index": index}})}


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("localhost", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def test_the_shards_of_a_batch_are_the_batch(prepared_300w):
    faces = load_faces(prepared_300w, "300W", "train", 48)
    recipe, order = RECIPES["faces"], Shuffled(len(faces), 1)
    augment = CPUAugmentation(recipe.input_size)
    batches = AugmentedBatches(faces, order, augment, CROPS["square"], recipe, encode_regression, seed=1)
    for ranks in (2, 4):
        shards = [batches.shard(3, rank, ranks) for rank in range(ranks)]
        for array, parts in zip(batches[3], zip(*shards, strict=True), strict=True):
            np.testing.assert_array_equal(array, np.concatenate(parts))


@pytest.fixture(scope="module")
def streamed_300w(raw_300w, tmp_path_factory):
    """A data root with the tiny 300W as records beside the rest."""
    data_dir = tmp_path_factory.mktemp("streamed")
    data_helper.prepare("300W", raw_300w, data_dir, workers=1, records=0)
    return data_dir


@pytest.mark.parametrize(
    "words",
    [
        [],
        pytest.param(["--augment-on", "gpu"], marks=pytest.mark.slow),
        pytest.param(["--stream"], marks=pytest.mark.slow),
    ],
    ids=["cpu", "gpu", "stream"],
)
def test_two_devices_give_the_loss_curve_of_one(words, prepared_300w, request, tmp_path):
    data = prepared_300w
    if "--stream" in words:
        pytest.importorskip("array_record")
        data = request.getfixturevalue("streamed_300w")
    one = start(data, tmp_path / "one", *words, "--distribute", "none")
    two = start(data, tmp_path / "two", *words, "--distribute", "data_parallel", devices=2)
    assert finished(one, tmp_path / "one") and finished(two, tmp_path / "two")
    np.testing.assert_allclose(curve(tmp_path / "two"), curve(tmp_path / "one"), rtol=1e-4)


def test_two_devices_of_jax_give_the_loss_curve_of_one(prepared_300w, tmp_path):
    pytest.importorskip("jax")
    jax = {"KERAS_BACKEND": "jax"}.items()
    one = start(prepared_300w, tmp_path / "one", "--distribute", "none", environment=jax)
    two = start(prepared_300w, tmp_path / "two", "--distribute", "data_parallel", devices=2, environment=jax)
    assert finished(one, tmp_path / "one") and finished(two, tmp_path / "two")
    np.testing.assert_allclose(curve(tmp_path / "two"), curve(tmp_path / "one"), rtol=1e-4)


@pytest.mark.slow
def test_a_worker_is_killed_and_started_again(prepared_300w, tmp_path):
    """Two workers; one is killed in mid-run. It alone is started again, and the run ends as if nothing had been."""
    right, run = tmp_path / "right", tmp_path / "run"
    one = start(prepared_300w, right, "--distribute", "none", epochs=8)
    assert finished(one, right)
    ports = free_ports(2)
    workers = [start(prepared_300w, run, environment=cluster(index, ports).items(), epochs=8) for index in range(2)]
    until = time.monotonic() + LIMIT
    while not (run / "log.csv").is_file() and time.monotonic() < until:
        time.sleep(0.005)
    workers[1].kill()
    workers[1].wait()
    done = len(curve(run))
    assert 1 <= done < 8, "the run ended before a worker could be killed"
    again = start(prepared_300w, run, environment=cluster(1, ports).items(), epochs=8)
    assert finished(workers[0], run) and finished(again, run)
    np.testing.assert_allclose(curve(run), curve(right), rtol=1e-4)
    assert len(list(run.glob("*.keras"))) == 2


@pytest.mark.slow
def test_workers_that_do_not_share_the_folder_of_the_run(prepared_300w, tmp_path):
    """One goes on with its run, the other sees none: neither trains on."""
    one = start(prepared_300w, tmp_path / "a", epochs=1)
    assert finished(one, tmp_path / "a")
    before = (tmp_path / "a/state.npz").read_bytes()
    settings = json.loads((tmp_path / "a/settings.json").read_text())
    ports = free_ports(2)
    folders = [tmp_path / "a", tmp_path / "b"]
    words = ["--resume"]
    workers = [
        start(prepared_300w, folder, *words, environment=cluster(index, ports).items(), epochs=1)
        for index, folder in enumerate(folders)
    ]
    for worker, folder in zip(workers, folders, strict=True):
        assert worker.wait(LIMIT) == 1
        assert "Received 0 and 1 finished epochs" in output(folder)
    assert (tmp_path / "a/state.npz").read_bytes() == before
    assert json.loads((tmp_path / "a/settings.json").read_text()) == settings


def test_the_chief_is_known_before_a_distribution_is_made(monkeypatch):
    assert is_chief()
    for index in range(2):
        monkeypatch.setenv("TF_CONFIG", cluster(index, (1, 2))["TF_CONFIG"])
        assert is_chief() == (index == 0 or keras.backend.backend() != "tensorflow")


def test_what_cannot_be_spread(monkeypatch):
    with pytest.raises(ValueError, match="unknown distribution. Received 'wide'; known: auto, none, data_parallel"):
        get_distribution("wide")
    assert get_distribution("auto").replicas == 1
    monkeypatch.setenv("TF_CONFIG", "[")
    with pytest.raises(ValueError, match="TF_CONFIG describes no cluster"):
        get_distribution("auto")


def test_a_batch_that_cannot_be_cut(monkeypatch):
    distribution = get_distribution("none")
    distribution.replicas = 3
    with pytest.raises(ValueError, match="3 devices. Received 32; --batch-size 33"):
        distribution.check_batch_size(32)
