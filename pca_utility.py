"""The shape model: PCA of training faces, and the Smooth-Face that it makes of every face.

    python pca_utility.py --dataset 300W --data-dir data

fits the eigenbases of 80, 85, 90, 95 and 97 % on `data/w300/normalized_labels/` and writes them to `data/w300/pca/`.
"""

import argparse
import hashlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from config import (
    CROPS,
    DATA_DIR,
    DEFAULT_CROP,
    PCA_PERCENTAGES,
    Crop,
    DatasetName,
)
from face_datasets.catalogue import (
    TITLES,
    Dataset,
    get_dataset,
)
from image_utility import Augmentation, crop_matrix, mirror_landmarks, sample_affine, to_targets, transform
from utils.files import atomic_write, folder_lock, write_text

SHAPE_CLIP = 3.0  # shape parameters are clipped to +- this many standard deviations of their mode
_ROUNDS = 20  # of the Procrustes analysis at most; two or three are enough
_SETTLED = 1e-8  # change of the mean shape, of size 1, at which it ends


_LEARNED = {"mean": 1, "components": 2, "eigenvalues": 1}  # what a shape model learns, and its dimensions


class ShapeModel:
    """PCA of face shapes with clipped parameters: face ~ mean + V_k b (ACR Loss, Sec. III; active shape models).

    Args:
        percentage: share of the shape variance to keep, in (0, 100]; the fewest modes that reach it are kept.
        clip: each parameter b_i is clipped to +- clip * sqrt(eigenvalue_i); None leaves it alone.

    Attributes, after `fit`:
        mean_: (2 * points,). components_: (modes, 2 * points), orthonormal rows. eigenvalues_: (modes,).
    """

    def __init__(self, percentage: float = 90, clip: float | None = SHAPE_CLIP):
        if not 0 < percentage <= 100:
            raise ValueError(f"percentage is a share of variance. Received {percentage}; above 0, up to 100 is right")
        self.percentage = percentage
        self.clip = clip

    def fit(self, shapes: np.ndarray) -> "ShapeModel":
        """Fits mean and modes on shapes (faces, 2 * points)."""
        from sklearn.decomposition import PCA

        pca = PCA(n_components=self.percentage / 100 if self.percentage < 100 else None, svd_solver="full")
        pca.fit(np.asarray(shapes, np.float64))
        self.mean_ = pca.mean_  # (2 * points,)
        self.components_ = pca.components_  # (modes, 2 * points)
        self.eigenvalues_ = np.maximum(pca.explained_variance_, 0)  # (modes,)
        return self

    @property
    def limits_(self) -> np.ndarray:
        """Largest magnitude of each shape parameter, (modes,)."""
        if self.clip is None:
            return np.full(len(self.eigenvalues_), np.inf)
        return self.clip * np.sqrt(self.eigenvalues_)

    def transform(self, shapes: np.ndarray) -> np.ndarray:
        """Clipped shape parameters (faces, modes) of shapes (faces, 2 * points)."""
        parameters = (np.asarray(shapes) - self.mean_) @ self.components_.T
        return np.clip(parameters, -self.limits_, self.limits_)

    def inverse_transform(self, parameters: np.ndarray) -> np.ndarray:
        """Shapes (faces, 2 * points) of shape parameters (faces, modes)."""
        return self.mean_ + parameters @ self.components_

    def smooth(self, shapes: np.ndarray) -> np.ndarray:
        """The Smooth-Face of every shape (faces, 2 * points): what is left of it after the kept modes."""
        return self.inverse_transform(self.transform(shapes))

    def to_dict(self) -> dict:
        """Everything the fitted model consists of, as numbers and lists; an infinite clip clips nothing."""
        learned = {name: getattr(self, f"{name}_").tolist() for name in _LEARNED}
        return {"percentage": self.percentage, "clip": np.inf if self.clip is None else self.clip, **learned}

    @classmethod
    def from_dict(cls, values: dict) -> "ShapeModel":
        """The model that `to_dict` was called on."""
        model = cls(float(values["percentage"]), float(values["clip"]) if np.isfinite(values["clip"]) else None)
        model.mean_, model.components_, model.eigenvalues_ = (np.asarray(values[name]) for name in _LEARNED)
        return model

    def save(self, path: str | os.PathLike) -> None:
        """Writes the eigenbasis as .npz, whole or not at all."""
        arrays = {name: np.asarray(value, np.float64) for name, value in self.to_dict().items()}
        with atomic_write(path) as temporary:
            np.savez(temporary, **arrays)

    @classmethod
    def load(cls, path: str | os.PathLike) -> "ShapeModel":
        """Reads an eigenbasis written by `save`.

        Raises:
            FileNotFoundError: no such file; the message names the command that makes it.
            ValueError: the file is no eigenbasis.
        """
        path = Path(path)
        if not path.is_file():
            raise FileNotFoundError(
                f"no eigenbasis {path}. Make it with: python pca_utility.py --dataset D --data-dir DIR [--crop C]"
            )
        try:
            with np.load(path, allow_pickle=False) as file:
                arrays = {name: np.asarray(file[name], np.float64) for name in ("percentage", "clip", *_LEARNED)}
        except Exception as error:  # zipfile, zlib, struct and NumPy each raise their own kind on a broken file
            raise ValueError(f"{path} is not an eigenbasis file: {error}. Remove it and run pca_utility.py") from error
        shapes = {name: arrays[name].shape for name in _LEARNED}
        fits = all(len(shapes[name]) == dimensions for name, dimensions in _LEARNED.items())
        if not fits or shapes["components"] != shapes["eigenvalues"] + shapes["mean"]:
            raise ValueError(f"{path}: the arrays do not fit together. Received shapes {shapes}")
        if not all(np.isfinite(arrays[name]).all() for name in _LEARNED) or arrays["eigenvalues"].min() < 0:
            raise ValueError(f"{path} holds values that no eigenbasis has. Remove it, and run pca_utility.py")
        return cls.from_dict(arrays)


