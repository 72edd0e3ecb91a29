"""Whole runs of the heatmap methods: the discriminator beside the detector, resuming, early ends, occluded faces."""

import csv
import dataclasses
import json

import keras
import numpy as np
import pytest
from tiny_runs import run_of

import test as evaluation
from benchmarks import occlusion
from cnn_model import NETWORKS, get_network
from config import ModelArch
from face_datasets.catalogue import get_dataset
from face_datasets.face_dataset import load_faces
from methods import METHODS, get_method
from networks import vgg
from networks.weights import load_model
from pixelwise import cascade
from pixelwise.adversary import Adversarial, discriminator_loss, face_loss, soft_shapes
from pixelwise.losses import HybridLoss
from pixelwise.targets import to_pixels
from training.callbacks import Checkpoint, patience_exhausted, read_snapshots
from training.recipes import RECIPES

pytestmark = pytest.mark.integration

TENSORFLOW = keras.backend.backend() == "tensorflow"
POINTS, SIDE = 4, 16


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """A backbone of a few thousand parameters."""
    monkeypatch.setattr(vgg, "BLOCKS", ((1, 64),) * 5)
    monkeypatch.setattr(cascade, "CHANNELS", (64,))
    monkeypatch.setattr(cascade, "CONVOLUTIONS", 1)
    narrow = dataclasses.replace(get_network(ModelArch.VGG19S), width=1 / 16)
    monkeypatch.setitem(NETWORKS, ModelArch.VGG19S, narrow)


def run_vgg(prepared, folder, method, **changes):
    return run_of(prepared, folder, method, ModelArch.VGG19S, **{"epochs": 2, "precision": "float32", **changes})


def tiny_detector():
    image = keras.Input((SIDE, SIDE, 3))
    maps = keras.layers.Conv2D(POINTS + 1, 3, padding="same")(image)
    model = keras.Model(image, keras.layers.Activation("log_softmax")(maps))
    model.compile(keras.optimizers.SGD(0.1), HybridLoss(), jit_compile=False)
    model.optimizer.build(model.trainable_variables)
    return model


def batch(rng):
    return rng.random((6, SIDE, SIDE, 3), np.float32), rng.uniform(-0.4, 0.4, (6, 2 * POINTS)).astype(np.float32)


def test_the_two_losses_by_hand():
    true, found = np.array([[0.0], [np.log(3.0)]], np.float32), np.array([[0.0]], np.float32)
    expected = -(np.log(0.5) + np.log(0.75)) / 2 - np.log(0.5)
    assert float(discriminator_loss(true, found)) == pytest.approx(expected, rel=1e-6)
    assert float(face_loss(np.array([[np.log(3.0)]], np.float32))) == pytest.approx(-np.log(0.75), rel=1e-6)


@pytest.mark.skipif(not TENSORFLOW, reason="the discriminator is trained with TensorFlow")
def test_the_discriminator_steps_once_while_the_detector_steps_twice():
    model, rng = Adversarial(tiny_detector(), 2 * POINTS), np.random.default_rng(0)
    discriminator, detector = model.discriminator, model.network
    changed = []
    for _ in range(4):
        before = [np.copy(network.get_weights()[0]) for network in (discriminator, detector)]
        model.train_on_batch(*batch(rng))
        after = [network.get_weights()[0] for network in (discriminator, detector)]
        changed.append([not np.array_equal(*pair) for pair in zip(before, after, strict=True)])
    assert changed == [[True, True], [False, True], [True, True], [False, True]]
    assert [int(optimizer.iterations) for optimizer in model.optimizers] == [4, 2]


@pytest.mark.skipif(not TENSORFLOW, reason="the discriminator is trained with TensorFlow")
def test_the_detector_learns_from_the_discriminator():
    """One step of SGD with it and one without it differ by the rate times the gradient of the face loss."""
    rng = np.random.default_rng(1)
    images, truth = batch(rng)
    plain = tiny_detector()
    taught = keras.models.clone_model(plain)
    taught.compile(keras.optimizers.SGD(0.1), HybridLoss(), jit_compile=False)
    taught.optimizer.build(taught.trainable_variables)
    taught.set_weights(plain.get_weights())
    model = Adversarial(taught, 2 * POINTS)
    model.discriminator_optimizer.learning_rate = 0.0  # it steps before the detector does
    slopes = face_slopes(model, images, truth)
    model.train_on_batch(images, truth)
    plain.train_on_batch(images, truth)
    for a, b, slope in zip(plain.get_weights(), taught.get_weights(), slopes, strict=True):
        np.testing.assert_allclose(b - a, -0.1 * slope, atol=1e-6)
        assert np.abs(slope).max() > 1e-4


