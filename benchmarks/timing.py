"""Timing of training steps and programs, and tables of medians.

The blocks of everything that is compared take turns, so that a drift of the machine's speed affects all alike.
"""

import argparse
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from tqdm import tqdm

from config import ROOT

if TYPE_CHECKING:
    import keras

    from training.batches import AugmentedBatches

WARM_UP = 4  # steps before the clock of a block starts
DEFAULT_METHOD = "acr"


class BlockClock:
    """Steps and seconds from the end of the warm-up to the end of a block.

    Steps that Keras executes together end together.

    Args:
        now: clock; returns seconds.

    Attributes:
        steps: number of timed steps.
        seconds: their duration.
    """

    def __init__(self, now: Callable[[], float]):
        self._now, self._started = now, None

    def on_step_end(self, step: int) -> None:
        """Note the end of a step, counted from 0."""
        now = self._now()
        if self._started is None and step >= WARM_UP - 1:
            self._started, self._first = now, step
        elif self._started is not None:
            self.steps, self.seconds = step - self._first, now - self._started


def block_steps(model: "keras.Model", steps: int) -> int:
    """Return the number of steps of a block with its warm-up, both rounded up to complete executions."""
    together = model.steps_per_execution
    return (-(-WARM_UP // together) - (-steps // together)) * together


def training_block(
    model: "keras.Model", steps: int, images: int, now: Callable[[], float] = time.perf_counter, **data
) -> float:
    """Train a block and return its images per second after the warm-up.

    Args:
        model: compiled network.
        steps: timed training steps.
        images: images of a step.
        now: clock; returns seconds.
        **data: arguments of `fit` for the data.
    """
    import keras

    clock = BlockClock(now)
    callback = keras.callbacks.LambdaCallback(on_train_batch_end=lambda step, logs: clock.on_step_end(step))
    model.fit(**data, steps_per_epoch=block_steps(model, steps), verbose=0, shuffle=False, callbacks=[callback])
    return clock.steps * images / clock.seconds


def build_training(
    options: argparse.Namespace, method: str = DEFAULT_METHOD, augment_on: str = "auto"
) -> tuple["keras.Model", "AugmentedBatches"]:
    """Return the compiled network and the batches of a training.

    Args:
        options: those of `options.add_training_options`.
        method: name of a row of METHODS.
        augment_on: "cpu", "gpu" or "auto".
    """
    from train import Train

    run = Train(
        arch=options.arch,
        dataset_name=options.dataset,
        save_path=".",
        method=method,
        augment_on=augment_on,
        recipe=options.recipe,
        data_dir=options.data_dir,
        input_size=options.input_size,
        batch_size=options.batch_size,
    )
    batches = run.batches()
    return run.compiled(batches.steps_per_epoch)[0], batches


def interleaved(functions: dict[str, Callable[[], float]], blocks: int) -> dict[str, np.ndarray]:
    """Return the results (blocks,) of every function, called in turn with the others after one call each to warm up."""
    for function in functions.values():  # traces, and fills caches
        function()
    results = {name: [] for name in functions}
    for _ in tqdm(range(blocks), unit="block"):
        for name, function in functions.items():
            results[name].append(function())
    return {name: np.array(values) for name, values in results.items()}


_PEAK = """
from pathlib import Path
print(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0])
"""


def program_memory(program: str, threads: int, *arguments: str | Path) -> float:
    """Return the peak memory of a process that runs a Python program of the repository, in MiB. Linux only.

    Args:
        program: source text.
        threads: threads of TensorFlow; also the program's first argument.
        *arguments: the program's other arguments.
    """
    command = [sys.executable, "-c", program + _PEAK, str(threads), *map(str, arguments)]
    threading = dict.fromkeys(("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"), str(threads))
    done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT, env=os.environ | threading)
    return int(done.stdout.split()[-1]) / 1024


def print_machine(options: argparse.Namespace, faces: str) -> None:
    """Print what was measured and on what machine, and the head of the table."""
    import keras

    print(f"{options.arch}, {options.input_size} px, batch {options.batch_size}, {faces}")
    print(f"{options.blocks} interleaved blocks of {options.steps} steps, {os.cpu_count()} cores, {platform.machine()}")
    print(f"Keras {keras.__version__} on {keras.backend.backend()}")
    print_head()


def print_head() -> None:
    """Print the names of the columns."""
    print(f"{'':<50}{'median':>9}{'minimum':>9}{'maximum':>9}")


def row(title: str, values: list[float], unit: str) -> str:
    """Return one line of the table: median, minimum and maximum."""
    return f"{title:<50}{np.median(values):9.2f}{min(values):9.2f}{max(values):9.2f}  {unit}"
