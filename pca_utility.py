"""Shape model: PCA of training faces, the Smooth-Face of every face, Procrustes analysis, normalised labels.

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

from config import CROPS, DATA_DIR, DEFAULT_CROP, PCA_PERCENTAGES, Crop, DatasetName
from face_datasets.catalogue import TITLES, Dataset, get_dataset
from image_utility import Augmentation, crop_matrix, mirror_landmarks, sample_affine, to_targets, transform
from utils import cli
from utils.files import atomic_write, folder_lock, write_text

SHAPE_CLIP = 3.0  # limit of the shape parameters, in standard deviations of their mode
PROCRUSTES_ITERATIONS = 20  # at most; two or three are enough
PROCRUSTES_TOLERANCE = 1e-8  # change of the mean shape, of size 1, below which iterations end
_DIMENSIONS = {"mean": 1, "components": 2, "eigenvalues": 1}  # of the arrays in an eigenbasis file


class ShapeModel:
    """PCA of face shapes with clipped parameters: face ~ mean + V_k b (ACR Loss, Sec. III; active shape models).

    Args:
        percentage: of the shape variance to keep, in (0, 100]; the fewest modes that reach it are kept.
        clip: limit of each parameter b_i in units of sqrt(explained_variance_i); None does not clip.

    Attributes (after `fit`):
        mean_: (2 * points,).
        components_: (modes, 2 * points), orthonormal rows.
        explained_variance_: (modes,).
    """

    def __init__(self, percentage: float = 90, clip: float | None = SHAPE_CLIP):
        self.percentage = percentage
        self.clip = clip

    def fit(self, shapes: np.ndarray) -> "ShapeModel":
        """Fit mean and modes to shapes (faces, 2 * points).

        Raises:
            ValueError: the percentage is out of range.
        """
        if not 0 < self.percentage <= 100:
            raise ValueError(f"percentage must be above 0, up to 100. Received percentage={self.percentage}")
        from sklearn.decomposition import PCA

        pca = PCA(n_components=self.percentage / 100 if self.percentage < 100 else None, svd_solver="full")
        pca.fit(np.asarray(shapes, np.float64))
        self.mean_ = pca.mean_  # (2 * points,)
        self.components_ = pca.components_  # (modes, 2 * points)
        self.explained_variance_ = np.maximum(pca.explained_variance_, 0)  # (modes,)
        return self

    @property
    def limits_(self) -> np.ndarray:
        """Largest magnitude (modes,) of each shape parameter."""
        if self.clip is None:
            return np.full(len(self.explained_variance_), np.inf)
        return self.clip * np.sqrt(self.explained_variance_)

    def transform(self, shapes: np.ndarray) -> np.ndarray:
        """Return clipped shape parameters (faces, modes) of shapes (faces, 2 * points)."""
        parameters = (np.asarray(shapes) - self.mean_) @ self.components_.T
        return np.clip(parameters, -self.limits_, self.limits_)

    def inverse_transform(self, parameters: np.ndarray) -> np.ndarray:
        """Return shapes (faces, 2 * points) of shape parameters (faces, modes)."""
        return self.mean_ + parameters @ self.components_

    def smooth(self, shapes: np.ndarray) -> np.ndarray:
        """Return the Smooth-Face of every shape (faces, 2 * points): its projection on the kept modes."""
        return self.inverse_transform(self.transform(shapes))

    def to_dict(self) -> dict:
        """Return the fitted model as numbers and lists; an infinite clip stands for None."""
        return {
            "percentage": self.percentage,
            "clip": np.inf if self.clip is None else self.clip,
            "mean": self.mean_.tolist(),
            "components": self.components_.tolist(),
            "eigenvalues": self.explained_variance_.tolist(),
        }

    @classmethod
    def from_dict(cls, values: dict) -> "ShapeModel":
        """Return the model that `to_dict` was called on."""
        model = cls(float(values["percentage"]), float(values["clip"]) if np.isfinite(values["clip"]) else None)
        model.mean_ = np.asarray(values["mean"])
        model.components_ = np.asarray(values["components"])
        model.explained_variance_ = np.asarray(values["eigenvalues"])
        return model

    def save(self, path: str | os.PathLike) -> None:
        """Write the eigenbasis as .npz, atomically."""
        arrays = {name: np.asarray(value, np.float64) for name, value in self.to_dict().items()}
        with atomic_write(path) as temporary:
            np.savez(temporary, **arrays)

    @classmethod
    def load(cls, path: str | os.PathLike) -> "ShapeModel":
        """Read an eigenbasis that `save` wrote.

        Raises:
            FileNotFoundError: no such file; the message names the command that makes it.
            ValueError: the file is not an eigenbasis.
        """
        path = Path(path)
        if not path.is_file():
            raise FileNotFoundError(
                f"no eigenbasis {path}. Make it with: python pca_utility.py --dataset D --data-dir DIR [--crop C]"
            )
        try:
            with np.load(path, allow_pickle=False) as file:
                arrays = {name: np.asarray(file[name], np.float64) for name in ("percentage", "clip", *_DIMENSIONS)}
        except Exception as error:  # zipfile, zlib, struct and NumPy raise errors of many kinds on a broken file
            raise ValueError(f"{path} is not an eigenbasis file: {error}. Remove it and run pca_utility.py") from error
        shapes = {name: arrays[name].shape for name in _DIMENSIONS}
        fits = all(len(shapes[name]) == dimensions for name, dimensions in _DIMENSIONS.items())
        if not fits or shapes["components"] != shapes["eigenvalues"] + shapes["mean"]:
            raise ValueError(f"{path}: the arrays do not fit together. Received shapes {shapes}")
        if not all(np.isfinite(arrays[name]).all() for name in _DIMENSIONS) or arrays["eigenvalues"].min() < 0:
            raise ValueError(f"{path} holds values that no eigenbasis has. Remove it and run pca_utility.py")
        return cls.from_dict(arrays)


class PCAUtility:
    """The original's interface to the eigenbases."""

    def create_pca_from_npy(
        self, dataset_name: DatasetName | str, labels_npy_path: str | os.PathLike, pca_percentages: float = 90
    ) -> ShapeModel:
        """Fit one eigenbasis to normalised labels and write it to the folder `pca` beside the labels' folder.

        Args:
            dataset_name: data set of the labels.
            labels_npy_path: folder of .npy files, each (2 * points,) or (faces, 2 * points); also one such file.
            pca_percentages: of the shape variance to keep, in (0, 100].

        Returns:
            The fitted model.

        Raises:
            FileNotFoundError, ValueError: no labels there, or labels of another data set; see `load_labels`.
        """
        dataset, folder = get_dataset(dataset_name), pca_folder(labels_npy_path)
        labels = load_labels(labels_npy_path, dataset)
        with folder_lock(folder):
            return _fit(labels, folder, dataset, pca_percentages)


