"""The time that each loss adds to a training step."""

import argparse
import functools
import math

import keras
import numpy as np

from benchmarks.config import MAX_OVERHEAD
from benchmarks.training_speed import (
    PLAIN_LOSS,
    block_steps,
    interleaved,
    print_machine,
    row,
    training_block,
    training_of,
)
from methods import get_method


def _repeated(batch: np.ndarray, times: int) -> np.ndarray:
    """A batch (batch, ...) so many times over."""
    return np.concatenate([keras.ops.convert_to_numpy(batch)] * times)


def outputs_alone(model: keras.Model) -> keras.Model:
    """A network with outputs of the same shapes, one weight and one bias for each number, under the same loss: its step
    is hardly more than the loss and its gradient."""
    nothing = keras.Input((1,))
    outputs = []
    for output in model.outputs:
        numbers = keras.layers.Dense(math.prod(output.shape[1:]))(nothing)
        outputs.append(keras.layers.Reshape(output.shape[1:])(numbers))
    alone = keras.Model(nothing, outputs if len(outputs) > 1 else outputs[0])
    fused = model.steps_per_execution
    still = keras.optimizers.SGD(0.0)  # the loss of what does not move stays a number
    alone.compile(still, model.loss, jit_compile=model.jit_compile, steps_per_execution=fused)
    return alone


def step_times(options: argparse.Namespace) -> None:
    """Prints the table of `python benchmark.py steps`: what each loss adds to a training step.

    All losses see the same images, already in memory, so that only the step itself is timed. Steps of a large network
    differ from block to block by more than a loss costs; so each loss is timed beside it, with the next to nothing that
    `outputs_alone` has, which is nearly the most it can add.

    Raises:
        ValueError: a method that trains a second network; see Train as well.
    """
    ways, images = {}, None
    for name in dict.fromkeys([PLAIN_LOSS, *options.methods]):
        if get_method(name).wrap:
            raise ValueError(f"a step is that of one network and its loss. Received {name}, which trains two networks")
        model, batches = training_of(options, name)
        batch, targets = batches[0]
        repeats = block_steps(model, options.steps)
        images = _repeated(batch, repeats) if images is None else images
        targets = keras.tree.map_structure(functools.partial(_repeated, times=repeats), targets)  # one for each output
        for kind, network, shown in (("step", model, images), ("loss", outputs_alone(model), images[:, 0, 0, :1])):
            data = {"x": shown, "y": targets, "batch_size": options.batch_size}
            ways[name, kind] = functools.partial(training_block, network, options.steps, options.batch_size, **data)
    seconds = {name: options.batch_size / speeds for name, speeds in interleaved(ways, options.blocks).items()}
    print_machine(options, "one batch in memory")
    names = [name for name, kind in ways if kind == "step"]
    for kind, title in (("step", "step with"), ("loss", "the loss alone,")):
        for name in names:
            print(row(f"{title} {name}", 1000 * seconds[name, kind], "ms"))
    plain = seconds[PLAIN_LOSS, "step"]
    for name in names[1:]:
        print(row(f"{name} adds to {PLAIN_LOSS}", 100 * (seconds[name, "step"] / plain - 1), "% of a step"))
    limit = 100 * MAX_OVERHEAD
    for name in names:
        share = 100 * seconds[name, "loss"] / plain
        verdict = "within" if max(share) <= limit else "MORE THAN" if min(share) > limit else "not known if within"
        print(row(f"{name} alone", share, f"% of a step, {verdict} {MAX_OVERHEAD:.0%}"))
    print(f"Least and most of {options.blocks} blocks hold the true median with {1 - 0.5 ** (options.blocks - 1):.1%}.")
