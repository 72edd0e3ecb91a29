"""Short training runs on the tiny 300W, and their states."""

from pathlib import Path

import numpy as np

import train
from config import DatasetName, ModelArch

SMALL = dict(epochs=3, input_size=32, batch_size=4, seed=3)


def run_of(prepared, folder, method="acr", arch=ModelArch.MNV2, **changes):
    return train.Train(arch, DatasetName.w300, folder, method=method, data_dir=prepared, **{**SMALL, **changes})


def state_of(folder):
    with np.load(Path(folder) / "state.npz", allow_pickle=False) as file:
        return {name: file[name] for name in file.files}
