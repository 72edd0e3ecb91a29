"""Exported files compute what Keras computes, describe themselves, and are not kept if they fail their check."""

import dataclasses
import functools
import json
import subprocess
import sys
import zipfile
from pathlib import Path

import keras
import numpy as np
import pytest
from network_files import SIZE, images_of, save_tiny, write_onnx
from small_networks import randomise

import export as exporting
from ace_net.config import EXTRACTION_WIDTH, FINE_STRIDE
from ace_net.outlines import OUTLINE_LAYOUT
from benchmarks import inference_speed
from cnn_model import CNNModel, get_network
from config import CROPS, EXPORT_SUFFIXES, PACKAGE, ROOT
from export import PRECISIONS, Precision, render_faces
from face_datasets.catalogue import get_dataset
from image_utility import to_network
from inference.confidence import load_calibration
from inference.network import FORMATS, description_path, load_network
from inference.quantization import Operation, soft_argmax_operations
from methods import get_method
from networks import vgg
from networks.spatial_head import MAP_STRIDE, SoftArgmax
from pixelwise import cascade
from pixelwise.decode import window_radius
from utils.files import write_json

pytestmark = pytest.mark.integration

export = functools.partial(exporting.export, max_faces=8)
PACKAGES = {"onnx": ("onnx", "tf2onnx", "onnxruntime"), "litert": ("ai_edge_litert",)}


def needs(format):
    for package in PACKAGES[format]:
        pytest.importorskip(package)


SHARP = 1.0  # standard deviation of weights that give heatmaps with peaks


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """Weights of a tiny network for 300W, the same in every run, because the error of int8 depends on them."""
    keras.utils.set_random_seed(0)
    return save_tiny(tmp_path_factory.mktemp("run"))[0]


def in_file(format, path):
    """The description inside a file, read without our code."""
    if format == "litert":
        return json.loads(zipfile.ZipFile(path).read("acr.json"))
    import onnx

    return json.loads({entry.key: entry.value for entry in onnx.load(path).metadata_props}[PACKAGE])


def raw_outputs(format, path, images):
    """The first output of the runtime itself, image by image."""
    if format == "onnx":
        import onnxruntime

        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        return np.concatenate([session.run(None, {session.get_inputs()[0].name: image[None]})[0] for image in images])
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(path))
    interpreter.allocate_tensors()
    outputs = []
    for image in images:
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], image[None])
        interpreter.invoke()
        outputs.append(interpreter.get_tensor(interpreter.get_output_details()[0]["index"]))
    return np.concatenate(outputs)


# --------------------------------------------------------------------------------------------------------------------
# Every format and precision
# --------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("format", FORMATS)
def test_file_describes_itself_and_computes_what_keras_does(tiny, tmp_path, format, precision):
    needs(format)
    out = tmp_path / f"x{EXPORT_SUFFIXES[format]}"
    report = export(tiny, format, precision, out)
    assert sorted(path.name for path in tmp_path.iterdir()) == [out.name, f"{out.name}.json"]

    beside = json.loads(description_path(out).read_text())
    assert beside == report and beside.pop("check")["faces"] == 8
    assert in_file(format, out) == beside
    assert beside["settings"]["dataset"] == "300W" and beside["points"] == 68 and beside["precision"] == precision
    assert beside["preprocessing"]["left"] == 0.10 and beside["preprocessing"]["square"] is True
    assert "size / 2 - size * targets" in beside["postprocessing"]["decode"]

    keras_network, network = load_network(tiny), load_network(out)
    assert (network.input_size, network.points, network.crop, network.method) == (SIZE, 68, "square", "acr")
    tolerance = {"float32": 1e-3, "float16": 0.05, "int8": 0.5}[precision]  # pixels
    faces, _ = render_faces("300W", 9, 5, SIZE).crops(CROPS["square"], SIZE, range(5))
    for count in (1, 5, 2, 1):
        images = to_network(faces[:count])
        landmarks = network.predict(images)
        np.testing.assert_allclose(landmarks, keras_network.predict(images), atol=tolerance)
        # the decoding of the description, by hand
        by_hand = SIZE / 2 - SIZE * raw_outputs(format, out, images).reshape(count, 68, 2)
        np.testing.assert_allclose(landmarks, by_hand, atol=1e-3 if precision == "float32" else 0.2)


