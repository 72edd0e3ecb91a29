"""Training runs of a tiny network: their files, resuming, and errors."""

import dataclasses
import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import types

import keras
import numpy as np
import pytest
from tiny_runs import run_of, state_of

import methods
import train
from config import CROPS, ROOT, DatasetName, ModelArch
from data_helper import prepare
from evaluation.evaluator import predict_faces
from face_datasets.catalogue import get_dataset
from face_datasets.face_dataset import load_faces
from face_datasets.normalisers import normaliser_distance
from image_utility import to_targets
from metrics import nme
from networks.weights import get_settings, load_model
from pca_utility import PCAUtility
from tests.robustness.tiny_network import build_tiny
from training.callbacks import log_csv
from training.checkpoint import EMAWeights, TrainingState
from training.initialisation import no_init
from utils.files import folder_lock

pytestmark = pytest.mark.integration

W300 = get_dataset("300W")


def command_line(prepared, folder, *words):
    words = ["--dataset", "300W", "--data-dir", prepared, "--save-path", folder, *words]
    return list(map(str, ["--input-size", 32, "--batch-size", 2, "--seed", 3, "--epochs", 4, *words]))


def start(prepared, folder, *words):
    """train.py's own command line, with the tiny network, in a process of its own."""
    code = "import sys; sys.path[:0] = ['.']; import train; from tests.robustness import tiny_network; "
    code += "tiny_network.install(); sys.exit(train.main())"
    command = [sys.executable, "-c", code, *command_line(prepared, folder, *words)]
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    return subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


@pytest.mark.parametrize("method", ["acr", "l2"])
def test_a_run_leaves_everything_behind(tiny, prepared_300w, tmp_path, method):
    validation = run_of(prepared_300w, tmp_path / "run", method=method).train(weight_path=None)
    files = {path.name for path in (tmp_path / "run").iterdir()} - {".lock", "tensorboard"}
    assert files == {
        "best.keras",
        "last.keras",
        "settings.json",
        "log.csv",
        "curves.png",
        "snapshots.json",
        "state.npz",
    }
    content = json.loads((tmp_path / "run/settings.json").read_text())
    assert content["validation"] == validation
    assert {"dataset", "arch", "method", "crop", "input_size", "points", "recipe", "seed"} <= content["settings"].keys()
    assert content["versions"]["keras"] == keras.__version__
    assert get_settings(tmp_path / "run/best.keras")["method"] == method
    rows = (tmp_path / "run/log.csv").read_text().splitlines()
    columns = ["epoch", "loss", *(["percentage"] if method == "acr" else []), "val_nme", "learning_rate"]
    assert rows[0].split(",") == columns and len(rows) == 4


def test_the_validation_figure_is_that_of_the_weights_on_disk(tiny, prepared_300w, tmp_path):
    validation = run_of(prepared_300w, tmp_path / "run").train()
    faces = load_faces(prepared_300w, "300W", "validation", 32)
    predicted = predict_faces(
        load_model(tmp_path / "run/best.keras"), methods.get_method("acr").codec, faces, CROPS["square"]
    )
    distance = normaliser_distance(faces.landmarks, faces.dataset.layout, "inter-ocular")
    assert nme(predicted, faces.landmarks, distance).mean() == pytest.approx(validation["nme"], rel=1e-5)
    assert validation["n"] == len(faces)


def test_the_same_seed_gives_the_same_run(tiny, prepared_300w, tmp_path):
    first, again, other = (
        run_of(prepared_300w, tmp_path / name, seed=seed).train() for name, seed in (("a", 1), ("b", 1), ("c", 2))
    )
    assert first == again
    assert first["nme"] != pytest.approx(other["nme"], rel=1e-5)
    one, two = state_of(tmp_path / "a"), state_of(tmp_path / "b")
    for name in one.keys() | two.keys():  # weights, moments, averages and log: bit for bit on a CPU
        np.testing.assert_array_equal(one[name], two[name])


def test_killed_in_mid_epoch_and_resumed_is_never_stopped(tiny, prepared_300w, tmp_path):
    assert train.main(command_line(prepared_300w, tmp_path / "whole")) == 0
    killed = start(prepared_300w, tmp_path / "killed")
    log = tmp_path / "killed/log.csv"
    while killed.poll() is None and not (log.exists() and len(log.read_text().splitlines()) > 2):
        time.sleep(0.002)
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    rows = json.loads(str(state_of(tmp_path / "killed")["rows"]))
    assert 2 <= len(rows) < 4, "the run ended before it could be killed"

    resumed = start(prepared_300w, tmp_path / "killed", "--resume")
    assert resumed.wait(300) == 0, resumed.communicate()
    one, other = state_of(tmp_path / "whole"), state_of(tmp_path / "killed")
    assert one.keys() == other.keys()
    for name in one.keys() - {"rows"}:
        np.testing.assert_allclose(other[name], one[name], atol=1e-5)
    one_log, other_log = ((tmp_path / name / "log.csv").read_text() for name in ("whole", "killed"))
    assert one_log.count("\n") == other_log.count("\n") == 5