class PCAUtility:
    """The original's entry point to the eigenbases."""

    def create_pca_from_npy(
        self, dataset_name: DatasetName | str, labels_npy_path: str | os.PathLike, pca_percentages: float = 90
    ) -> ShapeModel:
        """Fits one eigenbasis on normalised labels and writes it to the folder `pca` beside the labels' folder.

        Args:
            dataset_name: whose landmarks the labels are.
            labels_npy_path: folder of .npy files, each (2 * points,) or (faces, 2 * points); also one such file.
            pca_percentages: share of the shape variance to keep, in (0, 100].

        Returns:
            The fitted model.

        Raises:
            FileNotFoundError, ValueError: no labels there, or none of this data set; see `load_labels`.
        """
        dataset, folder = get_dataset(dataset_name), pca_folder(labels_npy_path)
        labels = load_labels(labels_npy_path, dataset)
        with folder_lock(folder):
            return _fit(labels, folder, dataset, pca_percentages)


def fit_eigenbases(labels_path: str | os.PathLike, dataset: Dataset) -> dict[float, Path]:
    """Fits the eigenbases of every percentage of the schedule, unless they are there and of these very labels.

    Returns:
        percentage -> file.

    Raises:
        FileNotFoundError, ValueError: no labels there, or none of this data set; see `load_labels`.
    """
    folder = pca_folder(labels_path)
    files = {percentage: eigenbasis_path(folder, dataset, percentage) for percentage in PCA_PERCENTAGES}
    labels = load_labels(labels_path, dataset)
    digest, stamp = _digest(labels), _stamp(folder, dataset)

    def fresh() -> bool:
        try:
            return stamp.read_text(encoding="utf-8") == digest and all(file.is_file() for file in files.values())
        except FileNotFoundError:
            return False

    if fresh():
        return files
    with folder_lock(folder):  # every worker and every seed of a training comes by
        if not fresh():
            for percentage in PCA_PERCENTAGES:
                _fit(labels, folder, dataset, percentage)
            write_text(stamp, digest)
    return files