@pytest.mark.parametrize("format", FORMATS)
def test_mobilenet_in_float32(tmp_path, format):
    needs(format)
    model = randomise(CNNModel().get_model("mobileNetV2", 136, input_size=32))
    path, _ = save_tiny(tmp_path)
    model.save(path)
    check = export(path, format, "float32", tmp_path / f"x{EXPORT_SUFFIXES[format]}")["check"]
    assert 0 <= check["mean_shift"] <= check["shift"] < 1e-3
    assert check["nme_ratio"] == pytest.approx(1, abs=1e-4)


def branches():
    """A model with three outputs, computed in another order than they are listed."""
    image = keras.Input((SIZE, SIZE, 3), name="image")
    x = keras.layers.Conv2D(8, 3, strides=2, name="conv")(image)
    pool = keras.layers.GlobalAveragePooling2D(name="pool")(x)
    last, first = keras.layers.Dense(4, name="last")(pool), keras.layers.Dense(2, name="first")(pool)
    model = keras.Model(image, [first, keras.layers.Conv2D(1, 1, name="map")(x), last])
    model(images_of(1))  # Keras exports a model of several outputs only after a call
    return model


@pytest.mark.parametrize("format", FORMATS)
def test_several_outputs_keep_their_order(tmp_path, format):
    needs(format)
    model, path = branches(), tmp_path / f"x{EXPORT_SUFFIXES[format]}"
    FORMATS[format].write(model, path, "float32", None, "{}")
    _, _, run, description = FORMATS[format].read(path, 1)
    assert description == "{}"
    for output, expected in zip(run(images_of(3)), model(images_of(3)), strict=True):
        np.testing.assert_allclose(output, keras.ops.convert_to_numpy(expected), atol=1e-5)


def test_onnx_precisions_and_free_batch(tiny, tmp_path):
    needs("onnx")
    import onnx

    kinds = {}
    for precision in PRECISIONS:
        export(tiny, "onnx", precision, tmp_path / f"{precision}.onnx")
        network = onnx.load(tmp_path / f"{precision}.onnx")
        assert network.graph.input[0].type.tensor_type.shape.dim[0].dim_param == "batch"
        assert {opset.domain for opset in network.opset_import} == {""}  # plain ONNX, for any program
        kinds[precision] = {tensor.data_type for tensor in network.graph.initializer if len(tensor.dims) > 1}
    assert kinds == {
        "float32": {onnx.TensorProto.FLOAT},
        "float16": {onnx.TensorProto.FLOAT16},
        "int8": {onnx.TensorProto.INT8},
    }


def test_the_same_network_gives_the_same_onnx_file(tiny, tmp_path):
    """The converter continues its numbers from one network to the next; the file does not have them."""
    for name in ("one", "other"):
        export(tiny, "onnx", "float32", tmp_path / f"{name}.onnx")
    assert (tmp_path / "one.onnx").read_bytes() == (tmp_path / "other.onnx").read_bytes()


def test_int8_of_litert_has_a_scale_for_each_channel_and_a_head_in_float(tiny, tmp_path):
    needs("litert")
    export(tiny, "litert", "int8", tmp_path / "x.tflite")
    tensors = load_network(tmp_path / "x.tflite").model.get_tensor_details()
    kernel = next(tensor for tensor in tensors if tensor["shape"].tolist() == [4, 3, 3, 3])
    assert kernel["dtype"] is np.int8 and len(kernel["quantization_parameters"]["scales"]) == 4
    assert next(tensor for tensor in tensors if tensor["shape"].tolist() == [136, 64])["dtype"] is np.float32


@pytest.mark.parametrize("format", FORMATS)
def test_int8_outputs_are_not_quantised(tiny, tmp_path, format):
    """8-bit outputs would have at most 256 values over the range of all landmarks."""
    needs(format)
    out = tmp_path / f"x{EXPORT_SUFFIXES[format]}"
    export(tiny, format, "int8", out)
    faces, _ = render_faces("300W", 9, 8, SIZE).crops(CROPS["square"], SIZE, range(8))
    assert len(np.unique(raw_outputs(format, out, to_network(faces)))) > 512