def test_ctrl_c_saves_and_says_how_to_go_on(prepared_300w, tmp_path):
    process = start(prepared_300w, tmp_path / "run", "--epochs", "100000")
    while process.poll() is None and not (tmp_path / "run/log.csv").exists():
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 130
    assert "--resume" in errors and "Traceback" not in errors
    for name in ("best.keras", "last.keras", "state.npz", "curves.png"):
        assert (tmp_path / "run" / name).is_file()
    load_model(tmp_path / "run/last.keras")


def test_a_second_training_in_the_same_folder_refuses(tiny, prepared_300w, tmp_path):
    run = run_of(prepared_300w, tmp_path / "run")
    with folder_lock(tmp_path / "run", "a training writes to"):
        with pytest.raises(OSError, match="a training writes to .*run already"):
            run.train()


def test_a_finished_folder_is_not_overwritten(tiny, prepared_300w, tmp_path):
    run = run_of(prepared_300w, tmp_path / "run")
    first = run.train()
    with pytest.raises(FileExistsError, match="--resume"):
        run.train()
    assert run.train(resume=True) == first  # nothing left to do


def test_other_settings_cannot_be_resumed(tiny, prepared_300w, tmp_path):
    run_of(prepared_300w, tmp_path / "run").train()
    with pytest.raises(ValueError, match=r"other settings. Received \{.*'method': 'l2'"):
        run_of(prepared_300w, tmp_path / "run", method="l2").train(resume=True)


def test_another_loss_cannot_be_resumed(tiny, prepared_300w, tmp_path, monkeypatch):
    run = run_of(prepared_300w, tmp_path / "run", method="acr", epochs=1)
    run.train()
    record = json.loads((tmp_path / "run/settings.json").read_text())
    kept = record["settings"]["loss"]
    assert (kept["lambda_weight"], kept["percentages"]) == (2.0, [80, 85, 90, 95, 97]) and "shape_models" not in kept
    kept["lambda_weight"] = 3.0
    (tmp_path / "run/settings.json").write_text(json.dumps(record))
    with pytest.raises(ValueError, match=r"other settings. Received \{'loss'.*'lambda_weight': 2.0.*the run has"):
        run.train(resume=True)


def test_another_recipe_cannot_be_resumed(tiny, prepared_300w, tmp_path):
    run = run_of(prepared_300w, tmp_path / "run", recipe="original", epochs=1)
    first = run.train()
    assert run.train(resume=True) == first
    record = json.loads((tmp_path / "run/settings.json").read_text())
    record["settings"]["recipe"]["dropout"] = 0.5
    (tmp_path / "run/settings.json").write_text(json.dumps(record))
    with pytest.raises(ValueError, match=r"other settings. Received \{'recipe'"):
        run.train(resume=True)


def test_a_resumed_run_needs_its_start_weights_no_more(tiny, prepared_300w, tmp_path):
    weights = tmp_path / "start.keras"
    build_tiny(None, W300, 32, 0.9).save(weights)
    first = run_of(prepared_300w, tmp_path / "run", epochs=1).train(weight_path=weights)
    weights.unlink()
    assert run_of(prepared_300w, tmp_path / "run", epochs=1).train(weight_path=weights, resume=True) == first


def test_every_epoch_adds_to_the_time_on_record(tiny, prepared_300w, tmp_path, monkeypatch):
    """Also one that is not the best: a killed run loses no more than its last epoch."""
    path, kept = tmp_path / "run/settings.json", []

    def log(rows):
        kept.append(json.loads(path.read_text())["training"]["seconds"])
        return log_csv(rows)

    clock = types.SimpleNamespace(monotonic=itertools.count().__next__)
    monkeypatch.setattr("training.run_record.time", clock)
    monkeypatch.setattr("training.callbacks.log_csv", log)  # called last in each epoch, and at the end
    monkeypatch.setattr(methods.Codec, "errors", lambda *_: [float(len(kept))])  # the first is the best
    run_of(prepared_300w, tmp_path / "run").train()
    assert len(kept) == 4 and 0 < kept[0] < kept[1] < kept[2]  # an epoch each, and the end
    assert kept[2] < json.loads(path.read_text())["training"]["seconds"]