@pytest.mark.skipif(not TENSORFLOW, reason="the discriminator is trained with TensorFlow")
def test_true_landmarks_outside_the_crop_are_clipped_to_its_nearest_pixel():
    model, shapes_seen = Adversarial(tiny_detector(), 2 * POINTS), []
    side = model.network.output_shape[1]
    model.discriminator = lambda shapes, training: shapes_seen.append(np.asarray(shapes)) or shapes[:, :1]
    truth = np.zeros((1, POINTS, 2), np.float32)
    truth[0, 0], truth[0, 1] = (0.9, -0.9), (0.25, -0.25)
    model.logits(truth.reshape(1, -1), np.zeros((1, 2 * POINTS), np.float32))
    within = np.asarray(to_pixels(shapes_seen[0][:1], side))[0]
    np.testing.assert_allclose(within[:2], [[0, side - 1], [side / 4, 3 * side / 4]], atol=1e-4)


def face_slopes(model, images, truth):
    """The gradient of the face loss at the weights of the detector; found and true shapes pass together."""
    import tensorflow as tf

    with tf.GradientTape() as tape:
        shapes = soft_shapes(model.network(images, training=True))
        logits = model.discriminator(tf.concat([truth, shapes], axis=0), training=True)[len(truth) :]
        loss = face_loss(logits)
    return [np.asarray(slope) for slope in tape.gradient(loss, model.network.trainable_variables)]


def test_other_backends_refuse_the_discriminator(monkeypatch):
    detector = tiny_detector()
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    with pytest.raises(ValueError, match="with TensorFlow only. Received 'jax'"):
        Adversarial(detector, 2 * POINTS)


@pytest.mark.skipif(not TENSORFLOW, reason="the discriminator is trained with TensorFlow")
def test_killed_and_resumed_with_both_networks_is_never_stopped(prepared_300w, tmp_path, monkeypatch):
    run_vgg(prepared_300w, tmp_path / "complete", "hybrid_disc").train()

    ended = Checkpoint.on_epoch_end

    def stop(self, epoch, logs=None):
        ended(self, epoch, logs)
        raise KeyboardInterrupt

    with monkeypatch.context() as stopped, pytest.raises(KeyboardInterrupt):
        stopped.setattr(Checkpoint, "on_epoch_end", stop)
        run_vgg(prepared_300w, tmp_path / "stopped", "hybrid_disc").train()
    run_vgg(prepared_300w, tmp_path / "stopped", "hybrid_disc").train(resume=True)
    complete, resumed = (np.load(tmp_path / name / "state.npz") for name in ("complete", "stopped"))
    assert complete.files == resumed.files
    for name in set(complete.files) - {"rows"}:
        np.testing.assert_allclose(resumed[name], complete[name], atol=1e-5)
    columns = set(json.loads(str(complete["rows"]))[0])
    assert {"loss", "face_loss", "discriminator_loss", "val_nme"} <= columns

    best = load_model(tmp_path / "complete/best.keras")
    assert best.name == "vgg19s_maps"  # the detector alone
    detector = get_method("hybrid").head.build(get_network(ModelArch.VGG19S), get_dataset("300W"), 32, 0.9)
    assert [weight.shape for weight in best.weights] == [weight.shape for weight in detector.weights]


def test_runs_are_evaluated_by_both_decoders_and_on_occluded_faces(prepared_300w, tmp_path, capsys):
    for method in ("heatmap", "cascaded"):
        run_vgg(prepared_300w, tmp_path / "runs" / method, method, epochs=1).train()
    weights = str(tmp_path / "runs/heatmap/best.keras")
    words = [
        "--dataset",
        "300W",
        "--weights",
        weights,
        "--data-dir",
        str(prepared_300w),
        "--out",
        str(tmp_path / "out"),
    ]
    figures = {}
    for decoder in ("argmax", "subpixel"):
        assert evaluation.main([*words, "--decoder", decoder]) == 0
        figures[decoder] = json.loads((tmp_path / "out/metrics.json").read_text())["subsets"]["full"]["nme"]
    assert figures["argmax"] != figures["subpixel"]
    entries = json.loads((tmp_path / "out/predictions.json").read_text())
    assert len(entries) == 6 and np.isfinite([entry["landmarks"] for entry in entries]).all()

    words = ["--runs", str(tmp_path / "runs"), "--data-dir", str(prepared_300w), "--out", str(tmp_path / "shapes")]
    assert occlusion.main(words) == 0
    with open(tmp_path / "shapes/table.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["entry"] for row in rows] == [
        "truth", "cascaded", "cascaded", *["heatmap, subpixel"] * 2, *["heatmap, argmax"] * 2,
    ]  # fmt: skip
    for decoder, nme in figures.items():  # the same faces, shrunk and read alike
        visible = next(row for row in rows if row["entry"] == f"heatmap, {decoder}" and row["kind"] == "visible")
        assert float(visible["NMSE"]) == pytest.approx(nme / 100, rel=1e-4)
    pictures = {path.name for path in (tmp_path / "shapes").glob("*.png")}
    assert pictures == {f"ced_{part}_{kind}.png" for part in ("all", "eyes") for kind in ("visible", "occluded")}


