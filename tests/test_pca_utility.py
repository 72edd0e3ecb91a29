"""Shape model, and the files of labels and eigenbases."""

import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from config import PCA_PERCENTAGES, DatasetName
from face_datasets.catalogue import get_dataset
from pca_utility import PCAUtility, ShapeModel, eigenbasis_path, fit_eigenbases, load_labels, pca_folder
from utils.files import folder_lock

W300 = get_dataset(DatasetName.w300)


@pytest.fixture
def shapes():
    rng = np.random.default_rng(0)
    spread = np.geomspace(0.2, 0.001, 30)
    return (rng.normal(size=(400, 30)) * spread) @ np.linalg.qr(rng.normal(size=(136, 30)))[0].T + rng.normal(size=136)


def test_more_components_never_raise_the_residual(shapes):
    residuals = []
    for percentage in PCA_PERCENTAGES + (100,):
        model = ShapeModel(percentage, clip=None).fit(shapes)
        residuals.append(np.linalg.norm(model.smooth(shapes) - shapes, axis=1))
    for fewer, more in zip(residuals, residuals[1:], strict=False):
        assert (more <= fewer + 1e-12).all()


def test_the_mean_face_maps_to_itself(shapes):
    model = ShapeModel(90).fit(shapes)
    np.testing.assert_allclose(model.smooth(model.mean_[None]), model.mean_[None], atol=1e-12)


def test_smooth_face_is_two_matrix_products_by_hand():
    model = ShapeModel(90)
    model.mean_ = np.array([1.0, 2.0])
    model.components_ = np.array([[1.0, 0.0]])
    model.explained_variance_ = np.array([4.0])
    faces = np.array([[2.0, 5.0], [100.0, 0.0], [-100.0, 7.0]])
    np.testing.assert_allclose(model.smooth(faces), [[2, 2], [1 + 6, 2], [1 - 6, 2]])  # clipped to +- 3 sqrt(4)


def test_keeps_the_fewest_modes_that_reach_the_percentage(shapes):
    variances = np.linalg.svd(shapes - shapes.mean(0), compute_uv=False) ** 2
    fractions = np.cumsum(variances) / variances.sum()
    for percentage in PCA_PERCENTAGES:
        assert len(ShapeModel(percentage).fit(shapes).components_) == np.argmax(fractions > percentage / 100) + 1


def test_more_faces_than_modes_and_the_reverse():
    few = np.random.default_rng(1).normal(size=(5, 136))
    model = ShapeModel(100, clip=None).fit(few)
    np.testing.assert_allclose(model.smooth(few), few, atol=1e-9)


@pytest.mark.parametrize("percentage", [0, -1, 101])
def test_percentage_out_of_range_is_an_error(percentage, shapes):
    with pytest.raises(ValueError, match=f"percentage={percentage}"):
        ShapeModel(percentage).fit(shapes)


def test_the_originals_call_writes_the_eigenbasis_beside_the_labels(shapes, tmp_path):
    labels = tmp_path / "w300" / "normalized_labels"
    labels.mkdir(parents=True)
    np.save(labels / "one.npy", shapes[0].astype(np.float32))  # (2N,)
    np.save(labels / "rest.npy", shapes[1:].astype(np.float32))  # (n, 2N)
    model = PCAUtility().create_pca_from_npy(
        dataset_name=DatasetName.w300, labels_npy_path=f"{labels}/", pca_percentages=90
    )
    again = ShapeModel.load(eigenbasis_path(tmp_path / "w300" / "pca", W300, 90))
    np.testing.assert_array_equal(again.mean_, model.mean_)
    np.testing.assert_allclose(again.smooth(shapes), ShapeModel(90).fit(shapes.astype(np.float32)).smooth(shapes))
    assert not list((tmp_path / "w300" / "pca").glob("*.part*"))


def test_an_eigenbasis_of_other_labels_does_not_pass_for_those_of_the_set(shapes, tmp_path):
    """The original's call takes any folder beside the labels, and writes to the same `pca` folder."""
    for name, kept in (("normalized_labels", shapes), ("upright_labels", 2 * shapes[:200])):
        (tmp_path / name).mkdir()
        np.save(tmp_path / name / "labels.npy", kept)
    files = fit_eigenbases(tmp_path / "normalized_labels", W300)
    fitted = ShapeModel.load(files[90]).mean_
    other = PCAUtility().create_pca_from_npy("300W", tmp_path / "upright_labels", 90)
    np.testing.assert_array_equal(ShapeModel.load(files[90]).mean_, other.mean_)
    fit_eigenbases(tmp_path / "normalized_labels", W300)
    np.testing.assert_array_equal(ShapeModel.load(files[90]).mean_, fitted)


