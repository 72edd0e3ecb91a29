"""`.h5` files of Keras 2 are read exactly, and nothing in them is executed."""

import base64
import marshal
import os
import types
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest
from keras import layers
from keras2_files import HUGE, entry, layer_in, setting, write_keras2
from small_networks import TOLERANCE, images_for, predict, randomise, small_network

from cnn_model import CNNModel
from config import ModelArch
from networks.weights import load_model

pytestmark = pytest.mark.integration

DATA = Path(os.environ.get("FACE_DATA", Path(__file__).parents[1] / "../shared/data"))
FIXTURES = DATA.parent / "fixtures/legacy_h5"


@pytest.fixture(scope="module")
def small():
    return small_network()


@pytest.mark.parametrize("stem, arch", [("mnv2_300w", ModelArch.MNV2), ("efnB0_300w", ModelArch.EFNB0)])
def test_files_of_tf_2_6_give_their_stored_outputs(stem, arch):
    if not (FIXTURES / f"{stem}.h5").is_file():
        pytest.skip(f"{FIXTURES / stem}.h5 is absent")
    stored = np.load(FIXTURES / f"{stem}.npz", allow_pickle=False)
    old = load_model(FIXTURES / f"{stem}.h5")
    np.testing.assert_allclose(predict(old, stored["x"]), stored["y"], atol=TOLERANCE)

    ours = CNNModel().get_model(arch, 136)  # the same arrays in our network: it is the original's network
    ours.set_weights(old.get_weights())
    np.testing.assert_allclose(predict(ours, stored["x"]), stored["y"], atol=TOLERANCE)


def test_small_file_and_its_momentum(tmp_path, small):
    loaded = load_model(write_keras2(small, tmp_path / "x.h5"))
    images = images_for(small)
    np.testing.assert_allclose(predict(loaded, images), predict(small, images), atol=TOLERANCE)
    assert loaded.get_layer("stem_bn").momentum == 0.9
    assert type(loaded.get_layer("drop")) is layers.Dropout and loaded.get_layer("drop").rate == 0.2
    loaded.save(tmp_path / "x.keras")
    np.testing.assert_allclose(
        predict(load_model(tmp_path / "x.keras"), images), predict(small, images), atol=TOLERANCE
    )


def test_compiled_b3_with_58_outputs(tmp_path):
    model = randomise(CNNModel().get_model(ModelArch.EFNB3, 58, input_size=64))
    loaded = load_model(write_keras2(model, tmp_path / "x.h5", compiled=True))
    assert loaded.output_shape == (None, 58) and not loaded.compiled
    np.testing.assert_allclose(predict(loaded, images_for(model)), predict(model, images_for(model)), atol=TOLERANCE)


def test_scaling_layers_of_keras_own_efficientnet(tmp_path):
    image = keras.Input((8, 8, 3), name="input_1")
    x = layers.Rescaling(1 / 255, name="rescaling")(image)
    x = layers.Normalization(name="normalization")(x)
    model = keras.Model(image, layers.Dense(2, name="O_L")(layers.GlobalAveragePooling2D(name="pool")(x)))
    normalization = model.get_layer("normalization")
    normalization.set_weights([np.array([0.1, 0.2, 0.3]), np.array([2.0, 3.0, 4.0]), np.array(0)])
    normalization.finalize_state()
    loaded = load_model(write_keras2(model, tmp_path / "x.h5"))
    np.testing.assert_allclose(predict(loaded, images_for(model)), predict(model, images_for(model)), atol=TOLERANCE)


