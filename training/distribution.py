"""One training on several devices: the same run, with every batch split between them.

    python train.py --distribute data_parallel        # all devices of this machine

JAX uses Keras' own distribution, TensorFlow tf.distribute: mirrored on one machine, see training/multi_worker.py for
several. A recipe's batch size and learning rate are those of the whole batch, so neither changes with the devices.
"""

import keras

from training.devices import DISTRIBUTE, accelerators
from training.multi_worker import MultiWorker, count_workers
from training.strategies import Distribution, JaxDataParallel, Mirrored


def get_distribution(name: str) -> Distribution:
    """Return the distribution of a training.

    Args:
        name: "none" uses one device; "data_parallel" all of one kind, accelerators before CPUs; "auto" does so if there
            are several accelerators, or if TF_CONFIG names several workers.

    Raises:
        ValueError: an unknown name, or one that the backend does not support here.
    """
    if name not in DISTRIBUTE:
        raise ValueError(f"unknown distribution. Received {name!r}; known: {', '.join(DISTRIBUTE)}")
    backend = keras.backend.backend()
    workers = count_workers() if backend == "tensorflow" else 1
    several = workers > 1 or (backend != "torch" and len(accelerators()) > 1)
    if name == "none" or (name == "auto" and not several):
        return Distribution()
    if backend == "tensorflow":
        return MultiWorker() if workers > 1 else Mirrored()
    if backend == "jax":
        return JaxDataParallel()
    raise ValueError(f"data_parallel needs TensorFlow or JAX. Received {backend!r}; use --distribute none")
