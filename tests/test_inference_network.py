"""Networks of every file format predict alike; damaged files and wrong settings are errors with the file's name."""

import json
import sys

import keras
import numpy as np
import pytest
from keras2_files import write_keras2
from network_files import SIZE, images_of, save_tiny, write_onnx

from inference.network import description_path, load_network
from inference.onnx_format import read

# --------------------------------------------------------------------------------------------------------------------
# Keras files
# --------------------------------------------------------------------------------------------------------------------


def test_keras_file(tmp_path):
    path, model = save_tiny(tmp_path)
    network = load_network(path)
    assert (network.path, network.input_size, network.points) == (path, SIZE, 68)
    assert (network.crop, network.method, network.dataset) == ("square", "acr", "300W")
    for count in (1, 3):
        targets = keras.ops.convert_to_numpy(model(images_of(count), training=False))  # (count, 136)
        landmarks = network.predict(images_of(count))
        assert landmarks.shape == (count, 68, 2) and landmarks.dtype == np.float64
        np.testing.assert_allclose(landmarks[:, 5, 1], SIZE / 2 - SIZE * targets[:, 11], atol=1e-4)


def test_an_old_h5_file_has_the_settings_of_the_original(tmp_path):
    image = keras.Input((SIZE, SIZE, 3), name="input_1")
    pool = keras.layers.GlobalAveragePooling2D(name="pool")(image)
    model = keras.Model(image, keras.layers.Dense(58, name="O_L")(pool))
    network = load_network(write_keras2(model, tmp_path / "x.h5"))
    assert (network.crop, network.dataset, network.points) == ("tight", "COFW", 29)
    expected = SIZE / 2 - SIZE * keras.ops.convert_to_numpy(model(images_of(2))).reshape(2, 29, 2)
    np.testing.assert_allclose(network.predict(images_of(2)), expected, atol=1e-4)


def test_landmark_count_of_no_data_set(tmp_path):
    image = keras.Input((SIZE, SIZE, 3), name="input_1")
    model = keras.Model(image, keras.layers.Dense(6, name="O_L")(keras.layers.GlobalAveragePooling2D()(image)))
    with pytest.raises(ValueError, match=r"x.h5: .*no known data set. Received 3; known: .*68"):
        load_network(write_keras2(model, tmp_path / "x.h5"))


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"dataset": "COFW"}, "best.keras is not for COFW. Received 68 landmarks; expected 29"),
        ({"dataset": "300X"}, "best.keras: unknown data set.*'300X'"),
        ({"method": "magic"}, "best.keras: unknown method.*'magic'"),
        ({"crop": "round"}, "unknown method or crop.*'round'"),
    ],
)
def test_settings_that_do_not_fit(tmp_path, settings, message):
    path, _ = save_tiny(tmp_path)
    record = {"method": "acr", "crop": "square", "dataset": "300W"} | settings
    (tmp_path / "settings.json").write_text(json.dumps({"settings": record}))
    with pytest.raises(ValueError, match=message):
        load_network(path)


def test_missing_settings(tmp_path):
    path, _ = save_tiny(tmp_path)
    (tmp_path / "settings.json").unlink()
    with pytest.raises(ValueError, match="settings of .*best.keras are missing"):
        load_network(path)


@pytest.mark.parametrize("shape", [(SIZE, SIZE, 3), (2, SIZE, SIZE + 1, 3), (2, SIZE, SIZE, 1), (0, SIZE, SIZE, 3)])
def test_wrong_images(tmp_path, shape):
    network = load_network(save_tiny(tmp_path)[0])
    with pytest.raises(ValueError, match=r"best.keras. Received shape .*\(batch, 16, 16, 3\)"):
        network.predict(np.zeros(shape, np.float32))


def test_missing_file_names_its_neighbours(tmp_path):
    (tmp_path / "other.tflite").touch()
    with pytest.raises(FileNotFoundError, match="absent.onnx: no such weights file; there are: .*other.tflite"):
        load_network(tmp_path / "absent.onnx")


# --------------------------------------------------------------------------------------------------------------------
# Exported files of other programs
# --------------------------------------------------------------------------------------------------------------------


