"""Pose bins, the order of faces they make, the start at the mean shape, and what a run keeps of its first epochs."""

import argparse
import dataclasses
import json

import keras
import numpy as np
import pytest
from tiny_runs import run_of

import methods
from benchmarks.comparison_plots import draw_progress_strip
from benchmarks.losses import draw_progress
from config import CROPS
from evaluation.evaluator import predict_faces
from face_datasets.catalogue import get_dataset
from face_datasets.face_dataset import load_faces
from face_datasets.layouts import LAYOUT_68
from methods import encode_regression, get_method
from pca_utility import align
from tests.robustness.tiny_network import build_tiny, with_build
from training.batches import AugmentedBatches, BalancedBins, CPUAugmentation, Shuffled
from training.callbacks import read_snapshots
from training.checkpoint import TrainingState
from training.initialisation import init_bias_at_pose_mean
from training.pose_balance import mean_of_bins, pose_bins
from training.recipes import RECIPES
from utils.image_files import read_image

W300 = get_dataset("300W")
SMALL = dataclasses.replace(RECIPES["quick"], input_size=32, batch_size=4)


def turned_heads(yaws, seed=0):
    """Landmarks (faces, 30, 2) of one random head turned by these angles, each somewhere else in its picture."""
    rng = np.random.default_rng(seed)
    head = rng.normal(size=(30, 3)) * (1, 1.2, 0.6)
    faces = []
    for yaw in yaws:
        x = head[:, 0] * np.cos(yaw) + head[:, 2] * np.sin(yaw)
        roll, size = rng.uniform(-0.5, 0.5), rng.uniform(20, 90)
        turn = np.array([[np.cos(roll), -np.sin(roll)], [np.sin(roll), np.cos(roll)]])
        faces.append(np.stack([x, head[:, 1]], axis=1) @ turn.T * size + rng.uniform(0, 500, 2))
    return np.array(faces)


def test_aligned_shapes_forget_place_size_and_turn():
    rng = np.random.default_rng(1)
    shape = rng.normal(size=(12, 2))
    angles, sizes = rng.uniform(-3, 3, 8), rng.uniform(0.1, 50, 8)
    turns = np.stack([[[np.cos(t), -np.sin(t)], [np.sin(t), np.cos(t)]] for t in angles])  # (8, 2, 2)
    faces = sizes[:, None, None] * (shape @ turns) + rng.normal(size=(8, 1, 2)) * 100
    aligned = align(faces)
    np.testing.assert_allclose(aligned, np.broadcast_to(aligned[0], aligned.shape), atol=1e-9)
    assert np.linalg.norm(aligned[0]) == pytest.approx(1)
    mirrored = align(np.stack([shape, shape * (-1, 1)]))
    assert np.abs(mirrored[0] - mirrored[1]).max() > 0.1  # a mirror image is another shape


def test_aligned_shapes_lie_best_on_their_mean():
    """No other turn or size of a face is nearer to the mean: the residual is orthogonal to both changes."""
    rng = np.random.default_rng(2)
    aligned = align(rng.normal(size=(12, 2)) + rng.normal(0, 0.1, (40, 12, 2)))
    mean = (aligned / np.linalg.norm(aligned, axis=(1, 2), keepdims=True)).mean(axis=0)
    mean /= np.linalg.norm(mean)
    for face in aligned:
        assert np.sum((mean - face) * face) == pytest.approx(0, abs=1e-6)  # size
        assert np.sum(mean * face[:, ::-1] * (-1, 1)) == pytest.approx(0, abs=1e-6)  # turn


def test_a_face_in_one_point_is_an_error():
    faces = turned_heads([0, 0.1, 0.2])
    faces[1] = 7.0
    with pytest.raises(ValueError, match="face 1 has no shape"):
        align(faces)


def test_bins_follow_the_yaw():
    yaws = np.concatenate([np.linspace(-0.8, 0.8, 60), np.linspace(-0.05, 0.05, 200)])
    bins = pose_bins(turned_heads(yaws), mode=0)
    assert len(bins) == 9
    np.testing.assert_array_equal(np.sort(np.concatenate(bins)), np.arange(260))
    means = [yaws[members].mean() for members in bins]
    assert np.all(np.diff(means) > 0) or np.all(np.diff(means) < 0)
    for one, other in zip(bins, bins[1:], strict=False):  # bins do not overlap
        inner, outer = sorted([yaws[one], yaws[other]], key=np.mean)
        assert inner.max() < outer.min()
    assert max(map(len, bins)) > 150 and min(map(len, bins)) < 12


