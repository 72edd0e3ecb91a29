"""Training faces as sharded records: the same faces as in memory, every face in every pass, bounded memory."""

import dataclasses
import json
import resource

import keras
import numpy as np
import pytest
from tiny_runs import state_of

import data_helper
import methods
import train
from config import CROPS
from face_datasets import records, stored_faces
from face_datasets.catalogue import get_dataset
from face_datasets.face_dataset import load_faces
from face_datasets.records import FaceRecords
from methods import encode_regression
from tests.robustness.tiny_network import build_tiny, with_build
from training.batches import AugmentedBatches, CPUAugmentation, stream_order
from training.recipes import RECIPES

pytestmark = pytest.mark.integration

pytest.importorskip("array_record")
pytest.importorskip("grain")

SMALL = dataclasses.replace(RECIPES["quick"], input_size=48, batch_size=4)


@pytest.fixture(scope="module")
def streamed_300w(raw_300w, tmp_path_factory):
    """A data root with that 300W as records, five faces in a file."""
    data_dir = tmp_path_factory.mktemp("data")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stored_faces, "RECORD_FACES", 5)
        data_helper.prepare("300W", raw_300w, data_dir, workers=1, records=0)
    return data_dir


def test_records_hold_the_faces_of_the_index(streamed_300w):
    records = FaceRecords(streamed_300w, get_dataset("300W"), 48)
    faces = load_faces(streamed_300w, "300W", "train", 48)
    read = records.read(range(len(records)))
    assert read.names == faces.names and len(list((streamed_300w / "w300/records").glob("*.array_record"))) == 4
    np.testing.assert_array_equal(read.landmarks, faces.landmarks)
    np.testing.assert_array_equal(read.matrices, faces.matrices)
    for one, other in zip(read.images, faces.images, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_streamed_batch_is_the_one_that_memory_would_give(streamed_300w):
    """The same faces in the same order get the same augmentation."""
    faces, records = load_faces(streamed_300w, "300W", "train", 48), FaceRecords(streamed_300w, get_dataset("300W"), 48)
    order, augment, crop = stream_order(len(faces), seed=3), CPUAugmentation(48), CROPS["square"]
    streamed, memory = (
        AugmentedBatches(source, order, augment, crop, SMALL, encode_regression, seed=3) for source in (records, faces)
    )
    for step in (0, 5, 9):
        for one, other in zip(streamed[step], memory[step], strict=True):
            np.testing.assert_allclose(one, other, atol=1e-6)
        assert streamed.names(step) == memory.names(step)


def test_every_pass_of_a_stream_shows_every_face_once_in_another_order():
    order, count = stream_order(16, seed=1), 16
    passes = [[int(order[start + rank]) for rank in range(count)] for start in range(0, 4 * count, count)]
    assert all(sorted(one) == list(range(count)) for one in passes) and passes[0] != passes[1]


def test_rendered_records_leave_held_out_faces_out(tmp_path, monkeypatch):
    monkeypatch.setattr(stored_faces, "RECORD_FACES", 4)
    dataset = get_dataset("synthetic")
    parts = tuple(dataclasses.replace(part, count=6, validation=bool(part.validation)) for part in dataset.parts)
    small = dataclasses.replace(dataset, parts=parts, render_size=48)
    monkeypatch.setattr(data_helper, "get_dataset", lambda name: small)
    index = data_helper.prepare("synthetic", None, tmp_path, workers=1, records=10)
    held_out = {face["image"] for face in index["faces"] if face["split"] == "validation"}
    records = FaceRecords(tmp_path, dataset, 48)
    assert len(held_out) == 1 and len(records) == 9
    assert {f"train/{number:06d}" for number in range(10)} - held_out == set(records.read(range(9)).names)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "synthetic/records").glob("*.array_record")}
    data_helper.prepare("synthetic", None, tmp_path, workers=1, records=10)
    assert before == {path: path.stat().st_mtime_ns for path in (tmp_path / "synthetic/records").glob("*.array_record")}


