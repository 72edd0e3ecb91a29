"""The devices of a training. Keras is imported only when it is asked for them."""

import os

DISTRIBUTE = ("auto", "none", "data_parallel")  # see distribution.get_distribution
AUGMENT_ON = ("cpu", "gpu")  # batches.CPUAugmentation, device_augmentation.GPUAugmentation

# Side in pixels of an input up to which TensorFlow trains faster with several operations at a time, one core for each,
# than with all cores on one operation: on two cores 12 % at 64 px, 0 % at 112 px, and 18 % slower at 224 px.
SINGLE_THREADED_MAX_INPUT = 64


def single_threaded_ops() -> None:
    """Give every operation of TensorFlow one thread, unless the environment has other values.

    TensorFlow reads this when it first computes.
    """
    os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")
    os.environ.setdefault("TF_NUM_INTEROP_THREADS", str(os.cpu_count() or 1))


def accelerators() -> list[str]:
    """Return the GPUs that the backend has, and the TPUs of JAX."""
    import keras

    backend = keras.backend.backend()
    if backend == "torch":
        import torch

        return [f"cuda:{number}" for number in range(torch.cuda.device_count())]
    if backend == "tensorflow":
        import tensorflow as tf

        return [device.name for device in tf.config.list_physical_devices("GPU")]  # Keras' own list would start threads
    found = []
    for kind in ("gpu", "tpu"):
        try:
            found += keras.distribution.list_devices(kind)
        except RuntimeError:  # JAX has none
            continue
    return found