def test_empty_bins_are_left_out():
    yaws = np.concatenate([np.linspace(-0.8, -0.75, 20), np.linspace(0.75, 0.8, 10)])
    assert sorted(len(members) for members in pose_bins(turned_heads(yaws), mode=0)) == [10, 20]


def test_a_pose_needs_more_than_one_face():
    with pytest.raises(ValueError, match="poses need at least 3 faces. Received 2"):
        pose_bins(turned_heads([0, 0.5]), mode=1)


def test_the_mean_of_bins_by_hand():
    targets = np.array([[0.0, 1.0], [0.0, 3.0], [0.0, 2.0], [6.0, 8.0]])
    np.testing.assert_array_equal(mean_of_bins(targets, [np.array([0, 1, 2]), np.array([3])]), [3.0, 5.0])


# --------------------------------------------------------------------------------------------------------------------
# The order of faces
# --------------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def faces(prepared_300w):
    return load_faces(prepared_300w, "300W", "train", 32)


def batches_of(faces, order=None):
    order = order or Shuffled(len(faces), 5)
    return AugmentedBatches(faces, order, CPUAugmentation(32), CROPS["square"], SMALL, encode_regression, 5)


def shown(order, passes):
    """Return the faces of the first passes, (passes, faces of a pass)."""
    return np.array([order[i] for i in range(passes * order.pass_length)]).reshape(passes, order.pass_length)


def test_without_bins_every_pass_shows_every_face(faces):
    for order in shown(Shuffled(len(faces), 5), 3):
        np.testing.assert_array_equal(np.sort(order), np.arange(len(faces)))
    first = np.random.default_rng((5, 0, 0)).permutation(len(faces))
    np.testing.assert_array_equal(shown(Shuffled(len(faces), 5), 1)[0], first)


def test_under_sampling_shows_as_many_of_each_bin_as_the_smallest_has():
    bins = [np.array([0, 3]), np.array([1]), np.array([2, 4, 5, 6, 7, 8, 9])]
    passes = shown(BalancedBins(bins, min, seed=5), 60)
    for order in passes:
        assert sorted(sum(face in members for face in order) for members in bins) == [1, 1, 1]
    assert set(passes.ravel()) == set(range(10))  # every pass draws anew
    assert len({tuple(order) for order in passes}) > 20


def test_replication_shows_as_many_of_each_bin_as_the_largest_has():
    bins = [np.array([0, 3]), np.array([1]), np.array([2, 4, 5, 6, 7])]
    passes = shown(BalancedBins(bins, max, seed=5), 20)
    counts = np.array([[np.sum(order == face) for face in range(8)] for order in passes])
    assert (counts[:, 1] == 5).all() and (counts[:, [2, 4, 5, 6, 7]] == 1).all()
    assert (counts[:, [0, 3]].sum(axis=1) == 5).all() and set(counts[:, 0]) == {2, 3}


def test_balanced_batches_depend_on_seed_and_step_alone(faces):
    bins = [np.array([0, 3]), np.array([1, 2, 5, 6, 7])]
    one, other = (batches_of(faces, BalancedBins(bins, min, seed=5)) for _ in range(2))
    other.first_step = 7
    for a, b in zip(one[9], other[2], strict=True):
        np.testing.assert_array_equal(a, b)


def test_balancing_leaves_the_steps_of_an_epoch_alone(faces):
    bins = [np.array([0]), np.arange(1, len(faces))]
    assert batches_of(faces, BalancedBins(bins, min, seed=5)).steps_per_epoch == batches_of(faces).steps_per_epoch


# --------------------------------------------------------------------------------------------------------------------
# Displacement from the mean
# --------------------------------------------------------------------------------------------------------------------


