"""Published weights: names, float16, record and model card, and the weights in pre_trained_models/."""

import hashlib
import json
import zipfile
from pathlib import Path

import keras
import numpy as np
import pytest
from tiny_runs import run_of

import metrics
from cnn_model import CNNModel, take_weights
from config import CROPS, WEIGHTS_DIR
from evaluation import model_card, publish
from evaluation.evaluator import predict_faces
from evaluation.publish import published_path
from face_datasets.face_dataset import load_faces
from inference.config import CONFIDENCE_SUFFIX
from inference.predictor import best_weights
from methods import get_method
from networks.keras_file import write_half
from networks.weights import load_model
from test import Test

pytestmark = pytest.mark.integration

HERE = WEIGHTS_DIR
PUBLISHED = sorted(path for path in HERE.rglob("*.json") if not path.name.endswith(CONFIDENCE_SUFFIX))


@pytest.mark.parametrize(
    ("arch", "size", "method", "spatial", "expected"),
    [
        ("mobileNetV2", 224, "acr", None, "300w/mnv2/300w_mnv2_ACRLoss.keras"),
        ("mobileNetV2", 112, "acr", False, "300w/mnv2_112/300w_mnv2_112_ACRLoss.keras"),
        ("mobileNetV2", 112, "acr", True, "300w/mnv2_112_spatial/300w_mnv2_112_spatial_ACRLoss.keras"),
        ("EfficientNet-B0", 224, "l2", None, "300w/EF_0/300w_EF0_base.keras"),
        ("EfficientNet-B3", 224, "l1", None, "300w/EF_3/300w_EF3_L1.keras"),
        ("EfficientNet-B3", 224, "wing", None, "300w/EF_3/300w_EF3_wing.keras"),
    ],
)
def test_names_are_the_original_s(arch, size, method, spatial, expected):
    recipe = {"spatial": spatial}
    settings = {"dataset": "300W", "arch": arch, "input_size": size, "method": method, "recipe": recipe}
    assert published_path(settings, "w") == Path("w") / expected


@pytest.fixture
def published(tiny, prepared_300w, tmp_path, monkeypatch):
    monkeypatch.setattr(publish, "PUBLISHED_SHIFT", 1.0)  # % NME; after 48 steps halves cost more than 0.005
    run_of(prepared_300w, tmp_path / "run").train()
    (tmp_path / "run/best.confidence.json").write_text("{}")
    return publish.publish(tmp_path / "run", prepared_300w, tmp_path / WEIGHTS_DIR.name)


