"""Time that each loss adds to a training step.

python -m benchmarks.loss_speed --dataset 300W
"""

import argparse
import functools
import math
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.config import MAX_OVERHEAD, PLAIN_LOSS, STEP_METHODS
from benchmarks.options import add_training_options, names
from benchmarks.timing import block_steps, build_training, interleaved, print_machine, row, training_block
from utils import cli

if TYPE_CHECKING:
    import keras


def _repeat(batch: np.ndarray, times: int) -> np.ndarray:
    """Return a batch (batch, ...) repeated along its first axis."""
    import keras

    return np.concatenate([keras.ops.convert_to_numpy(batch)] * times)


def outputs_only(model: "keras.Model") -> "keras.Model":
    """Return a network with the same outputs and loss, but only a weight and a bias for each number.

    Its training step takes hardly longer than the loss and its gradient.
    """
    import keras

    nothing = keras.Input((1,))
    outputs = []
    for output in model.outputs:
        numbers = keras.layers.Dense(math.prod(output.shape[1:]))(nothing)
        outputs.append(keras.layers.Reshape(output.shape[1:])(numbers))
    small = keras.Model(nothing, outputs if len(outputs) > 1 else outputs[0])
    small.compile(
        keras.optimizers.SGD(0.0),  # without updates the loss stays finite
        model.loss,
        jit_compile=model.jit_compile,
        steps_per_execution=model.steps_per_execution,
    )
    return small


def measure(options: argparse.Namespace) -> None:
    """Print the table: training steps with each loss, and each loss alone.

    All losses see the same images in memory, so that only the step is timed. Steps of a large network differ from
    block to block by more than a loss costs; so each loss is also timed with the tiny network of `outputs_only`, which
    gives nearly an upper bound of what it adds.

    Raises:
        ValueError: a method that trains a second network; also what Train raises.
    """
    import keras

    from methods import get_method

    blocks, images = {}, None
    for name in dict.fromkeys([PLAIN_LOSS, *options.methods]):
        if get_method(name).wrap:
            raise ValueError(f"only steps of one network and one loss are timed. Received {name}, with two networks")
        model, batches = build_training(options, name)
        batch, targets = batches[0]
        repeats = block_steps(model, options.steps)
        images = _repeat(batch, repeats) if images is None else images
        targets = keras.tree.map_structure(functools.partial(_repeat, times=repeats), targets)  # one for each output
        for kind, network, inputs in (("step", model, images), ("loss", outputs_only(model), images[:, 0, 0, :1])):
            data = {"x": inputs, "y": targets, "batch_size": options.batch_size}
            blocks[name, kind] = functools.partial(training_block, network, options.steps, options.batch_size, **data)
    seconds = {key: options.batch_size / speeds for key, speeds in interleaved(blocks, options.blocks).items()}
    print_machine(options, "one batch in memory")
    methods = [name for name, kind in blocks if kind == "step"]
    for kind, title in (("step", "step with"), ("loss", "the loss alone,")):
        for name in methods:
            print(row(f"{title} {name}", 1000 * seconds[name, kind], "ms"))
    plain = seconds[PLAIN_LOSS, "step"]
    for name in methods[1:]:
        print(row(f"{name} adds to {PLAIN_LOSS}", 100 * (seconds[name, "step"] / plain - 1), "% of a step"))
    limit = 100 * MAX_OVERHEAD
    for name in methods:
        percent = 100 * seconds[name, "loss"] / plain
        verdict = "within" if max(percent) <= limit else "MORE THAN" if min(percent) > limit else "unknown if within"
        print(row(f"{name} alone", percent, f"% of a step, {verdict} {MAX_OVERHEAD:.0%}"))
    coverage = 1 - 0.5 ** (options.blocks - 1)
    print(f"Minimum and maximum of {options.blocks} blocks contain the true median with {coverage:.1%}.")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit status."""
    parser = argparse.ArgumentParser(description="Measure the time that each loss adds to a training step.")
    add_training_options(parser, steps=30)
    default = ",".join(STEP_METHODS)
    parser.add_argument(
        "--methods", type=names, default=[*STEP_METHODS], help=f"methods besides {PLAIN_LOSS}; default: {default}"
    )
    options = parser.parse_args(arguments)
    return cli.run(lambda: measure(options), "loss_speed")


if __name__ == "__main__":
    sys.exit(main())