def test_the_constants_of_acr_are_those_of_its_loss(prepared_300w):
    for name in ("acr", "acr_upright", "acr_pixels"):
        method = methods.get_method(name)
        config = method.loss(prepared_300w, W300, "square").get_config()
        constants = method.constants(prepared_300w, W300, "square")
        assert constants.pop("percentages") == [model["percentage"] for model in config["shape_models"]]
        assert constants.items() <= config.items()
        assert {"lambda_weight", "constant", "unit"} <= constants.keys()


@pytest.mark.parametrize(
    "changes",
    [
        {
            "method": "acr",
            "recipe": "quick",
            "max_faces": 6,
            "extra_datasets": ["synthetic"],
            "learning_rate": 0.5,
            "precision": "float64",
        },
        {"method": "l2", "head": "spatial", "crop": "tight", "augment_on": "gpu", "seed": 9, "input_size": 64},
        {"method": "pwc", "recipe": "pixelwise", "stream": True},
    ],
)
def test_a_run_is_made_of_its_settings(prepared_300w, tmp_path, changes):
    run = run_of(prepared_300w, tmp_path / "run", **changes)
    settings = run.config.asdict()
    config = train.RunConfig.from_dict(settings, tmp_path / "run", prepared_300w)
    assert dataclasses.replace(run.config, distribute="auto") == config and config.asdict() == settings
    with pytest.raises(ValueError, match="unknown names .'faces_used'"):
        train.RunConfig.from_dict(settings | {"faces_used": None}, tmp_path, prepared_300w)
    with pytest.raises(ValueError, match="no .'recipe'"):
        train.RunConfig.from_dict({name: settings[name] for name in settings.keys() - {"recipe"}}, tmp_path, ".")


@pytest.mark.parametrize("path", sorted((ROOT / "pre_trained_models").rglob("*.json")), ids=lambda path: path.stem)
def test_the_settings_of_published_weights_are_those_of_a_run(path, tmp_path):
    record = json.loads(path.read_text())
    if "settings" in record:
        config = train.RunConfig.from_dict(record["settings"], tmp_path, tmp_path)
        assert config.asdict()["loss"] == record["settings"]["loss"]


def test_every_option_of_the_command_line_reaches_the_run(prepared_300w, tmp_path):
    words = "--dataset 300W --recipe quick --epochs 3 --head spatial --max-faces 9 --workers 2 --crop tight"
    words += " --method anisotropic_loss --loss-option a=4 b=2 --seed 4 --augment-on gpu --extra-datasets synthetic"
    words += f" --precision float64 --distribute none --data-dir {prepared_300w}"
    config = train.get_config(train.parse_options(words.split()), tmp_path / "run")
    assert (config.recipe.name, config.recipe.epochs, config.network.spatial) == ("quick", 3, True)
    assert (config.dataset, config.crop, config.method, config.seed) == ("300W", "tight", "anisotropic_loss", 4)
    assert (config.max_faces, config.workers, config.augment_on) == (9, 2, "gpu")
    assert (config.extra_datasets, config.precision, config.data_dir) == (("synthetic",), "float64", prepared_300w)
    assert config.save_path == tmp_path / "run" and config.loss_options == {"a": 4.0, "b": 2.0}
    assert config.asdict()["loss"].items() >= {"a": 4.0, "b": 2.0}.items()
    loss = train.Train(config).compiled(1)[1]
    assert (loss.constants["a"], loss.constants["b"]) == (4.0, 2.0)


def test_unknown_loss_options_are_errors(tmp_path):
    with pytest.raises(ValueError, match="anisotropic_loss. Received 'c'"):
        train.RunConfig.from_options("mobileNetV2", "300W", tmp_path, method="anisotropic_loss", loss_options={"c": 1})


def test_methods_are_listed(capsys):
    assert train.main(["--list-methods"]) == 0
    assert {line.split()[0] for line in capsys.readouterr().out.splitlines()} > set(methods.METHODS)


def test_the_same_seed_starts_all_losses_alike(tiny, prepared_300w, tmp_path):
    weights = []
    for method in ("l2", "acr", "acr_upright", "anisotropic_loss"):
        keras.utils.set_random_seed(7)
        weights.append(run_of(prepared_300w, tmp_path, method=method).compiled(10)[0].get_weights())
    for other in weights[1:]:
        for one, same in zip(weights[0], other, strict=True):
            np.testing.assert_array_equal(one, same)