def test_a_network_without_features_predicts_the_mean_of_the_bins(faces):
    batches = batches_of(faces)
    model = build_tiny(None, W300, 32, 0.9)
    model.layers[-1].kernel.assign(np.zeros(model.layers[-1].kernel.shape))
    init_bias_at_pose_mean(model, batches)
    expected = mean_of_bins(encode_regression(batches.landmarks, 32), pose_bins(faces.landmarks, 0))
    np.testing.assert_allclose(model.predict_on_batch(batches[0][0])[0], expected, atol=1e-6)


def test_a_network_without_features_predicts_the_mean_face_where_the_recipe_says_so(faces):
    batches = batches_of(faces)
    model = build_tiny(None, W300, 32, 0.9)
    for mean_face, expected in ((False, 0.0), (True, encode_regression(batches.landmarks, 32).mean(axis=0))):
        batches.recipe = dataclasses.replace(batches.recipe, mean_face=mean_face)
        get_method("acr").init(model, batches)
        np.testing.assert_allclose(model.layers[-1].bias.numpy(), expected, atol=1e-7)


def test_the_bias_is_the_same_as_displacement_targets(faces):
    """One network starts at the mean; its twin starts at 0, learns displacements, and the mean is added behind it."""
    batches = batches_of(faces)
    predictions = []
    for at_mean in (True, False):
        keras.utils.set_random_seed(4)
        dense = [keras.layers.Dense(16, "relu"), keras.layers.Dense(W300.outputs)]
        model = keras.Sequential([keras.Input((32, 32, 3)), keras.layers.Flatten(), *dense])
        if at_mean:
            init_bias_at_pose_mean(model, batches)
            mean = keras.ops.convert_to_numpy(model.layers[-1].bias)
        shift = 0.0 if at_mean else mean
        optimizer = keras.optimizers.AdamW(2e-3, weight_decay=1e-2)
        optimizer.exclude_from_weight_decay(var_names=["bias"])
        loss = get_method("anisotropic").loss(None, W300, "square")

        def of_displacements(true, predicted, loss=loss, shift=shift):
            return loss(true + shift, predicted + shift)  # tangents are those of the face, not of its displacement

        model.compile(optimizer, of_displacements, jit_compile=False)
        for step in range(30):
            images, targets = batches[step]
            model.train_on_batch(images, targets - shift)
        predictions.append(model.predict_on_batch(batches[20][0]) + shift)
    np.testing.assert_allclose(*predictions, atol=2e-5)


# --------------------------------------------------------------------------------------------------------------------
# Whole runs
# --------------------------------------------------------------------------------------------------------------------


@pytest.fixture
def tiny(monkeypatch):
    """Every method builds the tiny network."""
    for name, method in methods.METHODS.items():
        monkeypatch.setitem(methods.METHODS, name, with_build(method, build_tiny))


@pytest.mark.integration
@pytest.mark.parametrize("name", ["acr_upright", "acr_pixels", "smooth_l1", "anisotropic_replicate"])
def test_new_methods_train(tiny, prepared_300w, tmp_path, name):
    validation = run_of(prepared_300w, tmp_path / "run", method=name, epochs=1).train()
    assert np.isfinite(validation["nme"])


@pytest.mark.integration
def test_a_balanced_run_reports_its_bins(tiny, prepared_300w, tmp_path, capsys):
    run_of(prepared_300w, tmp_path / "run", method="anisotropic", epochs=1).train()
    record = json.loads((tmp_path / "run/settings.json").read_text())["faces"]
    counts = record["pose_bins"]["n"]
    assert sum(counts) == record["train"]["n"] and record["pose_bins"]["shown"] == min(counts)
    assert f"pose bins of {counts} faces; a pass shows {min(counts)} of each" in capsys.readouterr().out