def test_sequential_file(tmp_path):
    model = keras.Sequential(
        [keras.Input((8, 8, 3)), layers.Conv2D(4, 3, name="conv"), layers.GlobalAveragePooling2D(name="pool")]
    )
    entry = {"class_name": "InputLayer", "config": {"name": "input_1", "batch_input_shape": [None, 8, 8, 3]}}

    def edit(model_config):
        model_config["class_name"] = "Sequential"
        plain = [{key: layer[key] for key in ("class_name", "config")} for layer in model_config["config"]["layers"]]
        model_config["config"] = {"name": "sequential", "layers": [entry, *plain]}

    path = write_keras2(model, tmp_path / "x.h5", edit=edit)
    with h5py.File(path, "a") as file:
        file["model_weights"].create_group("input_1")
    np.testing.assert_allclose(
        predict(load_model(path), images_for(model)), predict(model, images_for(model)), atol=1e-5
    )


def payload(proof):
    """Return code that creates a file, in the form of a Lambda layer of Keras 2."""
    code = compile(f"open({str(proof)!r}, 'w').close()", "<lambda>", "exec")
    return code, base64.b64encode(marshal.dumps(code)).decode()


def test_lambda_in_h5_is_not_run(tmp_path, small):
    proof = tmp_path / "proof"
    code, text = payload(proof)
    types.FunctionType(code, {})()
    assert proof.exists()  # the code does what the test is about
    proof.unlink()

    def edit(model_config):
        layer = layer_in(model_config, "stem_relu")
        layer["class_name"] = "Lambda"
        layer["config"] = {"name": "stem_relu", "function": [text, None, None], "function_type": "lambda"}

    path = write_keras2(small, tmp_path / "x.h5", edit=edit)
    with pytest.raises(ValueError, match="x.h5.*'Lambda'"):
        load_model(path)
    assert not proof.exists()


@pytest.mark.parametrize(
    "edit, reason",
    [
        (entry("stem_relu", "class_name", "Evil"), "'Evil'"),
        (entry("stem_relu", "class_name", "Functional"), "'Functional'"),
        (entry("stem_relu", "class_name", ["Conv2D"]), "Conv2D"),
        (entry("pad", "inbound_nodes", [[["stem_relu", 0, 0, {}]], [["stem_bn", 0, 0, {}]]]), "'pad'"),
        (entry("pad", "inbound_nodes", [[["stem_relu", 0, 0, {"training": True}]]]), "'pad'"),
        (entry("pad", "inbound_nodes", [[["O_L", 0, 0, {}]]]), "'pad'.*precede"),
        (entry("pad", "inbound_nodes", []), "'pad'"),
        (lambda model_config: model_config.update(class_name="Evil"), "Functional"),
        (lambda model_config: model_config["config"].pop("layers"), "layers"),
        (lambda model_config: model_config["config"].update(output_layers=[["nothing", 0, 0]]), "'nothing'"),
        (setting("activation", "activation", "os.system"), "'os.system'"),
        (setting("activation", "activation", {"class_name": "Evil", "config": {}}), "Evil"),
        (setting("O_L", "kernel_initializer", {"class_name": "Evil", "config": {}}), "Evil"),
        (setting("O_L", "kernel_regularizer", "evil"), "evil"),
        (setting("O_L", "kernel_constraint", {"class_name": "Lambda", "config": {}}), "Lambda"),
        (setting("stem_conv", "strides", {"class_name": "Evil"}), "Evil"),
        (setting("stem_conv", "data_format", "channels_first"), "channels_last"),
        (setting("stem_bn", "axis", [1]), "axis"),
        (setting("stem_bn", "name", "../stem_bn"), "plain"),
        (setting("stem_bn", "name", "stem_conv"), "once"),
        (setting("O_L", "units", HUGE), "do not fit"),
        (setting("stem_conv", "filters", HUGE), "do not fit"),
        (setting("stem_conv", "kernel_size", [HUGE, HUGE]), "do not fit"),
        (setting("input_1", "batch_input_shape", [None, HUGE, HUGE, 3]), "too large"),
        (setting("input_1", "batch_input_shape", [None, 16, 16]), "not an image"),
        (setting("pad", "padding", [[HUGE, 0], [0, HUGE]]), "too large"),
    ],
)
def test_bad_json_is_refused(tmp_path, small, edit, reason):
    path = write_keras2(small, tmp_path / "x.h5", edit=edit)
    with pytest.raises(ValueError, match=rf"x\.h5.*{reason}") as error:
        load_model(path)
    assert "\n" not in str(error.value)


