"""The networks, and that weights files are read exactly and nothing in them is executed."""

import base64
import dataclasses
import json
import marshal
import os
import shutil
import types
import zipfile
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest
from keras import layers

import config
from cnn_model import LEGACY_SETTINGS, CNNModel, find_weights, head_scale, load_model, settings_of
from config import ModelArch

DATA = Path(os.environ.get("FACE_DATA", Path(__file__).parents[1] / "../shared/data"))
FIXTURES = DATA.parent / "fixtures/legacy_h5"
TOLERANCE = 1e-5


def predict(model, images):
    return keras.ops.convert_to_numpy(model(images, training=False))


def images_for(model, seed=0):
    return np.random.default_rng(seed).random((2, *model.input_shape[1:]), dtype="float32")


def randomise(model, seed=0):
    """Different numbers in every array, so that an exchanged one shows; BatchNorm keeps the signal in range."""
    rng = np.random.default_rng(seed)
    for layer in model.layers:
        if isinstance(layer, layers.BatchNormalization):
            layer.set_weights([rng.uniform(0.5, 1.5, array.shape) for array in layer.get_weights()])
    return model


def small_network():
    """Every kind of layer that MobileNetV2 and EfficientNet have, on 16 x 16 pixels."""
    image = keras.Input((16, 16, 3), name="input_1")
    x = layers.Conv2D(4, 3, strides=2, padding="same", use_bias=False, name="stem_conv")(image)
    x = layers.BatchNormalization(momentum=0.9, name="stem_bn")(x)
    stem = layers.ReLU(6.0, name="stem_relu")(x)
    x = layers.ZeroPadding2D(((1, 1), (1, 1)), name="pad")(stem)
    x = layers.DepthwiseConv2D(3, padding="valid", use_bias=False, name="dwconv")(x)
    x = layers.BatchNormalization(name="bn")(x)
    x = layers.Activation("silu", name="activation")(x)
    squeezed = layers.GlobalAveragePooling2D(name="se_squeeze")(x)
    squeezed = layers.Reshape((1, 1, 4), name="se_reshape")(squeezed)
    squeezed = layers.Conv2D(2, 1, activation="silu", name="se_reduce")(squeezed)
    squeezed = layers.Conv2D(4, 1, activation="sigmoid", name="se_expand")(squeezed)
    x = layers.Multiply(name="se_excite")([x, squeezed])
    x = layers.Dropout(0.2, noise_shape=(None, 1, 1, 1), name="drop")(x)
    x = layers.Add(name="add")([x, stem])
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    x = layers.Dropout(0.1, name="dropout")(x)
    return randomise(keras.Model(image, layers.Dense(6, name="O_L")(x)))


# --------------------------------------------------------------------------------------------------------------------
# A writer of old files: the layout of TF 2.6
# --------------------------------------------------------------------------------------------------------------------


def keras2_settings(layer):
    """A layer's settings as Keras 2 wrote them."""
    settings = layer.get_config()
    for key, value in settings.items():
        if isinstance(value, dict):
            settings[key] = {"class_name": value["class_name"], "config": value["config"]}
        elif value == "silu":
            settings[key] = "swish"
    settings["dtype"] = "float32"
    if isinstance(layer, layers.InputLayer):
        settings["batch_input_shape"] = settings.pop("batch_shape")
    if isinstance(layer, layers.DepthwiseConv2D):
        settings["groups"] = 1
    if isinstance(layer, layers.BatchNormalization):
        settings["axis"] = [3]
    return settings


def keras2_layer(layer):
    fixed = isinstance(layer, layers.Dropout) and layer.noise_shape is not None
    calls = [] if isinstance(layer, layers.InputLayer) else [_sources(layer)]
    class_name = "FixedDropout" if fixed else type(layer).__name__
    return {"class_name": class_name, "config": keras2_settings(layer), "name": layer.name, "inbound_nodes": calls}


def _sources(layer):
    tensors = layer.input if isinstance(layer.input, list) else [layer.input]
    return [[tensor._keras_history.operation.name, 0, 0, {}] for tensor in tensors]