# --------------------------------------------------------------------------------------------------------------------
# Files of labels and eigenbases
# --------------------------------------------------------------------------------------------------------------------


def labels_folder(data_dir: str | os.PathLike, dataset: Dataset, crop: str) -> Path:
    """Return the folder of a data set's normalised labels; labels depend on the crop, so each crop has its own."""
    suffix = "" if crop == DEFAULT_CROP else f"_{crop}"
    return Path(data_dir) / dataset.name / f"normalized_labels{suffix}"


def pca_folder(labels_path: str | os.PathLike) -> Path:
    """Return the folder of the eigenbases of a labels' folder: `normalized_labels_tight` -> `pca_tight`, beside it."""
    labels_path = Path(labels_path)
    folder = labels_path.parent if labels_path.suffix == ".npy" else labels_path
    _, _, suffix = folder.name.partition("normalized_labels")
    return folder.parent / f"pca{suffix}"


def eigenbasis_path(folder: Path, dataset: Dataset, percentage: float) -> Path:
    """Return the file of one eigenbasis."""
    return folder / f"{dataset.name}_{percentage:g}.npz"


def load_labels(path: str | os.PathLike, dataset: Dataset) -> np.ndarray:
    """Return all normalised labels below `path`, (faces, 2 * points).

    Raises:
        FileNotFoundError: no .npy file there.
        ValueError: a file is not an array of this data set's landmarks, or there are fewer than two faces.
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
    """Return one labels file as (faces, 2 * points)."""
    try:
        labels = np.load(file, allow_pickle=False)
    except Exception as error:  # tokenize, zipfile and NumPy raise errors of many kinds on a broken file
        raise ValueError(f"{file} is not a NumPy array file: {error}") from error
    if not isinstance(labels, np.ndarray):
        raise ValueError(f"{file} is not a NumPy array file: it is an archive of arrays")
    if labels.ndim not in (1, 2) or labels.shape[-1] != dataset.outputs or labels.dtype.kind != "f":
        raise ValueError(
            f"{file} does not hold {dataset.title} labels. Received shape {labels.shape} of {labels.dtype}; expected "
            f"floats of shape ({dataset.outputs},) or (faces, {dataset.outputs})"
        )
    if not np.isfinite(labels).all():
        raise ValueError(f"{file} holds labels that are not finite numbers")
    return labels.reshape(-1, dataset.outputs)


def labels_digest(labels_path: str | os.PathLike, dataset: Dataset) -> str:
    """Return a digest of the labels below a path, from which the eigenbases and with them phi follow.

    Raises:
        FileNotFoundError, ValueError: see `load_labels`.
    """
    return _digest(load_labels(labels_path, dataset))


def _digest(labels: np.ndarray) -> str:
    """Return the SHA-256 of labels."""
    return hashlib.sha256(labels.tobytes()).hexdigest()


def _digest_file(folder: Path, dataset: Dataset) -> Path:
    """Return the file with the digest of the labels that all eigenbases of a folder were fitted to."""
    return folder / f"{dataset.name}_labels.sha256"


def fit_eigenbases(labels_path: str | os.PathLike, dataset: Dataset) -> dict[float, Path]:
    """Fit the eigenbases of PCA_PERCENTAGES unless they exist and are those of the same labels.

    Returns:
        percentage -> file.

    Raises:
        FileNotFoundError, ValueError: no labels there, or labels of another data set; see `load_labels`.
    """
    folder = pca_folder(labels_path)
    files = {percentage: eigenbasis_path(folder, dataset, percentage) for percentage in PCA_PERCENTAGES}
    labels = load_labels(labels_path, dataset)
    digest, digest_file = _digest(labels), _digest_file(folder, dataset)

    def up_to_date() -> bool:
        try:
            known = digest_file.read_text(encoding="utf-8")
        except FileNotFoundError:
            return False
        return known == digest and all(file.is_file() for file in files.values())

    if up_to_date():
        return files
    with folder_lock(folder):  # trainings that start at the same time all come here
        if not up_to_date():
            for percentage in PCA_PERCENTAGES:
                _fit(labels, folder, dataset, percentage)
            write_text(digest_file, digest)
    return files


def _fit(labels: np.ndarray, folder: Path, dataset: Dataset, percentage: float) -> ShapeModel:
    """Fit one eigenbasis to labels (faces, 2 * points) and write it; the caller holds the lock of the folder.

    The digest is removed first, because other eigenbases of the folder may be of other labels.
    """
    model = ShapeModel(percentage).fit(labels)
    _digest_file(folder, dataset).unlink(missing_ok=True)
    model.save(eigenbasis_path(folder, dataset, percentage))
    return model


# --------------------------------------------------------------------------------------------------------------------
# Shapes
# --------------------------------------------------------------------------------------------------------------------


def normalised_labels(
    landmarks: np.ndarray,
    partners: Sequence[int],
    crop: Crop,
    size: int,
    augmentation: Augmentation,
    augmented_copies: int,
    seed: int,
) -> np.ndarray:
    """Convert training landmarks to network targets, upright and augmented.

    With the augmentation of the training the shape model does not mistake rotation for difficulty.

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
    """Align shapes (faces, points, 2) with their mean by translation, scale and rotation.

    This is generalised Procrustes analysis, by hand because SciPy's function takes two shapes only.

    Returns:
        (faces, points, 2), centred at the origin and aligned with their mean of size 1 (root of the sum of squares).

    Raises:
        ValueError: the landmarks of a face all coincide.
    """
    centred = shapes - shapes.mean(axis=1, keepdims=True)
    sizes = np.linalg.norm(centred, axis=(1, 2))
    _check_sizes(sizes)
    aligned = centred / sizes[:, None, None]
    mean = aligned[0]
    for _ in range(PROCRUSTES_ITERATIONS):
        aligned = _rotate(aligned, mean)
        new = aligned.mean(axis=0)
        new /= np.linalg.norm(new)
        change, mean = np.linalg.norm(new - mean), new
        if change < PROCRUSTES_TOLERANCE:
            break
    scale = np.sum(aligned * mean, axis=(1, 2), keepdims=True)  # least squares, after the rotation
    return aligned * scale