def external_link(weights):
    del weights["O_L"]
    weights["O_L"] = h5py.ExternalLink("other.h5", "/model_weights/O_L")


def soft_link(weights):
    del weights["O_L/O_L"]
    weights["O_L/O_L"] = h5py.SoftLink("/model_weights/bn")


def external_storage(weights):
    shape = weights["O_L/O_L/bias:0"].shape
    del weights["O_L/O_L/bias:0"]
    weights.create_dataset("O_L/O_L/bias:0", shape, "float32", external=[("other.bin", 0, h5py.h5f.UNLIMITED)])


def virtual_dataset(weights):
    shape = weights["O_L/O_L/bias:0"].shape
    del weights["O_L/O_L/bias:0"]
    layout = h5py.VirtualLayout(shape, "float32")
    layout[:] = h5py.VirtualSource("other.h5", "/model_weights/O_L/O_L/bias:0", shape)
    weights.create_virtual_dataset("O_L/O_L/bias:0", layout)


def objects(weights):
    shape = weights["O_L/O_L/bias:0"].shape
    del weights["O_L/O_L/bias:0"]
    weights.create_dataset("O_L/O_L/bias:0", shape, h5py.string_dtype())


def never_stored(weights):
    del weights["O_L/O_L/bias:0"]
    weights.create_dataset("O_L/O_L/bias:0", (HUGE, 1000), "float32", chunks=(1, 1000))  # a few bytes on disk


def wrong_shape(weights):
    del weights["O_L/O_L/bias:0"]
    weights["O_L/O_L/bias:0"] = np.zeros(7, "float32")


def missing_array(weights):
    del weights["O_L/O_L/bias:0"]


def missing_layer(weights):
    del weights["stem_bn"]


def missing_names(weights):
    weights["stem_bn"].attrs["weight_names"] = np.zeros(0)


@pytest.mark.parametrize(
    "damage, reason",
    [
        (external_link, "'O_L'.*ExternalLink"),
        (soft_link, "SoftLink"),
        (external_storage, "another file"),
        (virtual_dataset, "another file"),
        (objects, "numbers"),
        (never_stored, "too large"),
        (wrong_shape, "'O_L' do not fit.*7"),
        (missing_array, "bias:0.*missing"),
        (missing_layer, "'stem_bn'.*missing"),
        (missing_names, "'stem_bn' do not fit"),
    ],
)
def test_bad_arrays_are_refused(tmp_path, small, damage, reason):
    write_keras2(small, tmp_path / "other.h5")  # what the links lead to is there and fits
    (tmp_path / "other.bin").write_bytes(bytes(1000))
    path = write_keras2(small, tmp_path / "x.h5")
    with h5py.File(path, "a") as file:
        damage(file["model_weights"])
    with pytest.raises(ValueError, match=rf"x\.h5.*{reason}") as error:
        load_model(path)
    assert "\n" not in str(error.value)


def test_files_that_are_no_models(tmp_path, small):
    path = tmp_path / "x.h5"
    path.write_bytes(b"not HDF5 at all")
    with pytest.raises(ValueError, match="x.h5"):
        load_model(path)
    complete = write_keras2(small, tmp_path / "complete.h5").read_bytes()
    for fraction in (0.1, 0.5, 0.99):
        path.write_bytes(complete[: int(fraction * len(complete))])
        with pytest.raises(ValueError, match="x.h5"):
            load_model(path)
    small.save_weights(tmp_path / "x.weights.h5")
    with pytest.raises(ValueError, match="no model_config"):
        load_model(tmp_path / "x.weights.h5")
    (tmp_path / "x.onnx").touch()
    with pytest.raises(ValueError, match=r"x\.onnx.*'\.onnx'"):
        load_model(tmp_path / "x.onnx")