def test_the_faces_drawn_are_the_same_for_every_seed(prepared_300w, tmp_path):
    one, other = (
        run_of(prepared_300w, tmp_path, max_faces=6, seed=seed).batches().source.fingerprint() for seed in (1, 2)
    )
    assert one == other and one["n"] == 6


def test_nothing_to_resume_is_an_error(tiny, prepared_300w, tmp_path):
    with pytest.raises(FileNotFoundError, match="nothing to resume"):
        run_of(prepared_300w, tmp_path / "run").train(resume=True)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut short", None])
def test_a_broken_state_is_an_error(tiny, prepared_300w, tmp_path, content):
    run = run_of(prepared_300w, tmp_path / "run")
    run.train()
    state = tmp_path / "run/state.npz"
    if content is None:
        np.savez(state, rows="[]", v0=np.zeros(3))
    else:
        state.write_bytes(content)
    with pytest.raises(ValueError, match="state.npz"):
        run.train(resume=True)


def test_a_nan_stops_the_run_and_names_the_faces(tiny, prepared_300w, tmp_path, monkeypatch):
    def encode(landmarks, size):
        targets = to_targets(landmarks, size).astype(np.float32)
        targets[0] = np.nan
        return targets

    row = dataclasses.replace(methods.METHODS["l2"], codec=methods.Codec(encode=encode), init=no_init)
    monkeypatch.setitem(methods.METHODS, "l2", row)
    with pytest.raises(FloatingPointError, match=r"loss is nan at epoch 1, step 0.*(helen/trainset|afw)/"):
        run_of(prepared_300w, tmp_path / "run", method="l2").train()
    assert not (tmp_path / "run/last.keras").exists()  # its weights are NaN


def test_describing_a_run_does_not_start_tensorflow():
    """It reads its number of threads when it starts, and main() sets that once it knows the run."""
    code = "from train import Train; import tensorflow as tf; "
    code += "Train(arch='mobileNetV2', dataset_name='300W', save_path='.', input_size=64); "
    code += "tf.config.threading.set_intra_op_parallelism_threads(1)"  # an error once TensorFlow has started
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_starts_from_given_weights(tiny, prepared_300w, tmp_path):
    run_of(prepared_300w, tmp_path / "first").train()
    started = run_of(prepared_300w, tmp_path / "second", epochs=1, learning_rate=0.0)
    started.train(weight_path=tmp_path / "first/best.keras")
    one, other = (load_model(tmp_path / name) for name in ("first/best.keras", "second/last.keras"))
    for a, b in zip(one.trainable_weights, other.trainable_weights, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)


def test_weights_of_another_network_are_an_error(tiny, prepared_300w, tmp_path):
    keras.Sequential([keras.Input((32, 32, 3)), keras.layers.Flatten(), keras.layers.Dense(58)]).save(
        tmp_path / "other.keras"
    )
    with pytest.raises(ValueError, match=r"other.keras does not fit.*\(None, 58\).*\(None, 136\)"):
        run_of(prepared_300w, tmp_path / "run").train(weight_path=tmp_path / "other.keras")


def test_missing_labels_of_a_crop_name_the_command(tiny, prepared_300w, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"normalized_labels_tight.*data_helper.py"):
        run_of(prepared_300w, tmp_path / "run", crop="tight").train()


def test_missing_eigenbases_are_fitted(tiny, prepared_300w, tmp_path):
    """The original's three calls make one eigenbasis and then train, which needs five."""
    shutil.copytree(prepared_300w, tmp_path / "data")
    shutil.rmtree(tmp_path / "data/w300/pca")
    PCAUtility().create_pca_from_npy(DatasetName.w300, tmp_path / "data/w300/normalized_labels/", pca_percentages=90)
    assert run_of(tmp_path / "data", tmp_path / "run", epochs=1).train()["nme"] > 0


def test_other_faces_cannot_be_resumed(tiny, prepared_300w, tmp_path):
    shutil.copytree(prepared_300w, tmp_path / "data")
    run_of(tmp_path / "data", tmp_path / "run").train()
    index = json.loads((tmp_path / "data/w300/index.json").read_text())
    index["faces"].remove(next(face for face in index["faces"] if face["split"] == "train"))
    (tmp_path / "data/w300/index.json").write_text(json.dumps(index))
    with pytest.raises(ValueError, match="with other faces"):
        run_of(tmp_path / "data", tmp_path / "run").train(resume=True)