def write_keras2(model, path, compiled=False, edit=lambda model_config: None):
    """Write a whole-model .h5 file; `edit` may change the JSON before."""
    model_config = {
        "class_name": "Functional",
        "config": {
            "name": "model",
            "layers": [keras2_layer(layer) for layer in model.layers],
            "input_layers": [[model.layers[0].name, 0, 0]],
            "output_layers": [[model.layers[-1].name, 0, 0]],
        },
    }
    edit(model_config)
    with h5py.File(path, "w") as file:
        file.attrs.update(keras_version="2.6.0", backend="tensorflow", model_config=json.dumps(model_config))
        weights = file.create_group("model_weights")
        weights.attrs["layer_names"] = [layer.name for layer in model.layers]
        for layer in model.layers:
            group = weights.create_group(layer.name)
            names = [f"{layer.name}/{variable.name}:0" for variable in layer.weights]
            group.attrs["weight_names"] = np.array(names, dtype=object) if names else np.zeros(0)
            for name, array in zip(names, layer.get_weights(), strict=True):
                group[name] = array
        if compiled:
            file.attrs["training_config"] = json.dumps({"loss": "mse", "optimizer_config": {"class_name": "Adam"}})
            file.create_group("optimizer_weights").attrs["weight_names"] = ["Adam/iter:0"]
    return path


def layer_in(model_config, name):
    return next(layer for layer in model_config["config"]["layers"] if layer["name"] == name)


@pytest.fixture(scope="module")
def small():
    return small_network()


# --------------------------------------------------------------------------------------------------------------------
# The networks
# --------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arch, output_len, parameters",
    [
        (ModelArch.MNV2, 136, 2_432_200),
        (ModelArch.MNV2, 58, 2_332_282),
        (ModelArch.EFNB0, 136, 4_049_564 + 174_216),
        (ModelArch.EFNB3, 136, 10_783_528 + 209_032),
        (ModelArch.RN50, 136, 23_587_712 + 2049 * 136),
        (ModelArch.DN121, 38, 7_037_504 + 1025 * 38),
    ],
)
def test_parameters_and_head(arch, output_len, parameters):
    """The numbers without a head are those that Keras lists for its applications without a top."""
    model = CNNModel().get_model(str(arch), output_len)
    assert model.count_params() == parameters
    assert model.input_shape == (None, 224, 224, 3) and model.output_shape == (None, output_len)
    assert [layer.name for layer in model.layers[-3:]] == ["pool", "dropout", "landmarks"]
    assert model.get_layer("dropout").rate == config.NETWORKS[arch].dropout
    kernel = model.get_layer("landmarks").kernel.numpy()
    he_uniform = np.sqrt(6 / len(kernel))
    assert 0.95 * he_uniform < np.abs(kernel).max() <= he_uniform
    kinds = {type(layer).__name__ for layer in model.layers}
    assert not kinds & {"Rescaling", "Normalization"}


def test_a_row_of_its_own_changes_the_head():
    network = dataclasses.replace(config.NETWORKS[ModelArch.MNV2], dropout=0.3, head_scale=0.1)
    model = CNNModel().get_model(network, 136, input_size=64)
    assert model.get_layer("dropout").rate == 0.3
    plain = CNNModel().get_model(ModelArch.MNV2, 136, input_size=64)
    assert (head_scale(model), head_scale(plain)) == (0.1, 1.0)
    *backbone, kernel, bias = model.get_weights()
    plain.set_weights([*backbone, 0.1 * kernel, bias])
    images = np.random.default_rng(0).random((2, 64, 64, 3), np.float32)
    np.testing.assert_allclose(plain.predict_on_batch(images), model.predict_on_batch(images), atol=1e-5)