def test_soft_argmax_operations_up_to_the_outputs():
    """Two branches of one convolution, one with a softmax, added at the end; another softmax has no convolution."""
    graph = [
        ("Conv", ["image"], ["features"]),
        ("CONV_2D", ["features"], ["maps"]),
        ("Reshape", ["maps"], ["flat"]),
        ("Gemm", ["features"], ["pooled"]),
        ("Softmax", ["flat"], ["softmax"]),
        ("Mul", ["pooled", "scale"], ["scaled"]),
        ("Sum", ["softmax"], ["means"]),
        ("Add", ["scaled", "means"], ["landmarks"]),
    ]
    assert soft_argmax_operations([Operation(*node) for node in graph]) == [1, 2, 4, 6, 7]
    assert soft_argmax_operations([Operation(*node) for node in graph if node[0] != "Softmax"]) == []
    assert soft_argmax_operations([Operation("SOFTMAX", [0], [1]), Operation("ADD", [1], [2])]) == [0, 1]


@pytest.mark.parametrize("format", FORMATS)
def test_int8_keeps_a_soft_argmax_in_float(tmp_path, format):
    needs(format)
    keras.utils.set_random_seed(0)
    image = keras.Input((SIZE, SIZE, 3))
    features = keras.layers.Conv2D(8, 3, strides=MAP_STRIDE, padding="same", activation="relu")(image)
    sharp = keras.initializers.RandomNormal(stddev=SHARP)
    landmarks = SoftArgmax(SIZE)(keras.layers.Conv2D(68, 1, kernel_initializer=sharp)(features))
    keras.Model(image, landmarks).save(tmp_path / "best.keras")
    settings = {"method": "l1", "crop": "square", "dataset": "300W"}
    write_json(tmp_path / "settings.json", {"settings": settings})
    check = export(tmp_path / "best.keras", format, "int8", tmp_path / f"x{EXPORT_SUFFIXES[format]}")["check"]
    assert check["mean_shift"] < 0.02  # 0.04 if everything has 8 bits


# --------------------------------------------------------------------------------------------------------------------
# The check
# --------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("limits", [Precision("float32", shift=-1.0), Precision("float32", nme_ratio=0.5)])
def test_a_failed_check_keeps_the_old_file(tiny, tmp_path, monkeypatch, limits):
    needs("onnx")
    monkeypatch.setitem(PRECISIONS, "float32", limits)
    with pytest.raises(ValueError, match="x.onnx is not written: .* Received .* on 8 faces"):
        export(tiny, "onnx", "float32", tmp_path / "x.onnx")
    assert not list(tmp_path.iterdir())
    (tmp_path / "x.onnx").write_bytes(b"older")
    with pytest.raises(ValueError, match="not written"):
        export(tiny, "onnx", "float32", tmp_path / "x.onnx")
    assert (tmp_path / "x.onnx").read_bytes() == b"older" and len(list(tmp_path.iterdir())) == 1


def test_figures_of_a_network_with_a_known_shift(tiny):
    """All landmarks 3 pixels to the right and 4 down, 5 crop pixels from the original."""
    network = load_network(tiny)
    faces = render_faces("300W", 5, 3, SIZE)
    shifted = dataclasses.replace(network, run=lambda images: network.run(images) - np.tile([3, 4], 68) / SIZE)
    check = exporting.compare(network, shifted, faces)
    assert check["shift"] == pytest.approx(5, abs=1e-4) and check["mean_shift"] == pytest.approx(5, abs=1e-4)
    assert check["nme_ratio"] == pytest.approx(check["nme"] / check["nme_keras"])


def test_predictions_that_are_not_finite(tiny):
    network = load_network(tiny)
    broken = dataclasses.replace(network, run=lambda images: network.run(images) * np.nan)
    check = exporting.compare(network, broken, render_faces("300W", 5, 2, SIZE))
    for limits in PRECISIONS.values():
        with pytest.raises(ValueError, match="not written"):
            exporting.check_limits(check, limits, Path("x.onnx"))


def test_prepared_faces_calibrate_and_check(prepared_300w, tiny, tmp_path):
    needs("onnx")
    check = export(tiny, "onnx", "int8", tmp_path / "x.onnx", data_dir=prepared_300w)["check"]
    assert check["faces_of"] == "300W, validation" and 0 < check["faces"] < 12 and check["nme_ratio"] <= 1.03


def test_rendered_faces_have_the_landmarks_of_the_network(tmp_path):
    needs("onnx")
    weights, _ = save_tiny(tmp_path / "run", "COFW")
    check = export(weights, "onnx", "float32", tmp_path / "x.onnx")["check"]
    assert check["nme_ratio"] == pytest.approx(1, abs=1e-3) and check["shift"] < 1e-3
    assert render_faces("COFW", 3, 2, SIZE).landmarks.shape == (2, 29, 2)
    with pytest.raises(ValueError, match="unknown landmark layout. Received '19'"):
        render_faces("AFLW", 3, 2, SIZE)