def test_a_method_has_only_its_own_decoders():
    assert METHODS["pwc"].codec.with_decoder("argmax").decode is METHODS["pwc"].codec.decoders["argmax"]
    assert METHODS["acr"].codec.with_decoder(None) is METHODS["acr"].codec
    with pytest.raises(ValueError, match="unknown decoder. Received 'argmax'"):
        METHODS["acr"].codec.with_decoder("argmax")


def test_runs_of_several_input_sizes_are_not_compared(prepared_300w, tmp_path, capsys):
    for size in (32, 40):
        run_vgg(prepared_300w, tmp_path / "runs" / str(size), "l2", epochs=1, input_size=size).train()
    words = ["--runs", str(tmp_path / "runs"), "--data-dir", str(prepared_300w), "--out", str(tmp_path / "out")]
    assert occlusion.main(words) == 1
    assert "one input size can be compared. Received 32 32, 40 40" in capsys.readouterr().err


def test_no_runs_is_an_error(prepared_300w, tmp_path, capsys):
    words = ["--runs", str(tmp_path), "--data-dir", str(prepared_300w), "--out", str(tmp_path / "out")]
    assert occlusion.main(words) == 1
    assert "no trained run below" in capsys.readouterr().err


def test_distance_to_the_space_of_faces(prepared_300w):
    faces = load_faces(prepared_300w, "300W", "train")
    space = occlusion.FaceSpace(faces.landmarks, faces.dataset.layout)
    turn = 3 * np.array([[0.6, -0.8], [0.8, 0.6]])
    here = space.distance(faces.landmarks)
    np.testing.assert_allclose(space.distance(faces.landmarks @ turn.T + 40), here, rtol=1e-6)  # pose is no matter
    torn = faces.landmarks.copy()
    torn[:, 48:68] += 0.5 * np.linalg.norm(torn[:, 36] - torn[:, 45], axis=-1)[:, None, None]
    assert (space.distance(torn) > here + 2).all()


# ------------------------------------------------------------------------------------------------------- early ends


def test_settled_by_hand():
    rows = [{"epoch": epoch, "val_nme": nme} for epoch, nme in enumerate((5.0, 4.0, 4.5, 4.1), start=1)]
    assert not patience_exhausted(rows, None) and not patience_exhausted([], 1)
    assert not patience_exhausted(rows, 3) and patience_exhausted(rows, 2)


def test_a_run_ends_early_and_stays_ended(prepared_300w, tmp_path, monkeypatch):
    patient = dataclasses.replace(RECIPES["faces"], name="patient", repeats=1, epoch_steps=1, patience=1)
    monkeypatch.setitem(RECIPES, "patient", patient)
    settings = {"recipe": "patient", "epochs": 9, "learning_rate": 0.0}  # nothing is learned, so nothing gets better
    run = run_vgg(prepared_300w, tmp_path / "run", "direct", **settings)
    assert run.config.asdict()["recipe"]["patience"] == 1
    assert run_vgg(prepared_300w, tmp_path, "l2").config.asdict()["recipe"]["patience"] is None
    figures = run.train()
    rows = (tmp_path / "run/log.csv").read_text().splitlines()
    assert 2 <= len(rows) - 1 < 9
    assert max(read_snapshots(tmp_path / "run/snapshots.json")["epochs"]) == len(rows) - 1  # also after an early end
    assert run.train(resume=True) == figures
    assert (tmp_path / "run/log.csv").read_text().splitlines() == rows


def test_the_recipe_of_the_paper():
    recipe = RECIPES["pixelwise"]
    assert recipe.steps_per_epoch(3148) == 1000 and recipe.patience == 10
    assert (recipe.augmentation.rotation, recipe.augmentation.scale) == (30.0, (0.6, 1.0))