@pytest.mark.parametrize("arch", [ModelArch.RN50, ModelArch.DN121])
def test_features_are_those_of_keras_own_application(arch):
    model = randomise(CNNModel().get_model(arch, 38, input_size=64, batch_norm=0.9))
    application = getattr(keras.applications, config.NETWORKS[arch].application)
    original = application(include_top=False, weights=None, input_shape=(64, 64, 3), pooling="avg")
    assert model.count_params() == original.count_params() + (original.output_shape[1] + 1) * 38
    original.set_weights(model.get_weights()[:-2])  # all but the head's kernel and bias
    features = keras.Model(model.input, model.get_layer("pool").output)
    expected = predict(original, images_for(model))
    np.testing.assert_allclose(predict(features, images_for(model)), expected, rtol=1e-4, atol=1e-4)
    assert predict(model, images_for(model)).shape == (2, 38)


@pytest.mark.parametrize("arch", [ModelArch.MNV2, ModelArch.EFNB0, ModelArch.RN50, ModelArch.DN121])
def test_momentum_size_and_outputs_survive_saving(tmp_path, arch):
    model = randomise(CNNModel().get_model(arch, 58, input_size=64, batch_norm=0.9))
    model.compile("adam", "mse")
    model.save(tmp_path / "x.keras")
    loaded = load_model(tmp_path / "x.keras")
    norms = [layer for layer in loaded.layers if isinstance(layer, layers.BatchNormalization)]
    assert len(norms) > 40 and {layer.momentum for layer in norms} == {0.9}
    assert not loaded.compiled and loaded.input_shape == (None, 64, 64, 3)
    assert [layer.name for layer in loaded.layers] == [layer.name for layer in model.layers]
    np.testing.assert_allclose(predict(loaded, images_for(model)), predict(model, images_for(model)), atol=TOLERANCE)


def test_output_is_float32_in_mixed_precision():
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = CNNModel().get_model(ModelArch.MNV2, 58, input_size=64)
    finally:
        keras.config.set_dtype_policy(policy)
    assert model.get_layer("Conv1").compute_dtype == "bfloat16"
    assert keras.backend.standardize_dtype(model.output.dtype) == "float32"


def test_unknown_network():
    with pytest.raises(ValueError, match="'resnet'.*mobileNetV2"):
        CNNModel().get_model("resnet", 136)


# --------------------------------------------------------------------------------------------------------------------
# Old .h5 files
# --------------------------------------------------------------------------------------------------------------------


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
    """Code that makes a file, as a Lambda layer of Keras 2 holds it."""
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


def setting(name, key, value):
    """An edit that changes one setting of one layer."""
    return lambda model_config: layer_in(model_config, name)["config"].update({key: value})


def entry(name, key, value):
    """An edit that changes what the JSON says of one layer beside its settings."""
    return lambda model_config: layer_in(model_config, name).update({key: value})


HUGE = 10**9


