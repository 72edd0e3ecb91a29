"""Short training runs on the tiny 300W, and what they kept."""

from pathlib import Path

import numpy as np

import train
from config import DatasetName, ModelArch

SMALL = dict(epochs=3, input_size=32, batch_size=4, seed=3)


def run_of(prepared, folder, **changes):
    settings = {"method": "acr", "data_dir": prepared, **SMALL, **changes}
    return train.Train(arch=ModelArch.MNV2, dataset_name=DatasetName.w300, save_path=folder, **settings)


def state_of(folder):
    with np.load(Path(folder) / "state.npz", allow_pickle=False) as file:
        return {name: file[name] for name in file.files}
