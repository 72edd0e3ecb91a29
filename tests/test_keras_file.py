"""`.keras` files are read exactly, and nothing in them is executed."""

import json
import shutil
import zipfile

import keras
import numpy as np
import pytest
from keras import layers
from keras2_files import HUGE, entry, setting
from small_networks import images_for, predict

from networks.weights import load_model


@keras.saving.register_keras_serializable(package="acr", name="TestTwice")
class Twice(layers.Layer):
    def call(self, inputs):
        return 2 * inputs


@keras.saving.register_keras_serializable(package="other", name="Thrice")
class Thrice(layers.Layer):
    def call(self, inputs):
        return 3 * inputs


def network_with(layer):
    image = keras.Input((8, 8, 3), name="image")
    x = layers.GlobalAveragePooling2D(name="pool")(image)
    x = layer(layers.Dense(4, name="landmarks")(x))
    return keras.Model(image, x + 1.0)


def test_own_classes_and_operations_are_read(tmp_path):
    model = network_with(Twice(name="twice"))
    model.save(tmp_path / "x.keras")
    loaded = load_model(tmp_path / "x.keras")
    np.testing.assert_allclose(predict(loaded, images_for(model)), predict(model, images_for(model)), atol=1e-6)


def test_lambda_in_keras_is_not_run(tmp_path):
    proof = tmp_path / "proof"

    def body(inputs, path=str(proof)):
        open(path, "w").close()
        return inputs

    model = network_with(layers.Lambda(body, output_shape=(4,), name="lambda"))
    model.save(tmp_path / "x.keras")
    predict(model, images_for(model))
    assert proof.exists()  # the code does what the test is about
    proof.unlink()
    with pytest.raises(ValueError, match="x.keras.*Lambda"):
        load_model(tmp_path / "x.keras")
    assert not proof.exists()


def test_classes_of_other_packages_are_refused(tmp_path):
    network_with(Thrice(name="thrice")).save(tmp_path / "x.keras")
    with pytest.raises(ValueError, match="x.keras.*Thrice"):
        load_model(tmp_path / "x.keras")


def rewrite(source, target, edit):
    """Copy an archive with its configuration changed."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            if name == "config.json":
                model_config = json.loads(content)
                edit(model_config)
                content = json.dumps(model_config)
            new.writestr(name, content)
    return target


@pytest.mark.filterwarnings("ignore:Skipping nested container")
@pytest.mark.parametrize(
    "edit, reason",
    [
        (entry("landmarks", "module", "os"), "os.Dense"),
        (entry("landmarks", "module", None), "Dense"),
        (entry("landmarks", "module", "keras.utils"), "keras.utils"),
        (entry("landmarks", "registered_name", "acr>Absent"), "acr>Absent"),
        (entry("landmarks", "class_name", "TorchModuleWrapper"), "TorchModuleWrapper"),
        (entry("landmarks", "class_name", "Absent"), "Absent"),
        (entry("landmarks", "class_name", "__lambda__"), "__lambda__"),
        (
            setting("landmarks", "activation", {"class_name": "function", "module": "os", "config": "system"}),
            "function",
        ),
        (setting("landmarks", "kernel_initializer", {"class_name": "Lambda", "module": "keras.layers"}), "Lambda"),
        (setting("landmarks", "units", HUGE), "too large"),
        (setting("landmarks", "units", 5), "."),
        (lambda model_config: model_config.pop("config"), "."),
    ],
)
def test_bad_archives_are_refused(tmp_path, edit, reason):
    network_with(layers.ReLU(name="relu")).save(tmp_path / "good.keras")
    path = rewrite(tmp_path / "good.keras", tmp_path / "x.keras", edit)
    with pytest.raises(ValueError, match=rf"x\.keras.*{reason}") as error:
        load_model(path)
    assert "\n" not in str(error.value)


def test_broken_archives(tmp_path):
    network_with(layers.ReLU(name="relu")).save(tmp_path / "good.keras")
    complete = (tmp_path / "good.keras").read_bytes()
    path = tmp_path / "x.keras"
    for content in (b"", b"no archive", complete[: len(complete) // 2], complete[:-10]):
        path.write_bytes(content)
        with pytest.raises(ValueError, match="x.keras.*truncated"):
            load_model(path)
    shutil.copy(tmp_path / "good.keras", path)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("assets/../../evil", "")
    with pytest.raises(ValueError, match="x.keras.*evil"):
        load_model(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("config.json", "{")
    with pytest.raises(ValueError, match="x.keras.*model.weights.h5"):
        load_model(path)