def test_a_published_file_is_half_as_large_and_as_good(published, prepared_300w, tmp_path):
    path, record = published, json.loads(published.with_suffix(".json").read_text())
    assert path.relative_to(tmp_path) == Path(WEIGHTS_DIR.name, "300w/mnv2_32/300w_mnv2_32_ACRLoss.keras")
    assert path.with_suffix(".confidence.json").read_text() == "{}"
    assert record["file"]["bytes"] == path.stat().st_size
    assert record["file"]["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    before = json.loads((tmp_path / "run/settings.json").read_text())
    assert record["file"]["precision"] == "float16"
    assert record["validation"]["nme_float32"] == pytest.approx(before["validation"]["nme"], rel=1e-5)
    faces = load_faces(prepared_300w, "300W", "validation", 32)
    predicted = predict_faces(load_model(path), get_method("acr").codec, faces, CROPS["square"])
    nme = float(metrics.nme(predicted, faces.landmarks, faces.normaliser_distance()).mean())
    assert record["validation"]["nme"] == pytest.approx(nme, rel=1e-5)
    with zipfile.ZipFile(path) as half, zipfile.ZipFile(tmp_path / "run/best.keras") as full:
        sizes = [archive.getinfo("model.weights.h5").file_size for archive in (half, full)]
    kernels = sum(array.nbytes for array in load_model(path).get_weights() if array.ndim > 1)
    assert sizes[1] - sizes[0] == pytest.approx(kernels / 2, rel=0.01)
    result = Test().test_model("300W", path, data_dir=prepared_300w)
    assert result["subsets"]["full"]["nme"] == pytest.approx(record["test"]["subsets"]["full"]["nme"], rel=1e-4)
    assert sum(pose["n"] for pose in record["poses"]) == result["subsets"]["full"]["n"]
    assert best_weights(tmp_path / WEIGHTS_DIR.name) == path


def test_the_card_has_the_figures_of_the_record(published):
    card, record = published.with_suffix(".md").read_text(), json.loads(published.with_suffix(".json").read_text())
    for section in ("Training", "Figures on test faces", "Where it fails", "Limitations", "Terms"):
        assert f"## {section}\n" in card
    test = record["test"]
    assert record["file"]["sha256"] in card and "300W: research use." in card
    assert f"| single crop | inter-ocular | full | 6 of 689 | {test['subsets']['full']['nme']:.2f} |" in card
    assert " | ".join(f"{error:.2f}" for error in test["parts"].values()) in card
    assert "| faces | 16 of 300W; 3 epochs of 16 steps show each of them 12.0 times on average" in card
    assert record["worst"][0]["image"] in card
    assert "Not available when this was measured: lfpw/testset (224)." in card  # no training part
    assert "\nmobileNetV2, method `acr`: 68 landmarks of 300W" in card


def test_the_card_of_a_network_of_ours_names_it(published):
    """Those have no Keras application."""
    record = json.loads(published.with_suffix(".json").read_text())
    record["settings"]["arch"] = "VGG19"
    assert "\nVGG19, method `acr`: 68 landmarks" in model_card.model_card(record)


def test_kernels_are_halved_and_read_as_float32(tmp_path):
    model = CNNModel().get_model("mobileNetV2", 136, input_size=32)
    model.save(tmp_path / "float32.keras")
    write_half(tmp_path / "float32.keras", tmp_path / "half.keras")
    assert (tmp_path / "half.keras").stat().st_size < 0.56 * (tmp_path / "float32.keras").stat().st_size
    read = load_model(tmp_path / "half.keras")
    assert {weight.dtype for weight in read.weights} == {"float32"}
    for one, other in zip(model.get_weights(), read.get_weights(), strict=True):
        np.testing.assert_array_equal(other, one if one.ndim == 1 else one.astype(np.float16))
    other_size = CNNModel().get_model("mobileNetV2", 136, input_size=64)
    take_weights(other_size, tmp_path / "half.keras")  # the input grows, the weights fit
    np.testing.assert_array_equal(other_size.get_weights()[0], read.get_weights()[0])


def test_weights_that_float16_spoils_stay_float32(tiny, prepared_300w, tmp_path, monkeypatch):
    assert publish.PUBLISHED_SHIFT == 0.005

    def spoil(source, path):
        write_half(source, path)
        model = load_model(path)
        model.set_weights([2 * array for array in model.get_weights()])
        model.save(path)

    run_of(prepared_300w, tmp_path / "run").train()
    monkeypatch.setattr("networks.keras_file.write_half", spoil)
    path = publish.publish(tmp_path / "run", prepared_300w, tmp_path / "out")
    assert json.loads(path.with_suffix(".json").read_text())["file"]["precision"] == "float32"
    assert path.read_bytes() == (tmp_path / "run/best.keras").read_bytes()


def test_a_folder_without_a_run_is_an_error(prepared_300w, tmp_path, capsys):
    assert publish.main([str(tmp_path), "--data-dir", str(prepared_300w)]) == 1
    assert "holds no run" in capsys.readouterr().err


def test_outdated_files_beside_published_weights_are_removed(published, prepared_300w, tmp_path):
    (tmp_path / "run/best.confidence.json").unlink()
    assert publish.publish(tmp_path / "run", prepared_300w, tmp_path / WEIGHTS_DIR.name) == published
    assert not published.with_suffix(".confidence.json").exists() and published.with_suffix(".json").is_file()


@pytest.mark.parametrize("lacking", ["faces", "training", "machine"])
def test_an_incomplete_record_is_an_error(published, prepared_300w, tmp_path, capsys, lacking):
    path = tmp_path / "run/settings.json"
    record = json.loads(path.read_text())
    (record["training"] if lacking == "machine" else record).pop(lacking)
    path.write_text(json.dumps(record))
    assert publish.main([str(tmp_path / "run"), "--data-dir", str(prepared_300w)]) == 1
    assert "cannot be published" in capsys.readouterr().err


def test_contours_are_not_published(published, prepared_300w, tmp_path):
    path = tmp_path / "run/settings.json"
    record = json.loads(path.read_text())
    record["settings"]["method"] = "ace"
    path.write_text(json.dumps(record))
    with pytest.raises(ValueError, match="Received the method ace"):
        publish.publish(tmp_path / "run", prepared_300w, tmp_path / "out")


COMMAND = "python /src/train.py --weights /there/b/best.keras '--data-dir=/here/my data' --save-path /out/a --epochs 3"


def test_the_card_names_all_that_was_shown():
    """A recipe that counts its epochs in steps, and faces that the method brings along."""
    recipe = {"name": "pixelwise", "batch_size": 16, "learning_rate": 1e-4, "decay": "constant", "repeats": 1}
    recipe |= {"input_size": 224, "epochs": 1000, "epoch_steps": 1000, "patience": 10}
    settings = {
        "dataset": "300W",
        "method": "ace",
        "extra_datasets": [],
        "recipe": recipe,
        "seed": 1,
        "precision": "float32",
    }
    machine = {"gpu": None, "processor": "one", "cores": 2}
    training = {"machine": machine, "epochs": 25, "seconds": 60.0, "command": "python train.py"}
    record = {"settings": settings | {"start_weights": "a.keras"}, "training": training, "commit": "c"}
    record["stages"] = [
        {"weights": "a.keras", "sets": ["WFLW"], "command": COMMAND, "seconds": 90},
        {"weights": "/there/b/best.keras", "sets": None, "command": None, "seconds": None},
    ]
    record["faces"] = {"train": {"n": 4000}}
    text = model_card._training(record) + model_card._terms(record)
    assert "4,000 of 300W and synthetic; 25 epochs of 1,000 steps show each of them 100.0 times on average" in text
    stages = "# b/best.keras: faces unknown\n# a.keras: WFLW, 1.5 minutes\n"
    stages += "python train.py --weights b/best.keras '--data-dir=my data' --save-path a --epochs 3\n"
    assert "| started from | `a.keras` |" in text and f"The runs before it, in order:\n\n```\n{stages}```" in text
    assert "- synthetic: made by this project" in text and "- WFLW: " in text and "- and those of the data that" in text


PLACES = ("first/best.keras", "second/best.keras", "itself/best.keras")


def test_start_weights_are_followed_back(tmp_path):
    for name, settings in {
        "first": {"dataset": "synthetic", "start_weights": None},
        "second": {"dataset": "WFLW", "extra_datasets": ["300W"], "start_weights": str(tmp_path / "first/best.keras")},
        "itself": {"dataset": "300W", "start_weights": str(tmp_path / "itself/best.keras")},
    }.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "best.keras").touch()
        record = {"settings": {"method": "l1", "crop": "square"} | settings}
        record["training"] = {"command": f"make {name}", "seconds": 5}
        (tmp_path / name / "settings.json").write_text(json.dumps(record))
    start = {"start_weights": str(tmp_path / "second/best.keras")}
    first, second, itself, gone = (str(tmp_path / name) for name in (*PLACES, "gone.keras"))
    known = [{"weights": second, "sets": ["WFLW", "300W"], "command": "make second", "seconds": 5}]
    known += [{"weights": first, "sets": ["synthetic"], "command": "make first", "seconds": 5}]
    assert publish.get_stages(start) == known
    assert [stage["weights"] for stage in publish.get_stages({"start_weights": itself})] == [itself]
    unknown = {"weights": gone, "sets": None, "command": None, "seconds": None}
    assert publish.get_stages({"start_weights": gone}) == [unknown]
    assert publish.get_stages({"start_weights": None}) == []
    published = {"settings": {"method": "l1", "crop": "square", "start_weights": gone, "dataset": "300W"}}
    (tmp_path / "published.json").write_text(json.dumps(published | {"stages": known}))
    assert publish.get_stages({"start_weights": str(tmp_path / "published.keras")})[1:] == known