# --------------------------------------------------------------------------------------------------------------------
# The command line
# --------------------------------------------------------------------------------------------------------------------


def test_command_line_prints_the_check(tiny, prepared_300w, tmp_path, capsys):
    needs("litert")
    out = tmp_path / "new" / "x.tflite"
    arguments = ["--weights", str(tiny), "--format", "litert", "--precision", "int8", "--out", str(out)]
    assert exporting.main([*arguments, "--data-dir", str(prepared_300w)]) == 0
    printed = capsys.readouterr().out
    assert "faces (300W, validation)" in printed
    assert "best.keras in int8" in printed and "(at most 1.03)" in printed and "NME" in printed


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"--out": "x.tflite"}, "wrong suffix for onnx. Received '.tflite'"),
        ({"--weights": "absent.keras"}, "absent.keras: no such weights file"),
        ({"--data-dir": "nowhere"}, "300W is not prepared"),
    ],
)
def test_command_line_reports_errors(tiny, tmp_path, monkeypatch, capsys, changes, message):
    monkeypatch.chdir(tmp_path)
    options = {"--weights": str(tiny), "--format": "onnx", "--out": "x.onnx"} | changes
    assert exporting.main([word for pair in options.items() for word in pair]) == 1
    error = capsys.readouterr().err
    assert error.startswith("export.py: ") and message in error
    assert not list(tmp_path.iterdir())


def test_missing_package_is_named(tiny, prepared_300w, tmp_path, monkeypatch, capsys):
    pytest.importorskip("onnx")
    monkeypatch.setitem(sys.modules, "tf2onnx", None)
    options = {"--weights": tiny, "--format": "onnx", "--out": tmp_path / "x.onnx", "--data-dir": prepared_300w}
    assert exporting.main([str(word) for pair in options.items() for word in pair]) == 1
    assert "writing ONNX files needs the package tf2onnx" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_the_calibration_of_the_confidence_is_copied(tmp_path):
    needs("onnx")
    weights, _ = save_tiny(tmp_path / "run")
    write_json(tmp_path / "run/best.confidence.json", {"error": 5.0, "slope": -1.0, "offsets": [2.0] * 68})
    export(weights, "onnx", "float32", tmp_path / "x.onnx")
    assert load_calibration(tmp_path / "x.onnx", 68).offsets.tolist() == [2.0] * 68