def test_training_on_records(streamed_300w, tmp_path, monkeypatch):
    for name in ("acr", "anisotropic"):
        monkeypatch.setitem(methods.METHODS, name, with_build(methods.METHODS[name], build_tiny))
    words = ["--dataset", "300W", "--data-dir", streamed_300w, "--save-path", tmp_path / "run", "--input-size", 32]
    words = [str(word) for word in [*words, "--batch-size", 4, "--epochs", 2, "--stream"]]
    assert train.main(words) == 0
    settings = json.loads((tmp_path / "run/settings.json").read_text())
    assert settings["settings"]["stream"] is True and settings["faces"]["train"]["n"] == 16
    assert train.main([*words, "--method", "anisotropic"]) == 1


def test_a_resumed_streamed_run_equals_one_without_a_stop(streamed_300w, tmp_path, monkeypatch):
    method = with_build(methods.METHODS["acr"], build_tiny)
    monkeypatch.setitem(methods.METHODS, "acr", method)
    options = {"data_dir": streamed_300w, "input_size": 32, "batch_size": 4, "epochs": 3, "stream": True}

    class Stop(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 1:
                raise KeyboardInterrupt

    def callbacks(loss, epochs):
        return [*method.callbacks(loss, epochs), Stop()]

    train.Train("mobileNetV2", "300W", tmp_path / "complete", **options).train()
    monkeypatch.setitem(methods.METHODS, "acr", dataclasses.replace(method, callbacks=callbacks))
    with pytest.raises(KeyboardInterrupt):
        train.Train(arch="mobileNetV2", dataset_name="300W", save_path=tmp_path / "stopped", **options).train()
    monkeypatch.setitem(methods.METHODS, "acr", method)
    train.Train("mobileNetV2", "300W", tmp_path / "stopped", **options).train(resume=True)
    one, other = state_of(tmp_path / "complete"), state_of(tmp_path / "stopped")
    for name in one.keys() - {"rows"}:
        np.testing.assert_array_equal(other[name], one[name])


def test_records_of_an_older_index_are_refused(raw_300w, tmp_path):
    """They could contain faces that have been held out since."""
    data_helper.prepare("300W", raw_300w, tmp_path, workers=1, records=0)
    index = json.loads((tmp_path / "w300/index.json").read_text())
    next(face for face in index["faces"] if face["split"] == "train")["split"] = "validation"
    (tmp_path / "w300/index.json").write_text(json.dumps(index))
    with pytest.raises(ValueError, match="may hold faces that are held out now. .*data_helper.py --dataset 300W"):
        FaceRecords(tmp_path, get_dataset("300W"), 48)


def test_more_files_of_records_than_a_process_may_open(streamed_300w, monkeypatch):
    """A file that was read stays open, so the limit is raised; beyond the system's limit it is an error."""
    asked = []
    monkeypatch.setattr(records, "OTHER_FILES", 10)
    monkeypatch.setattr(resource, "setrlimit", lambda kind, both: asked.append((kind, both)))
    for soft, hard in ((14, 20), (13, 20)):
        monkeypatch.setattr(resource, "getrlimit", lambda kind, limits=(soft, hard): limits)
        FaceRecords(streamed_300w, get_dataset("300W"), 48)
    assert asked == [(resource.RLIMIT_NOFILE, (14, 20))]
    monkeypatch.setattr(resource, "getrlimit", lambda kind: (10, 12))
    with pytest.raises(OSError, match="too many files of records. Received 4; this system lets a process open 12"):
        FaceRecords(streamed_300w, get_dataset("300W"), 48)


def test_absent_and_damaged_records(raw_300w, prepared_300w, tmp_path, capsys):
    with pytest.raises(FileNotFoundError, match="data_helper.py --dataset 300W .*--records"):
        FaceRecords(prepared_300w, get_dataset("300W"), 48)
    data_helper.prepare("300W", raw_300w, tmp_path, workers=1, records=0)
    shard = next((tmp_path / "w300/records").glob("*.array_record"))
    shard.write_bytes(shard.read_bytes()[:70_000])
    with pytest.raises(ValueError, match="records.json"):
        FaceRecords(tmp_path, get_dataset("300W"), 48)
    (tmp_path / "w300/records/records.json").write_text("[]")
    with pytest.raises(ValueError, match="does not list files of records"):
        FaceRecords(tmp_path, get_dataset("300W"), 48)
    assert (
        data_helper.main(["--dataset", "300W", "--raw", str(raw_300w), "--out", str(tmp_path), "--records", "9"]) == 1
    )
    assert "only rendered faces" in capsys.readouterr().err
