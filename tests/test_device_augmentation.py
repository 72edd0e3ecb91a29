"""Augmentation with OpenCV on the CPU and with keras.ops on the GPU give the same images."""

import dataclasses

import cv2
import keras
import numpy as np
import pytest
from tiny_runs import run_of, state_of

import methods
import train
from config import CROPS
from face_datasets.face_dataset import load_faces
from image_utility import Augmentation, to_targets
from training import device_augmentation
from training.batches import AugmentedBatches, CPUAugmentation, Shuffled
from training.device_augmentation import GPUAugmentation, blur
from training.initialisation import no_init
from training.recipes import NO_AUGMENTATION, RECIPES

KINDS = {
    "warp": {},
    "light": {"brightness": 0.25, "contrast": 0.3, "gamma": 0.4, "colour": 0.15, "grey": 0.5},
    "blur": {"blur": 1.0},
    "noise": {"noise": 1.0},
    "occluder": {"occlusion": 1.0},
}
GEOMETRIC = {name: getattr(Augmentation(), name) for name in ("rotation", "scale", "shift", "flip")}
AUGMENTATIONS = {kind: dataclasses.replace(NO_AUGMENTATION, **GEOMETRIC, **ranges) for kind, ranges in KINDS.items()}


@pytest.fixture(scope="module")
def faces(prepared_300w):
    return load_faces(prepared_300w, "300W", "train", 48)


def both(faces, augmentation):
    """Yield the same batch made on the CPU and on the GPU."""
    recipe = dataclasses.replace(RECIPES["faces"], input_size=48, batch_size=32, augmentation=augmentation)
    for augment in (CPUAugmentation(48), GPUAugmentation(faces, 48)):
        order, encode = Shuffled(len(faces), 1), methods.encode_regression
        images, targets = AugmentedBatches(faces, order, augment, CROPS["square"], recipe, encode, seed=1)[2]
        yield keras.ops.convert_to_numpy(images), targets


@pytest.mark.parametrize("kind", [*KINDS, "all"])
def test_both_make_the_same_images(faces, kind):
    (cpu, cpu_targets), (gpu, gpu_targets) = both(faces, AUGMENTATIONS.get(kind, Augmentation()))
    np.testing.assert_array_equal(cpu_targets, gpu_targets)
    assert gpu.dtype == np.float32 and gpu.shape == cpu.shape
    levels = 255 * np.abs(cpu - gpu)
    assert levels.mean() < 0.6  # OpenCV rounds to integer grey levels after every step
    assert np.quantile(levels, 0.999) < 4
    assert levels.max() < 16  # at edges, where OpenCV's warp works in 32nds of a pixel


def test_faces_without_augmentation_are_the_same(faces):
    (cpu, _), (gpu, _) = both(faces, NO_AUGMENTATION)
    assert 255 * np.abs(cpu - gpu).max() < 6


@pytest.mark.parametrize("sigma", [0.6, 1.5, 3.0])
def test_blur_is_opencv_s_up_to_the_border(sigma):
    image = np.random.default_rng(0).random((24, 24, 3), np.float32)
    radius = int(np.ceil(3 * sigma))
    expected = cv2.GaussianBlur(image, (2 * radius + 1, 2 * radius + 1), sigma)  # floats, so not rounded
    blurred = blur(keras.ops.convert_to_tensor(np.stack([image, image])), np.array([sigma, 0], np.float32))
    np.testing.assert_allclose(blurred[0], expected, atol=1e-5)
    np.testing.assert_allclose(blurred[1], image, atol=1e-6)


def test_more_pixels_than_can_be_counted_are_an_error(faces, monkeypatch):
    monkeypatch.setattr(device_augmentation, "MAX_INDEX", 1000)
    with pytest.raises(ValueError, match=r"too many faces for one device. Received \d+ pixels.*--augment-on cpu"):
        GPUAugmentation(faces, 48)


@pytest.fixture
def paired_steps(monkeypatch):
    """Run two steps per execution in the data set's recipe."""
    monkeypatch.setitem(RECIPES, "faces", dataclasses.replace(RECIPES["faces"], steps_per_execution=2, repeats=1))


@pytest.mark.integration
@pytest.mark.skipif(
    keras.backend.backend() == "torch", reason="dropout takes torch's own generator, which a run's state does not hold"
)
def test_a_run_with_gpu_augmentation_resumes_exactly(tiny, paired_steps, prepared_300w, tmp_path, monkeypatch):
    """Steps run in pairs; the second run is stopped after an epoch."""
    run_of(prepared_300w, tmp_path / "uninterrupted", augment_on="gpu").train()
    stopped = run_of(prepared_300w, tmp_path / "stopped", augment_on="gpu")
    assert stopped.batches().steps_per_epoch % 2 == 0

    class Stop(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 1:
                raise KeyboardInterrupt

    method = methods.METHODS["acr"]
    monkeypatch.setitem(
        methods.METHODS,
        "acr",
        dataclasses.replace(method, callbacks=lambda loss, epochs: [*method.callbacks(loss, epochs), Stop()]),
    )
    with pytest.raises(KeyboardInterrupt):
        run_of(prepared_300w, tmp_path / "stopped", augment_on="gpu").train()
    monkeypatch.setitem(methods.METHODS, "acr", method)
    run_of(prepared_300w, tmp_path / "stopped", augment_on="gpu").train(resume=True)
    one, other = state_of(tmp_path / "uninterrupted"), state_of(tmp_path / "stopped")
    for name in one.keys() - {"rows"}:
        np.testing.assert_array_equal(other[name], one[name])


@pytest.mark.integration
def test_a_nan_in_paired_steps_names_the_faces_of_all(tiny, paired_steps, prepared_300w, tmp_path, monkeypatch):
    def encode(landmarks, size):
        return np.full_like(to_targets(landmarks, size), np.nan, np.float32)

    row = dataclasses.replace(methods.METHODS["l2"], codec=methods.Codec(encode=encode), init=no_init)
    monkeypatch.setitem(methods.METHODS, "l2", row)
    run = run_of(prepared_300w, tmp_path / "run", method="l2")
    with pytest.raises(FloatingPointError, match="epoch 1, step 1") as raised:
        run.train()
    batches = run.batches()
    for name in batches.names(0) + batches.names(1):
        assert name in str(raised.value)


def test_an_unknown_device_is_an_error(prepared_300w, tmp_path):
    with pytest.raises(ValueError, match="Received 'tpu'; known: auto, cpu, gpu"):
        run_of(prepared_300w, tmp_path, augment_on="tpu")


@pytest.mark.parametrize(
    ("gpus", "replicas", "stream", "expected"),
    [(0, 1, False, "cpu"), (1, 1, False, "gpu"), (2, 1, False, "gpu"), (2, 2, False, "cpu"), (1, 1, True, "cpu")],
)
def test_auto_takes_the_only_gpu_of_a_training(tmp_path, gpus, replicas, stream, expected):
    config = train.RunConfig.from_options("mobileNetV2", "300W", tmp_path, stream=stream)
    assert config.resolve(gpus, replicas).augment_on == expected


def test_streamed_faces_are_not_augmented_on_the_gpu(prepared_300w, tmp_path):
    with pytest.raises(ValueError, match="stream.*Received --augment-on gpu"):
        run_of(prepared_300w, tmp_path, augment_on="gpu", stream=True)