@pytest.mark.parametrize(
    "edit, reason",
    [
        (entry("stem_relu", "class_name", "Evil"), "'Evil'"),
        (entry("stem_relu", "class_name", "Functional"), "'Functional'"),
        (entry("stem_relu", "class_name", ["Conv2D"]), "Conv2D"),
        (entry("pad", "inbound_nodes", [[["stem_relu", 0, 0, {}]], [["stem_bn", 0, 0, {}]]]), "'pad'"),
        (entry("pad", "inbound_nodes", [[["stem_relu", 0, 0, {"training": True}]]]), "'pad'"),
        (entry("pad", "inbound_nodes", [[["O_L", 0, 0, {}]]]), "'pad'.*before it"),
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
        (setting("input_1", "batch_input_shape", [None, HUGE, HUGE, 3]), "absurdly large"),
        (setting("input_1", "batch_input_shape", [None, 16, 16]), "no image"),
        (setting("pad", "padding", [[HUGE, 0], [0, HUGE]]), "absurdly large"),
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
        (never_stored, "absurdly large"),
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
    whole = write_keras2(small, tmp_path / "whole.h5").read_bytes()
    for share in (0.1, 0.5, 0.99):
        path.write_bytes(whole[: int(share * len(whole))])
        with pytest.raises(ValueError, match="x.h5"):
            load_model(path)
    small.save_weights(tmp_path / "x.weights.h5")
    with pytest.raises(ValueError, match="no model_config"):
        load_model(tmp_path / "x.weights.h5")
    (tmp_path / "x.onnx").touch()
    with pytest.raises(ValueError, match=r"x\.onnx.*'\.onnx'"):
        load_model(tmp_path / "x.onnx")


# --------------------------------------------------------------------------------------------------------------------
# .keras files
# --------------------------------------------------------------------------------------------------------------------


@keras.saving.register_keras_serializable(package="acr", name="TestTwice")
class Twice(layers.Layer):
    def call(self, inputs):
        return 2 * inputs


@keras.saving.register_keras_serializable(package="stranger", name="Thrice")
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


def test_classes_of_strangers_are_refused(tmp_path):
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
        (setting("landmarks", "units", HUGE), "absurdly large"),
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
    whole = (tmp_path / "good.keras").read_bytes()
    path = tmp_path / "x.keras"
    for content in (b"", b"no archive", whole[: len(whole) // 2], whole[:-10]):
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


# --------------------------------------------------------------------------------------------------------------------
# Finding weights and their settings
# --------------------------------------------------------------------------------------------------------------------


def test_find_weights_with_and_without_the_folder(tmp_path):
    short, long = tmp_path / "300w/EF_3/x.h5", tmp_path / "ACRLoss/300w/mnv2/y.h5"
    for path in (short, long):
        path.parent.mkdir(parents=True)
        path.touch()
    assert find_weights(short) == short
    assert find_weights(tmp_path / "ACRLoss/300w/EF_3/x.h5") == short
    assert find_weights(tmp_path / "300w/mnv2/y.h5") == long


def test_find_weights_relative(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "ACRLoss").mkdir()
    (tmp_path / "ACRLoss/x.h5").touch()
    assert find_weights("./x.h5") == Path("ACRLoss/x.h5")


def test_find_weights_takes_the_keras_file_and_says_so(tmp_path):
    (tmp_path / "300w").mkdir()
    (tmp_path / "300w/x.keras").touch()
    with pytest.warns(UserWarning, match=r"x\.h5 does not exist.*x\.keras"):
        assert find_weights(tmp_path / "ACRLoss/300w/x.h5") == tmp_path / "300w/x.keras"


def test_missing_weights_are_listed(tmp_path):
    (tmp_path / "300w/mnv2").mkdir(parents=True)
    (tmp_path / "300w/mnv2/y.keras").touch()
    with pytest.raises(FileNotFoundError, match=r"x\.h5.*there are: .*y\.keras"):
        load_model(tmp_path / "ACRLoss/300w/EF_3/x.h5")


def test_missing_weights_where_there_are_none(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError, match="none"):
        find_weights("x.keras")


def test_settings(tmp_path):
    for name in ("x.keras", "y.keras", "z.h5"):
        (tmp_path / name).touch()
    assert settings_of(tmp_path / "x.keras") == {}  # nothing is known of it

    def written(name, method):
        (tmp_path / name).write_text(json.dumps({"settings": {"method": method, "crop": "square"}, "seed": 7}))

    written("settings.json", "acr")
    written("y.json", "anisotropic")
    assert settings_of(tmp_path / "x.keras") == {"method": "acr", "crop": "square"}
    assert settings_of(tmp_path / "y.keras")["method"] == "anisotropic"
    assert settings_of(tmp_path / "z.h5") == LEGACY_SETTINGS  # settings.json is of the .keras files
    written("z.json", "l2")
    assert settings_of(tmp_path / "z.h5")["crop"] == "square"


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "{}", '{"settings": []}', '{"settings": {"method": "l2", "crop": "none"}}', "\udcff"]
    + ['{"settings": {"method": "l2", "crop": {}}}', "[" * 100_000],
)
def test_broken_settings(tmp_path, text):
    (tmp_path / "x.keras").touch()
    (tmp_path / "x.json").write_text(text, encoding="utf-8", errors="surrogateescape")
    with pytest.raises(ValueError, match="x.json.*Received"):
        settings_of(tmp_path / "x.keras")
