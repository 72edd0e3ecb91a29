"""The first step of a training on the backend of KERAS_BACKEND, for test_backends.py.

python tests/helpers/backend_step.py DATA_DIR NETWORK METHOD WEIGHTS.npz OUT.npz
"""

import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[2]), str(Path(__file__).parent)]

import keras  # noqa: E402
import numpy as np  # noqa: E402

from config import ModelArch  # noqa: E402
from tests.robustness import tiny_network  # noqa: E402
from train import Train  # noqa: E402

SIZE, BATCH = 64, 8


def main(data_dir: str, network: str, method: str, weights: str, out: str) -> None:
    """Takes the weights from a file; where there is none, leaves its own there for the other backends."""
    if network == "tiny":
        tiny_network.install()
        network = ModelArch.MNV2
    run = Train(
        arch=network,
        dataset_name="300W",
        save_path=".",
        method=method,
        recipe="original",
        data_dir=data_dir,
        input_size=SIZE,
        batch_size=BATCH,
    )
    images, targets = run.batches()[0]
    model, loss = run.compiled(steps_per_epoch=1)
    for layer in model.layers:
        if isinstance(layer, keras.layers.Dropout):
            layer.rate = 0  # what it drops is the backend's own choice
    if Path(weights).exists():
        with np.load(weights) as file:
            model.set_weights([file[f"{i}"] for i in range(len(file.files))])
    else:
        np.savez(weights, **{f"{i}": array for i, array in enumerate(model.get_weights())})
    # plain descent of rate 1, whose update is the gradient; that of AdamW is hardly more than its sign
    model.compile(keras.optimizers.SGD(1.0), loss, metrics=run.method.metrics(loss), jit_compile=False)
    before = model.get_weights()
    value = model.train_on_batch(images, targets)
    updates = {f"{i}": new - old for i, (new, old) in enumerate(zip(model.get_weights(), before, strict=True))}
    np.savez(out, loss=value[0] if isinstance(value, list) else value, **updates)


if __name__ == "__main__":
    main(*sys.argv[1:])