def test_other_labels_cannot_be_resumed(tiny, prepared_300w, raw_300w, tmp_path):
    """Eigenbases are fitted anew where labels have changed, and phi would be another one from then on."""
    shutil.copytree(prepared_300w, tmp_path / "data")
    run_of(tmp_path / "data", tmp_path / "run").train()
    record = json.loads((tmp_path / "run/settings.json").read_text())
    assert len(record["faces"]["labels"]["sha256"]) == 64
    prepare("300W", raw_300w, tmp_path / "data", augmented_copies=0, workers=1)
    with pytest.raises(ValueError, match="with other faces or labels. Received .*'labels'"):
        run_of(tmp_path / "data", tmp_path / "run").train(resume=True)
    run_of(tmp_path / "data", tmp_path / "l2", method="l2", epochs=1).train()
    assert json.loads((tmp_path / "l2/settings.json").read_text())["faces"].keys() == {"train", "validation"}


@pytest.mark.parametrize("content", ["{", "{}", "[]"])
def test_a_broken_record_is_named(tiny, prepared_300w, tmp_path, content):
    run = run_of(prepared_300w, tmp_path / "run", epochs=1)
    run.train()
    (tmp_path / "run/settings.json").write_text(content)
    with pytest.raises(ValueError, match="settings.json is not the record of a run"):
        run.train(resume=True)


@pytest.mark.parametrize("name", ["epochs", "input_size", "batch_size"])
def test_numbers_below_one_are_errors(prepared_300w, tmp_path, name):
    with pytest.raises(ValueError, match=f"{name} is too small. Received 0"):
        run_of(prepared_300w, tmp_path, **{name: 0})


@pytest.mark.parametrize(
    "words", [{"method": "other"}, {"crop": "other"}, {"recipe": "other"}], ids=lambda words: next(iter(words))
)
def test_unknown_names_are_errors(prepared_300w, tmp_path, words):
    with pytest.raises(ValueError, match="Received 'other'"):
        run_of(prepared_300w, tmp_path, **words)


def test_a_full_disk_keeps_the_previous_checkpoint(tiny, prepared_300w, tmp_path, monkeypatch):
    run_of(prepared_300w, tmp_path / "run", epochs=1).train()
    before = {name: (tmp_path / "run" / name).read_bytes() for name in ("best.keras", "state.npz")}

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    model = build_tiny(None, W300, 32, 0.9)
    model.compile("adam", "mse")
    model.optimizer.build(model.trainable_variables)
    state = TrainingState(tmp_path / "run", model)
    monkeypatch.setattr(np, "savez", full)
    with pytest.raises(OSError, match="No space left"):
        state.save()
    averages = EMAWeights(model, build_tiny(None, W300, 32, 0.9))
    monkeypatch.setattr(keras.Model, "save", full)
    with pytest.raises(OSError, match="No space left"):
        averages.save(tmp_path / "run/best.keras")
    for name, content in before.items():
        assert (tmp_path / "run" / name).read_bytes() == content
    assert not list((tmp_path / "run").glob("*.part*")) + list((tmp_path / "run").glob(".*.part*"))


def test_the_averages_are_those_of_the_optimizer():
    trained, copy = (keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, use_bias=False)]) for _ in range(2))
    trained.set_weights([np.array([[0.0]])])
    trained.compile(keras.optimizers.SGD(1.0, use_ema=True, ema_momentum=0.5), "mse", jit_compile=False)
    averages, expected, seen = EMAWeights(trained, copy), None, []
    for _ in range(3):
        trained.train_on_batch(np.array([[1.0]]), np.array([[1.0]]))
        weight = float(trained.get_weights()[0][0, 0])
        expected = weight if expected is None else 0.5 * expected + 0.5 * weight
        seen.append(float(averages.copy_ema().get_weights()[0][0, 0]))
        assert seen[-1] == pytest.approx(expected)
        assert float(trained.get_weights()[0][0, 0]) == weight  # the trained weights go on undisturbed


def test_the_log_is_a_table():
    rows = [{"epoch": 0, "loss": 0.5}, {"epoch": 1, "loss": 0.25}]
    assert log_csv(rows) == "epoch,loss\n0,0.5\n1,0.25\n"


def test_the_default_run_is_acr_on_embedded_faces():
    options = train.parse_options([])
    assert (options.dataset, options.method, options.arch) == ("synthetic", "acr", ModelArch.MNV2)


def test_resume_without_a_folder_is_refused(capsys):
    with pytest.raises(SystemExit):
        train.main(["--resume"])
    assert "--save-path" in capsys.readouterr().err