def test_exported_files_are_not_timed(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("benchmarks.inference_speed.set_keras_threads", lambda threads: None)
    path = write_onnx(tmp_path / "x.onnx")
    assert inference_speed.main(["--weights", str(path), "--threads", "1"]) == 1
    assert "x.onnx is an exported file already" in capsys.readouterr().err


def test_exported_file_cannot_be_exported(tiny, tmp_path):
    needs("onnx")
    export(tiny, "onnx", "float32", tmp_path / "x.onnx")
    with pytest.raises(ValueError, match="x.onnx is an exported file already"):
        export(tmp_path / "x.onnx", "onnx", "float32", tmp_path / "y.onnx")


@pytest.mark.parametrize("options", [{"format": "tensorrt"}, {"precision": "int4"}])
def test_unknown_format_and_precision(tiny, tmp_path, options):
    options = {"format": "onnx", "precision": "float32"} | options
    with pytest.raises(ValueError, match="unknown (format|precision)"):
        export(tiny, out=tmp_path / "x.onnx", **options)


@pytest.mark.slow
def test_benchmark_of_inference(tiny):
    needs("onnx")
    needs("litert")
    command = [sys.executable, "-m", "benchmarks.inference_speed", "--weights", tiny, "--images", "2", "--blocks", "2"]
    done = subprocess.run([*map(str, command), "--batches", "1", "3"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    for title in ("Keras float32", "ONNX Runtime int8", "LiteRT float16"):
        assert done.stdout.count(f"batch 3, {title}") == 1 and f"peak memory of one face, {title}" in done.stdout


# --------------------------------------------------------------------------------------------------------------------
# Heatmap networks
# --------------------------------------------------------------------------------------------------------------------

MAP_METHODS = {"heatmap": ("VGG19-small", 32), "hybrid": ("VGG19-small", 32), "cascaded": ("VGG19-small", 32)}
MAP_METHODS |= {"lmk_line": ("ACE-Net", 64), "ace": ("ACE-Net", 64)}


@pytest.fixture
def save_heatmap_network(tmp_path, monkeypatch):
    """A function that saves a tiny new network of a method for 300W."""
    monkeypatch.setattr(vgg, "BLOCKS", ((1, 64),) * 5)
    monkeypatch.setattr(cascade, "CHANNELS", (64,))
    monkeypatch.setattr(cascade, "CONVOLUTIONS", 1)

    def save(method):
        arch, size = MAP_METHODS[method]
        keras.utils.set_random_seed(0)
        narrow = dataclasses.replace(get_network(arch), width=1 / 16)
        folder = tmp_path / method
        folder.mkdir()
        get_method(method).head.build(narrow, get_dataset("300W"), size, 0.9).save(folder / "best.keras")
        settings = {"method": method, "crop": "square", "dataset": "300W"}
        write_json(folder / "settings.json", {"settings": settings})
        return folder / "best.keras"

    return save


def test_heatmaps_with_a_known_offset(save_heatmap_network):
    """All values are shifted by a tenth of their range, landmarks are not."""
    network = load_network(save_heatmap_network("lmk_line"))
    faces = render_faces("300W", 5, 3, network.input_size)
    maps = network.run(to_network(faces.crops(CROPS["square"], network.input_size, range(3))[0]))[-1]
    shift = 0.1 * np.ptp(maps)
    shifted = dataclasses.replace(network, run=lambda images: [some + shift for some in network.run(images)])
    check = exporting.compare(network, shifted, faces)
    assert check["map_shift"] == pytest.approx(0.1, rel=1e-3) and check["shift"] >= 0
    with pytest.raises(ValueError, match="Received map_shift 0.1"):
        exporting.check_limits(check, PRECISIONS["float16"], Path("x.onnx"))
    exporting.check_limits(check | {"nme_ratio": 1.02}, PRECISIONS["int8"], Path("x.onnx"))
    with pytest.raises(ValueError, match="Received nme_ratio 1.02"):
        exporting.check_limits(check | {"map_shift": 0.0, "nme_ratio": 1.02}, PRECISIONS["float16"], Path("x.onnx"))


def test_contours_that_are_not_found(save_heatmap_network):
    network = load_network(save_heatmap_network("ace"))
    faces = render_faces("300W", 5, 2, network.input_size)
    empty = dataclasses.replace(network, run=lambda images: [0 * some for some in network.run(images)])
    check = exporting.compare(empty, empty, faces)
    assert check["shift"] is None and check["map_shift"] == 0 and check["nme"] == 100 and check["nme_ratio"] == 1
    exporting.check_limits(check, PRECISIONS["float32"], Path("x.onnx"))
    described = exporting.describe(network, "float32")
    assert described["mirror_partners"] == list(OUTLINE_LAYOUT.partners) and len(described["maps"]) == 25
    radius, stride = EXTRACTION_WIDTH, FINE_STRIDE
    for method in ("ace", "lmk_line"):
        how = exporting.describe(dataclasses.replace(network, method=method), "float32")["postprocessing"]["decode"]
        assert f"pixels up to {radius} from" in how and f"lies at {stride} p + {stride / 2 - 0.5:g}" in how


def test_a_heatmap_network_is_exported(save_heatmap_network, tmp_path):
    needs("onnx")
    report = export(save_heatmap_network("heatmap"), "onnx", "float32", tmp_path / "x.onnx")
    check, how = report["check"], report["postprocessing"]
    assert check["map_shift"] < 1e-5 and check["nme_ratio"] == pytest.approx(1, abs=1e-4)
    assert "window that reaches `reach` pixels" in how["decode"] and how["reach"] == window_radius(how["size"])


@pytest.mark.slow
@pytest.mark.parametrize("method", MAP_METHODS)
@pytest.mark.parametrize("format", FORMATS)
def test_heatmap_networks_are_exported_to_both_formats(save_heatmap_network, tmp_path, format, method):
    needs(format)
    weights = save_heatmap_network(method)
    for precision in PRECISIONS:
        out = tmp_path / f"{precision}{EXPORT_SUFFIXES[format]}"
        check = export(weights, format, precision, out)["check"]
        if method == "cascaded":
            assert check["map_shift"] is None
        elif precision == "float32":
            assert check["map_shift"] < 1e-5
        assert load_network(out).method == method
