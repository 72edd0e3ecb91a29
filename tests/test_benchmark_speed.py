"""Benchmarks of speed, on functions and clocks whose time is known."""

import argparse
import dataclasses
from pathlib import Path

import keras
import numpy as np
import pytest
from skimage import data

import methods
from benchmarks import inference_speed, loss_speed
from benchmarks.inference_speed import latencies
from benchmarks.pipeline_stages import STAGES, Stopwatch, resized_pictures, stage_times
from benchmarks.timing import BlockClock, interleaved, program_memory, row
from tests.robustness import tiny_network
from utils.image_files import read_image, write_image

pytestmark = pytest.mark.integration


class Clock:
    """A clock that only moves when it is told to."""

    def __init__(self):
        self.seconds = 0.0

    def __call__(self):
        return self.seconds

    def wait(self, seconds):
        self.seconds += seconds


def test_runs_take_turns_and_a_batch_is_timed():
    calls, clock = [], Clock()

    def run(name, seconds):
        def work(images):
            assert images.shape == (4, 8, 8, 3) and images.dtype == np.float32
            calls.append(name)
            clock.wait(seconds)

        return work

    runs = {"slow": run("slow", 0.25), "fast": run("fast", 0.125)}
    times = latencies(runs, size=8, batch=4, images=6, blocks=3, now=clock)
    assert times == {"slow": [250.0] * 3, "fast": [125.0] * 3}  # milliseconds of one batch
    one_block = ["slow"] * 3 + ["fast"] * 3  # one call to warm up, then two batches hold six images
    assert calls == ["slow", "fast", *one_block * 3]


def test_stopwatch_adds_the_calls_of_a_stage():
    clock = Clock()
    watch = Stopwatch(clock)
    wait = watch.timed("wait", clock.wait)
    wait(0.25)
    wait(0.5)
    assert watch.timed("sum", sum)([1, 2], start=3) == 6
    assert watch.spent["wait"] == 750 and watch.spent["sum"] == 0


def test_a_block_is_timed_after_its_warm_up():
    clock = Clock()
    block = BlockClock(clock)
    for step in range(9):
        clock.wait(2.0)
        block.on_step_end(step)
    assert (block.steps, block.seconds) == (5, 10.0)  # after four steps


def test_compared_functions_take_turns():
    calls = []

    def function(name):
        return lambda: calls.append(name) or float(len(calls))

    results = interleaved({"a": function("a"), "b": function("b")}, blocks=2)
    assert calls == ["a", "b"] * 3
    assert {name: list(values) for name, values in results.items()} == {"a": [3, 5], "b": [4, 6]}
    assert row("title", [1.0, 2.0, 6.0], "ms").split() == ["title", "2.00", "1.00", "6.00", "ms"]


def test_pictures_of_the_sizes_that_are_timed(tmp_path):
    write_image(tmp_path / "tall.jpg", np.full((90, 60, 3), 200, np.uint8))
    files = resized_pictures(tmp_path / "tall.jpg", tmp_path)
    assert [read_image(file).shape for file in files.values()] == [(480, 640, 3), (3000, 4000, 3)]


def test_every_stage_of_a_picture_is_timed(weights, tmp_path):
    write_image(tmp_path / "astronaut.jpg", data.astronaut())
    times, counts = stage_times(weights, {"512 x 512": tmp_path / "astronaut.jpg"}, repeats=2)
    of_picture = times["512 x 512"]
    assert list(of_picture) == [*STAGES, "all"] and counts["512 x 512"] >= 1
    assert all(len(values) == 2 and min(values) > 0 for values in of_picture.values())
    for number, everything in enumerate(of_picture["all"]):
        assert sum(of_picture[stage][number] for stage in STAGES) <= everything
    write_image(tmp_path / "black.jpg", np.zeros((90, 90, 3), np.uint8))
    with pytest.raises(ValueError, match="no face was found in the picture at small"):
        stage_times(weights, {"small": tmp_path / "black.jpg"}, repeats=1)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux")
def test_memory_of_a_program():
    small, large = (program_memory(f"import sys\nassert sys.argv[1:] == ['3', 'x']\nx = b'1' * {n}", 3, "x")
                    for n in (1, 200_000_000))  # fmt: skip
    assert 150 < large - small < 250


def test_an_unreadable_picture_is_reported_first(weights, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(inference_speed, "set_keras_threads", lambda threads: None)
    assert inference_speed.main(["--weights", str(weights), "--picture", str(tmp_path / "none.jpg")]) == 1
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
        loss=lambda *_: [keras.losses.MeanSquaredError() for _ in range(2)],
    )
    monkeypatch.setitem(methods.METHODS, "l2", plain)
    monkeypatch.setitem(methods.METHODS, "several", several)
    options = {"arch": "mobileNetV2", "dataset": "300W", "recipe": None, "data_dir": prepared_300w, "input_size": 16}
    loss_speed.measure(argparse.Namespace(**options, methods=["several"], batch_size=4, steps=2, blocks=1))
    assert "several adds to l2" in capsys.readouterr().out


@pytest.mark.parametrize("recipe", ["faces", "gpu"])  # the second executes ten steps at once
def test_step_times_of_every_loss(tiny, prepared_300w, capsys, recipe):
    words = ["--dataset", "300W", "--data-dir", prepared_300w, "--methods", "acr", "--blocks", 2]
    words += ["--recipe", recipe, "--input-size", 32, "--batch-size", 2, "--steps", 3]
    assert loss_speed.main(list(map(str, words))) == 0
    printed = capsys.readouterr().out
    for line in ("step with l2", "step with acr", "acr adds to l2", "acr alone", "contain the true median with 50.0%"):
        assert line in printed


def test_steps_of_two_networks_are_not_timed(prepared_300w, capsys):
    words = ["--dataset", "300W", "--data-dir", str(prepared_300w), "--methods", "pwc_disc"]
    assert loss_speed.main(words) == 1
    assert "Received pwc_disc, with two networks" in capsys.readouterr().err