@pytest.mark.integration
def test_snapshots_are_those_of_the_epochs_and_go_on_after_a_stop(tiny, prepared_300w, tmp_path):
    run_of(prepared_300w, tmp_path / "whole", method="wing", epochs=5).train()
    whole = read_snapshots(tmp_path / "whole/snapshots.json")
    assert list(whole["epochs"]) == [0, 1, 2, 3, 5]
    held_out = load_faces(prepared_300w, "300W", "validation", 32)
    face = held_out.names.index(whole["image"])
    np.testing.assert_allclose(whole["landmarks"], held_out.landmarks[face])

    class Stop(Exception):
        pass

    def stopping(row):
        if row["epoch"] == 3:
            raise Stop

    run = run_of(prepared_300w, tmp_path / "stopped", method="wing", epochs=5)
    save = TrainingState.save

    def save_and_stop(state):
        save(state)
        if len(state.rows) == 2:
            raise Stop

    TrainingState.save, kept = save_and_stop, save
    try:
        with pytest.raises(Stop):
            run.train()
    finally:
        TrainingState.save = kept
    run.train(resume=True)
    stopped = read_snapshots(tmp_path / "stopped/snapshots.json")
    assert list(stopped["epochs"]) == list(whole["epochs"])
    for epoch, landmarks in whole["epochs"].items():
        np.testing.assert_allclose(stopped["epochs"][epoch], landmarks, atol=1e-3)


@pytest.mark.integration
def test_the_last_snapshot_is_of_the_trained_weights(tiny, prepared_300w, tmp_path):
    """A recipe without an average: the last weights are the trained ones."""
    run = run_of(prepared_300w, tmp_path / "run", method="l1", epochs=2)
    run.recipe = dataclasses.replace(run.recipe, ema=0.0)
    run.train()
    snapshots = read_snapshots(tmp_path / "run/snapshots.json")
    held_out = load_faces(prepared_300w, "300W", "validation", 32)
    model = keras.saving.load_model(tmp_path / "run/last.keras", compile=False)
    predicted = predict_faces(model, get_method("l1").codec, held_out, CROPS["square"])
    face = held_out.names.index(snapshots["image"])
    np.testing.assert_allclose(snapshots["epochs"][2], predicted[face], atol=1e-3)


@pytest.mark.integration
def test_the_training_progress_of_compared_runs_is_drawn(tiny, prepared_300w, tmp_path):
    folders = {name: tmp_path / name for name in ("l1", "wing", "anisotropic_loss")}
    for name, folder in folders.items():
        run_of(prepared_300w, folder, method=name, epochs=1).train()
    options = argparse.Namespace(crop="square", data_dir=prepared_300w)
    path = tmp_path / "strip.png"
    assert draw_progress(path, W300, options, folders) == [path]
    height, width, _ = read_image(path).shape
    assert abs(width - height) < 0.3 * height  # two rows, two columns
    assert draw_progress(path, W300, options, {"wing": folders["wing"]}) == []
    kept = json.loads((folders["wing"] / "snapshots.json").read_text())
    kept["epochs"]["3"] = kept["epochs"]["1"]  # the other has no such epoch
    (folders["wing"] / "snapshots.json").write_text(json.dumps(kept))
    assert draw_progress(path, W300, options, folders) == [path]
    (folders["wing"] / "snapshots.json").unlink()
    assert draw_progress(path, W300, options, folders) == []


@pytest.mark.parametrize("content", ["{", "[]", '{"image": "a", "landmarks": [[1, 2]], "epochs": {"0": [[1]]}}'])
def test_broken_snapshots_are_named(tmp_path, content):
    (tmp_path / "snapshots.json").write_text(content)
    with pytest.raises(ValueError, match="snapshots.json holds no snapshots"):
        read_snapshots(tmp_path / "snapshots.json")


def test_the_progress_strip_has_a_row_for_each_method_and_a_column_for_each_epoch(tmp_path):
    image = np.full((64, 64, 3), 128, np.uint8)
    rng = np.random.default_rng(0)
    truth = rng.uniform(10, 50, (LAYOUT_68.points, 2))
    rows = {name: {epoch: truth + rng.normal(0, 8 / (1 + epoch), truth.shape) for epoch in (0, 1, 2, 3, 80)}
            for name in ("Wing", "anisotropic")}  # fmt: skip
    draw_progress_strip(tmp_path / "strip.png", image, truth, rows)
    height, width, _ = read_image(tmp_path / "strip.png").shape
    assert width / height > 1.8
    del rows["Wing"][80]
    with pytest.raises(ValueError, match="same epochs"):
        draw_progress_strip(tmp_path / "other.png", image, truth, rows)