def align_to(shapes: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """Align shapes (faces, points, 2) with `mean` (points, 2), centred at the origin, by translation, scale, rotation.

    Raises:
        ValueError: the landmarks of a face all coincide.
    """
    centred = shapes - shapes.mean(axis=1, keepdims=True)
    sizes = np.sum(centred**2, axis=(1, 2), keepdims=True)
    _check_sizes(sizes)
    rotated = _rotate(centred, mean)
    return rotated * np.sum(rotated * mean, axis=(1, 2), keepdims=True) / sizes


def _check_sizes(sizes: np.ndarray) -> None:
    """Raise an error where a face has no size."""
    if not sizes.min() > 0:
        raise ValueError(f"face {int(sizes.argmin())} has no shape. Received landmarks that all coincide")


def _rotate(shapes: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """Rotate (not mirror) shapes (faces, points, 2), centred at the origin, for the best match with `mean`."""
    planes = shapes[..., 0] + 1j * shapes[..., 1]  # (faces, points); in the plane a rotation is one complex factor
    factor = planes.conj() @ (mean[:, 0] + 1j * mean[:, 1])  # (faces,)
    rotated = planes * (factor / np.abs(factor))[:, None]
    return np.stack([rotated.real, rotated.imag], axis=-1)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    parser = argparse.ArgumentParser(description="Fit the eigenbases of a prepared data set.")
    add = parser.add_argument
    add("--dataset", required=True, help=f"data set, one of {TITLES}")
    add("--data-dir", metavar="DIR", default=DATA_DIR, help="data root; default: %(default)s")
    add("--crop", default=DEFAULT_CROP, choices=sorted(CROPS), help="crop of the labels; default: %(default)s")
    options = parser.parse_args(arguments)

    def work() -> None:
        dataset = get_dataset(options.dataset)
        labels_path = labels_folder(options.data_dir, dataset, options.crop)
        for percentage, file in fit_eigenbases(labels_path, dataset).items():
            print(f"{percentage} %: {len(ShapeModel.load(file).components_)} of {dataset.outputs} modes -> {file}")

    return cli.run(work, "pca_utility.py")


if __name__ == "__main__":
    sys.exit(main())