def test_each_crop_has_its_own_folder(tmp_path):
    assert pca_folder(tmp_path / "normalized_labels_tight") == tmp_path / "pca_tight"
    assert pca_folder(tmp_path / "anything") == tmp_path / "pca"


def test_labels_of_another_layout_are_an_error(tmp_path):
    np.save(tmp_path / "labels.npy", np.zeros((3, 58), np.float32))
    with pytest.raises(ValueError, match=r"labels.npy.*\(3, 58\).*\(136,\)"):
        load_labels(tmp_path, W300)


def test_pickled_labels_are_refused(tmp_path):
    np.save(tmp_path / "labels.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(ValueError, match="labels.npy"):
        load_labels(tmp_path, W300)


def test_labels_that_are_not_finite_are_an_error(tmp_path):
    np.save(tmp_path / "labels.npy", np.full((3, 136), np.nan, np.float32))
    with pytest.raises(ValueError, match="not finite"):
        load_labels(tmp_path, W300)


def test_an_empty_folder_names_the_command(tmp_path):
    with pytest.raises(FileNotFoundError, match="data_helper.py --dataset 300W"):
        load_labels(tmp_path, W300)


def test_one_face_is_too_few(tmp_path):
    np.save(tmp_path / "labels.npy", np.zeros(136, np.float32))
    with pytest.raises(ValueError, match="at least two faces"):
        load_labels(tmp_path, W300)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut", b"no archive"])
def test_a_broken_eigenbasis_is_an_error(content, tmp_path):
    (tmp_path / "w300_90.npz").write_bytes(content)
    with pytest.raises(ValueError, match="w300_90.npz"):
        ShapeModel.load(tmp_path / "w300_90.npz")


def test_a_missing_eigenbasis_names_the_command(tmp_path):
    with pytest.raises(FileNotFoundError, match="pca_utility.py"):
        ShapeModel.load(tmp_path / "w300_90.npz")


def test_arrays_that_do_not_fit_are_an_error(tmp_path):
    np.savez(tmp_path / "w300_90.npz", mean=np.zeros(4), components=np.zeros((2, 6)), eigenvalues=np.zeros(2),
             percentage=90.0, clip=3.0)  # fmt: skip
    with pytest.raises(ValueError, match="do not fit together"):
        ShapeModel.load(tmp_path / "w300_90.npz")


FIT = """
import sys
sys.path[:0] = ["."]
from face_datasets.catalogue import get_dataset
from pca_utility import fit_eigenbases
print("ready", flush=True)
sys.stdin.readline()
fit_eigenbases(sys.argv[1], get_dataset("300W"))
"""


@pytest.mark.integration
def test_processes_that_share_labels_fit_them_once(tmp_path, shapes):
    """Both start at once: one fits, the other waits and reads the first one's files."""
    labels = tmp_path / "normalized_labels"
    labels.mkdir()
    np.save(labels / "labels.npy", shapes)
    command = [sys.executable, "-c", FIT, str(labels)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "cwd": Path(__file__).parents[1]}
    both = [subprocess.Popen(command, **pipes) for _ in range(2)]
    for one in both:
        assert one.stdout.readline() == "ready\n"
    for one in both:
        one.stdin.write("\n")
        one.stdin.flush()
    for one in both:
        one.communicate()
        assert one.returncode == 0
    assert {path.name for path in (tmp_path / "pca").glob("[!.]*")} == {
        "w300_labels.sha256",
        *(eigenbasis_path(Path(), W300, percentage).name for percentage in PCA_PERCENTAGES),
    }
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "pca").iterdir()}
    fit_eigenbases(labels, W300)
    assert before == {path: path.stat().st_mtime_ns for path in (tmp_path / "pca").iterdir()}


def test_a_fit_waits_for_the_folder(tmp_path, shapes):
    """While another program holds the lock nothing is written to the folder."""
    labels = tmp_path / "normalized_labels"
    labels.mkdir()
    np.save(labels / "labels.npy", shapes)
    with folder_lock(tmp_path / "pca"):
        waiting = threading.Thread(target=fit_eigenbases, args=(labels, W300))
        waiting.start()
        waiting.join(0.5)
        assert waiting.is_alive() and not list((tmp_path / "pca").glob("*.npz"))
    waiting.join()
    assert len(list((tmp_path / "pca").glob("*.npz"))) == len(PCA_PERCENTAGES)