def test_description_beside_a_file_that_holds_none(tmp_path):
    network = load_network(write_onnx(tmp_path / "x.onnx"), threads=1)
    assert (network.points, network.crop, network.input_size) == (68, "square", SIZE)
    colours = images_of(3).mean(axis=(1, 2)).sum(axis=1)  # (3,): the matrix of ones sums the mean colours
    np.testing.assert_allclose(network.predict(images_of(3))[:, 7, 0], SIZE / 2 - SIZE * colours, rtol=1e-5)
    description_path(network.path).unlink()
    with pytest.raises(ValueError, match="settings of .*x.onnx are missing"):
        load_network(network.path)


def test_exported_file_of_another_landmark_count(tmp_path):
    with pytest.raises(ValueError, match="x.onnx is not for 300W. Received 29 landmarks; expected 68"):
        load_network(write_onnx(tmp_path / "x.onnx", outputs=58))


def test_operators_of_other_libraries_are_refused(tmp_path):
    with pytest.raises(ValueError, match="x.onnx: cannot be run as a network: .*evil"):
        load_network(write_onnx(tmp_path / "x.onnx", domain="evil"))


def test_data_outside_the_folder_is_refused(tmp_path):
    secret = np.ones((3, 136), np.float32)
    secret.tofile(tmp_path / "secret.bin")
    (tmp_path / "inside").mkdir()
    for location in ("../secret.bin", str(tmp_path / "secret.bin")):
        with pytest.raises(ValueError, match="x.onnx: cannot be run as a network"):
            load_network(write_onnx(tmp_path / "inside" / "x.onnx", location=location))
    secret.tofile(tmp_path / "inside" / "beside.bin")  # the same file beside the network is read
    assert load_network(write_onnx(tmp_path / "inside" / "x.onnx", location="beside.bin")).points == 68


def test_input_that_is_not_a_square_image(tmp_path):
    for sides in ((16, 20), ("side", "side")):
        with pytest.raises(ValueError, match=r"x.onnx: .*square RGB images. Received .*(16, 20|'side', 'side'), 3"):
            load_network(write_onnx(tmp_path / "x.onnx", shape=("batch", *sides, 3)))


@pytest.mark.parametrize("kept", [0, 1])
def test_outputs_of_another_shape(tmp_path, kept):
    """A map (1, 1, 1, 136) instead of (1, 136), and an odd number of outputs."""
    path = write_onnx(tmp_path / "x.onnx", outputs=136 + 1 - kept, keepdims=kept)
    with pytest.raises(ValueError, match="x.onnx: (it predicts no landmarks|cannot reshape)"):
        load_network(path)


@pytest.mark.parametrize(
    "settings", ['{"method": "l2", "crop": {}}', '{"method": "l2", "crop": "square", "dataset": ["300W"]}']
)
def test_settings_of_another_type(tmp_path, settings):
    path = write_onnx(tmp_path / "x.onnx")
    description_path(path).write_text(f'{{"settings": {settings}}}')
    with pytest.raises(ValueError, match=r"x\.onnx: unknown (method or crop|data set)"):
        load_network(path)


@pytest.mark.parametrize("suffix, package", [(".onnx", "onnxruntime"), (".tflite", "ai_edge_litert")])
@pytest.mark.parametrize("content", [b"", b"no network", bytes(range(256)) * 20])
def test_damaged_files(tmp_path, suffix, package, content):
    pytest.importorskip(package)
    path = tmp_path / f"x{suffix}"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=f"x{suffix}: cannot be run as a network"):
        load_network(path)


@pytest.mark.parametrize("cut", [1, 40, 1000])
def test_truncated_onnx(tmp_path, cut):
    path = write_onnx(tmp_path / "x.onnx")
    path.write_bytes(path.read_bytes()[:-cut])
    with pytest.raises(ValueError, match="x.onnx: cannot be run as a network"):
        load_network(path)


@pytest.mark.parametrize(
    "suffix, module, package",
    [(".onnx", "onnxruntime", "onnxruntime"), (".tflite", "ai_edge_litert", "ai-edge-litert")],
)
def test_missing_package_is_named(tmp_path, monkeypatch, suffix, module, package):
    (tmp_path / f"x{suffix}").touch()
    for name in [name for name in sys.modules if name.partition(".")[0] == module]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ImportError, match=rf"reading .*x{suffix} needs the package {package}\..*pip install {package}"):
        load_network(tmp_path / f"x{suffix}")


def test_threads(tmp_path):
    session, *_ = read(write_onnx(tmp_path / "x.onnx"), threads=3)
    assert session.get_session_options().intra_op_num_threads == 3
