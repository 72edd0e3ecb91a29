"""The clocks of the tables of speed, on functions whose time is known."""

import argparse
import dataclasses
import time
from pathlib import Path

import keras
import numpy as np
import pytest
from skimage import data

import benchmark
import methods
from benchmarks.inference_speed import latencies
from benchmarks.loss_speed import step_times
from benchmarks.pipeline_stages import STAGES, Stopwatch, resized_pictures, stage_times
from benchmarks.training_speed import program_memory
from losses.regression import L2Loss
from tests.robustness import tiny_network
from utils.image_files import read_image, write_image


def test_runs_take_turns_and_a_batch_is_timed():
    calls = []

    def run(name, seconds):
        def work(images):
            assert images.shape == (4, 8, 8, 3) and images.dtype == np.float32
            calls.append(name)
            time.sleep(seconds)

        return work

    times = latencies({"slow": run("slow", 0.02), "fast": run("fast", 0.0)}, size=8, batch=4, images=6, blocks=3)
    assert len(times["slow"]) == len(times["fast"]) == 3
    assert min(times["slow"]) >= 20 and np.median(times["fast"]) < 15  # milliseconds of one batch
    one_round = ["slow"] * 3 + ["fast"] * 3  # one call to warm up, then two batches hold six images
    assert calls == ["slow", "fast", *one_round * 3]


def test_stopwatch_adds_the_calls_of_a_stage():
    watch = Stopwatch()
    sleep = watch.timed("sleep", time.sleep)
    sleep(0.01)
    sleep(0.02)
    assert watch.timed("sum", sum)([1, 2], start=3) == 6
    assert 30 <= watch.spent["sleep"] < 200 and watch.spent["sum"] < 10


def test_pictures_of_the_sizes_that_are_timed(tmp_path):
    write_image(tmp_path / "tall.jpg", np.full((90, 60, 3), 200, np.uint8))
    files = resized_pictures(tmp_path / "tall.jpg", tmp_path)
    assert [read_image(file).shape for file in files.values()] == [(480, 640, 3), (3000, 4000, 3)]


def test_every_stage_of_a_picture_is_timed(weights, tmp_path):
    write_image(tmp_path / "astronaut.jpg", data.astronaut())
    times, counts = stage_times(weights, {"512 x 512": tmp_path / "astronaut.jpg"}, rounds=2)
    of_picture = times["512 x 512"]
    assert list(of_picture) == [*STAGES, "all"] and counts["512 x 512"] >= 1
    assert all(len(values) == 2 and min(values) > 0 for values in of_picture.values())
    for number, everything in enumerate(of_picture["all"]):
        assert sum(of_picture[stage][number] for stage in STAGES) <= everything
    write_image(tmp_path / "black.jpg", np.zeros((90, 90, 3), np.uint8))
    with pytest.raises(ValueError, match="no face was found in the picture at small"):
        stage_times(weights, {"small": tmp_path / "black.jpg"}, rounds=1)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="Linux tells it there")
def test_memory_of_a_program():
    small, large = (program_memory(f"import sys\nassert sys.argv[1:] == ['3', 'x']\nx = b'1' * {n}", 3, "x")
                    for n in (1, 200_000_000))  # fmt: skip
    assert 150 < large - small < 250


def test_what_is_no_picture_shows_before_the_long_part(weights, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("benchmarks.inference_speed.set_keras_threads", lambda threads: None)
    words = ["inference", "--weights", str(weights), "--picture", str(tmp_path / "none.jpg")]
    assert benchmark.main(words) == 1
    assert "none.jpg" in capsys.readouterr().err


def test_steps_of_a_network_with_several_outputs_are_timed(prepared_300w, monkeypatch, capsys):
    def two_heads(network, dataset, input_size, bn_momentum):
        image = keras.Input((input_size, input_size, 3))
        pooled = keras.layers.GlobalAveragePooling2D()(image)
        return keras.Model(image, [keras.layers.Dense(dataset.outputs)(pooled) for _ in range(2)])

    plain = tiny_network.with_build(methods.METHODS["l2"], tiny_network.build_tiny)
    several = dataclasses.replace(
        tiny_network.with_build(plain, two_heads),
        name="several",
        codec=methods.Codec(encode=lambda points, size: (methods.encode_regression(points, size),) * 2),
        loss=lambda *_: [L2Loss(), L2Loss()],
    )
    monkeypatch.setitem(methods.METHODS, "l2", plain)
    monkeypatch.setitem(methods.METHODS, "several", several)
    options = {"arch": "mobileNetV2", "dataset": "300W", "recipe": None, "data_dir": prepared_300w, "input_size": 16}
    step_times(argparse.Namespace(**options, methods=["several"], batch_size=4, steps=2, blocks=1))
    assert "several adds to l2" in capsys.readouterr().out


@pytest.mark.parametrize("recipe", ["faces", "gpu"])  # the second lets ten steps run between two looks
def test_step_times_of_every_loss(tiny, prepared_300w, capsys, recipe):
    words = ["steps", "--dataset", "300W", "--data-dir", prepared_300w, "--methods", "acr", "--blocks", 2]
    words += ["--recipe", recipe, "--input-size", 32, "--batch-size", 2, "--steps", 3]
    assert benchmark.main(list(map(str, words))) == 0
    printed = capsys.readouterr().out
    for line in ("step with l2", "step with acr", "acr adds to l2", "acr alone", "hold the true median with 50.0%"):
        assert line in printed


def test_steps_of_two_networks_are_not_timed(prepared_300w, capsys):
    words = ["steps", "--dataset", "300W", "--data-dir", str(prepared_300w), "--methods", "pwc_disc"]
    assert benchmark.main(words) == 1
    assert "Received pwc_disc, which trains two networks" in capsys.readouterr().err