def test_weights_of_another_run_are_refused(published, prepared_300w, tmp_path):
    model = load_model(tmp_path / "run/best.keras")
    model.set_weights([0 * array for array in model.get_weights()])
    model.save(tmp_path / "run/best.keras")
    with pytest.raises(ValueError, match="does not fit its record. Received a validation NME of"):
        publish.publish(tmp_path / "run", prepared_300w, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("record", PUBLISHED, ids=lambda path: path.stem)
def test_the_weights_here_are_those_of_their_records(record):
    content = json.loads(record.read_text())
    weights = record.with_suffix(".keras")
    assert hashlib.sha256(weights.read_bytes()).hexdigest() == content["file"]["sha256"]
    assert load_model(weights).count_params() == content["parameters"]
    assert record.with_suffix(".md").read_text() == model_card.model_card(content)


def test_start_weights_of_other_landmarks_leave_the_head(tmp_path, capsys):
    def network(outputs):
        layers = [keras.Input((8,)), keras.layers.Dense(4), keras.layers.Dense(outputs)]
        return keras.Sequential(layers)

    source, target = network(136), network(196)
    source.save(tmp_path / "68.keras")
    head = target.get_weights()[-2:]
    take_weights(target, tmp_path / "68.keras")
    assert "has other outputs, (None, 136)" in capsys.readouterr().out
    for one, other in zip(target.get_weights(), [*source.get_weights()[:2], *head], strict=True):
        np.testing.assert_array_equal(one, other)