def _fit(labels: np.ndarray, folder: Path, dataset: Dataset, percentage: float) -> ShapeModel:
    """Fits one eigenbasis on labels (faces, 2 * points) and writes it; the caller holds the folder.

    Nothing says any more that all of the folder's eigenbases are of the same labels, until the caller does.
    """
    model = ShapeModel(percentage).fit(labels)
    _stamp(folder, dataset).unlink(missing_ok=True)
    model.save(eigenbasis_path(folder, dataset, percentage))
    return model


def _stamp(folder: Path, dataset: Dataset) -> Path:
    """The file with the digest of the labels that all eigenbases of a folder were fitted on."""
    return folder / f"{dataset.name}_labels.sha256"


def labels_digest(labels_path: str | os.PathLike, dataset: Dataset) -> str:
    """A digest of the labels below a path: what the eigenbases fitted on them, and with them phi, follow from.

    Raises:
        FileNotFoundError, ValueError: see `load_labels`.
    """
    return _digest(load_labels(labels_path, dataset))


def _digest(labels: np.ndarray) -> str:
    return hashlib.sha256(labels.tobytes()).hexdigest()


def labels_folder(data_dir: str | os.PathLike, dataset: Dataset, crop: str) -> Path:
    """Where the normalised labels of a data set lie; labels depend on the crop, so each crop has its own folder."""
    suffix = "" if crop == DEFAULT_CROP else f"_{crop}"
    return Path(data_dir) / dataset.name / f"normalized_labels{suffix}"


def pca_folder(labels_path: str | os.PathLike) -> Path:
    """Where the eigenbases of a labels' folder lie: `normalized_labels_tight` -> `pca_tight`, beside it."""
    labels_path = Path(labels_path)
    folder = labels_path.parent if labels_path.suffix == ".npy" else labels_path
    _, _, suffix = folder.name.partition("normalized_labels")
    return folder.parent / f"pca{suffix}"


def eigenbasis_path(folder: Path, dataset: Dataset, percentage: float) -> Path:
    """The file of one eigenbasis."""
    return folder / f"{dataset.name}_{percentage:g}.npz"


def load_labels(path: str | os.PathLike, dataset: Dataset) -> np.ndarray:
    """All normalised labels below `path`, (faces, 2 * points).

    Raises:
        FileNotFoundError: no .npy file there.
        ValueError: a file that is no array of this data set's landmarks, or fewer than two faces.
    """
    path = Path(path)
    files = [path] if path.suffix == ".npy" else sorted(path.glob("[!.]*.npy"))
    if not files or not files[0].is_file():
        raise FileNotFoundError(
            f"no labels (*.npy) in {path}. Make them with: "
            f"python data_helper.py --dataset {dataset.title} --raw DIR [--crop C]"
        )
    shapes = np.concatenate([_read_labels(file, dataset) for file in files])  # (faces, 2 * points)
    if len(shapes) < 2:
        raise ValueError(f"a shape model needs at least two faces. Received {len(shapes)} in {path}")
    return shapes


def _read_labels(file: Path, dataset: Dataset) -> np.ndarray:
    """One labels file as (faces, 2 * points)."""
    try:
        labels = np.load(file, allow_pickle=False)
    except Exception as error:  # tokenize, zipfile and NumPy each raise their own kind on a broken file
        raise ValueError(f"{file} is not a NumPy array file: {error}") from error
    if not isinstance(labels, np.ndarray):
        raise ValueError(f"{file} is not a NumPy array file: it is an archive of arrays")
    if labels.ndim not in (1, 2) or labels.shape[-1] != dataset.outputs or labels.dtype.kind != "f":
        raise ValueError(
            f"{file} does not hold {dataset.title} labels. Received shape {labels.shape} of {labels.dtype}; floats of "
            f"shape ({dataset.outputs},) or (faces, {dataset.outputs}) are right"
        )
    if not np.isfinite(labels).all():
        raise ValueError(f"{file} holds labels that are not finite numbers")
    return labels.reshape(-1, dataset.outputs)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(description="Fit the eigenbases of a prepared data set.")
    parser.add_argument("--dataset", required=True, help=f"one of {TITLES}")
    parser.add_argument("--data-dir", default=DATA_DIR, help="the data root")
    parser.add_argument("--crop", default=DEFAULT_CROP, choices=sorted(CROPS), help="the crop the labels were made for")
    options = parser.parse_args(arguments)
    try:
        dataset = get_dataset(options.dataset)
        labels_path = labels_folder(options.data_dir, dataset, options.crop)
        for percentage, file in fit_eigenbases(labels_path, dataset).items():
            print(f"{percentage} %: {len(ShapeModel.load(file).components_)} of {dataset.outputs} modes -> {file}")
    except (OSError, ValueError) as error:
        print(f"pca_utility.py: {error}", file=sys.stderr)
        return 1
    return 0


def normalised_labels(
    landmarks: np.ndarray,
    partners: Sequence[int],
    crop: Crop,
    size: int,
    augmentation: Augmentation,
    augmented_copies: int,
    seed: int,
) -> np.ndarray:
    """Training landmarks as a network's targets, upright and augmented.

    The augmentation is that of the training, so that the shape model does not take rotation for difficulty.

    Args:
        landmarks: (n, points, 2) in image pixels.
        partners: (points,) the mirror partner of every landmark.
        crop: a row of config.CROPS.
        size: side of the crop in pixels.
        augmentation: of the training's recipe.
        augmented_copies: number of augmented copies of every face.
        seed: of the augmentation.

    Returns:
        float32 (n * (1 + copies), 2 * points): every face upright, then its augmented copies.
    """
    matrices = np.stack([crop_matrix(crop, face, size) for face in landmarks])  # (n, 2, 3)
    upright = transform(landmarks, matrices)  # (n, points, 2)
    rng = np.random.default_rng(seed)
    blocks = [upright]
    for _ in range(augmented_copies):
        matrices, flips = sample_affine(rng, len(upright), augmentation, size)
        augmented = transform(upright, matrices)
        augmented[flips] = mirror_landmarks(augmented[flips], partners)
        blocks.append(augmented)
    return to_targets(np.concatenate(blocks), size).astype(np.float32)


def align(shapes: np.ndarray) -> np.ndarray:
    """Shapes (faces, points, 2), each moved, scaled and turned onto the mean of all (generalised Procrustes analysis).

    Returns:
        (faces, points, 2) around the origin; their mean, scaled to size 1, is what they lie on (size:
        the root of the sum of squares).

    Raises:
        ValueError: a face whose landmarks all coincide.
    """
    centred = shapes - shapes.mean(axis=1, keepdims=True)
    sizes = np.linalg.norm(centred, axis=(1, 2))
    if not sizes.min() > 0:
        raise ValueError(f"face {int(sizes.argmin())} has no shape. Received landmarks that all coincide")
    aligned = centred / sizes[:, None, None]
    mean = aligned[0]
    for _ in range(_ROUNDS):
        aligned = _turn(aligned, mean)
        new = aligned.mean(axis=0)
        new /= np.linalg.norm(new)
        change, mean = np.linalg.norm(new - mean), new
        if change < _SETTLED:
            break
    scale = np.sum(aligned * mean, axis=(1, 2), keepdims=True)  # least squares, after the turn
    return aligned * scale


def align_to(shapes: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """Shapes (faces, points, 2), each moved, scaled and turned to lie best on `mean` (points, 2) around the origin.

    Raises:
        ValueError: a face whose landmarks all coincide.
    """
    centred = shapes - shapes.mean(axis=1, keepdims=True)
    sizes = np.sum(centred**2, axis=(1, 2), keepdims=True)
    if not sizes.min() > 0:
        raise ValueError(f"face {int(sizes.argmin())} has no shape. Received landmarks that all coincide")
    turned = _turn(centred, mean)
    return turned * np.sum(turned * mean, axis=(1, 2), keepdims=True) / sizes


def _turn(shapes: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """Shapes (faces, points, 2) around the origin, each rotated, not mirrored, to lie best on `mean` (points, 2)."""
    planes = shapes[..., 0] + 1j * shapes[..., 1]  # (faces, points); in the plane a rotation is one complex factor
    factor = planes.conj() @ (mean[:, 0] + 1j * mean[:, 1])  # (faces,)
    turned = planes * (factor / np.abs(factor))[:, None]
    return np.stack([turned.real, turned.imag], axis=-1)


if __name__ == "__main__":
    sys.exit(main())
