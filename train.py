"""Training: one path for every method, network and data set.

    python train.py                                              # synthetic faces, ACR Loss, minutes on a laptop
    python train.py --dataset 300W --method acr --save-path runs/acr
    python train.py --dataset 300W --method acr --save-path runs/acr --resume
    python train.py --list-methods

The folder of a run holds best.keras and last.keras (averaged weights), settings.json (the resolved settings and the
validation figures), log.csv, curves.png, snapshots.json (one face's landmarks in the first epochs and at the end), and
state.npz, from which --resume continues.
"""

import argparse
import dataclasses
import functools
import json
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from config import (
    BEST_FILE,
    CROPS,
    CURVES_FILE,
    DATA_DIR,
    DEFAULT_CROP,
    LAST_FILE,
    LOG_FILE,
    RUNS_DIR,
    SEED,
    SNAPSHOTS_FILE,
    STATE_FILE,
    DatasetName,
    ModelArch,
    get_crop,
    get_row,
)
from face_datasets.catalogue import TITLES, get_dataset
from methods import METHODS, get_method
from training.devices import AUGMENT_ON, DISTRIBUTE, SINGLE_THREADED_MAX_INPUT, accelerators, single_threaded_ops
from training.recipes import RECIPES, Recipe, average_momentum, get_recipe
from utils import cli
from utils.files import folder_lock, write_text

if TYPE_CHECKING:
    import keras

    from cnn_model import Network
    from face_datasets.face_dataset import FaceDataset
    from training.batches import AugmentedBatches
    from training.checkpoint import EMAWeights, TrainingState

HEADS = {"pooled": False, "spatial": True}  # whether the head has a soft-argmax branch, see networks/spatial_head.py
MINIMUM = {"epochs": 1, "input_size": 1, "batch_size": 1, "learning_rate": 0, "seed": 0, "max_faces": 1}
UNRECORDED = ("save_path", "data_dir", "workers", "distribute")  # fields of RunConfig that do not change the weights
DERIVED = ("loss", "input_size", "points")  # of settings.json: they follow from fields of RunConfig


@dataclasses.dataclass(frozen=True)
class RunConfig:
    """Everything that makes a training run what it is.

    Args:
        arch: name of the network.
        dataset: title of the prepared data set.
        save_path: folder of the run.
        recipe: rates, augmentation, sizes.
        method: a name of methods.METHODS.
        loss_options: constants of the method's loss that replace its own.
        crop: a name of config.CROPS.
        data_dir: the data root.
        start_weights: file of the weights that training starts from; None for random weights.
        precision: a Keras dtype policy; "auto" is bfloat16 on an accelerator and float32 elsewhere.
        seed: random seed of weights, augmentation and shuffling.
        max_faces: training faces to use, drawn at random, the same for every seed; None for all. The eigenbases stay
            those of all prepared labels.
        extra_datasets: titles of other prepared data sets with the same landmarks whose training faces are added.
        augment_on: "cpu" (OpenCV), "gpu" (`keras.ops`, with all faces in its memory), or "auto": the GPU if it is the
            only device of the training.
        stream: True reads the training faces from the records of data_helper.py instead of loading them into memory.
        workers: threads that make batches.
        distribute: a name of devices.DISTRIBUTE.

    Raises:
        ValueError: an unknown name, a number too small, or choices that exclude each other.
    """

    arch: str
    dataset: str
    save_path: Path
    recipe: Recipe
    method: str = "acr"
    loss_options: dict = dataclasses.field(default_factory=dict)
    crop: str = DEFAULT_CROP
    data_dir: Path = Path(DATA_DIR)
    start_weights: str | None = None
    precision: str = "auto"
    seed: int = SEED
    max_faces: int | None = None
    extra_datasets: tuple[str, ...] = ()
    augment_on: str = "auto"
    stream: bool = False
    workers: int = 1
    distribute: str = "auto"

    def __post_init__(self):
        method = get_method(self.method)
        numbers = vars(self.recipe) | vars(self)
        for name, minimum in MINIMUM.items():
            if numbers[name] is not None and numbers[name] < minimum:
                raise ValueError(f"{name} is too small. Received {numbers[name]}; the minimum is {minimum}")
        for name, known in (("augment_on", AUGMENT_ON), ("distribute", DISTRIBUTE)):
            if getattr(self, name) not in ("auto", *known):
                raise ValueError(f"unknown {name}. Received {getattr(self, name)!r}; known: auto, {', '.join(known)}")
        if self.network.spatial and method.own_head:
            raise ValueError(f"{method.name} has a head of its own. Received the spatial head; use --head pooled")
        in_memory = {
            "--max-faces": self.max_faces is not None,
            "--extra-datasets": bool(self.extra_datasets),
            "--augment-on gpu": self.augment_on == "gpu",
            f"the method {method.name}": method.needs_all_faces,
        }
        if self.stream and any(in_memory.values()):
            received = ", ".join(name for name, given in in_memory.items() if given)
            raise ValueError(f"a stream has no list of its faces. Received {received}, which needs them in memory")
        method.codec.check_crop(get_crop(self.crop))
        if self.loss_options:
            self.loss_constants()

    @classmethod
    def from_options(
        cls,
        arch: ModelArch | str,
        dataset_name: DatasetName | str,
        save_path: str | os.PathLike,
        method: str = "acr",
        recipe: str | Recipe | None = None,
        head: str | None = None,
        epochs: int | None = None,
        input_size: int | None = None,
        batch_size: int | None = None,
        learning_rate: float | None = None,
        final_fraction: float | None = None,
        data_dir: str | os.PathLike = DATA_DIR,
        extra_datasets: Sequence[DatasetName | str] = (),
        **fields,
    ) -> "RunConfig":
        """Return the configuration of command line options.

        Args:
            arch: name of the network.
            dataset_name: name or title of the data set.
            save_path: folder of the run.
            method: a name of methods.METHODS.
            recipe: a name of recipes.RECIPES, or a row; default: the data set's own.
            head: "pooled" or "spatial"; default: the recipe's.
            epochs, input_size, batch_size, learning_rate, final_fraction: default: the recipe's.
            fields: others of RunConfig.

        Raises:
            ValueError: as of RunConfig.
        """
        dataset = get_dataset(dataset_name)
        recipe = recipe if isinstance(recipe, Recipe) else get_recipe(dataset, recipe)
        replaced = {
            "epochs": epochs,
            "input_size": input_size,
            "batch_size": batch_size,
            "learning_rate": learning_rate,
            "final_fraction": final_fraction,
            "spatial": None if head is None else get_row(HEADS, head, "head"),
        }
        return cls(
            arch=str(arch),
            dataset=dataset.title,
            save_path=Path(save_path),
            method=method,
            recipe=dataclasses.replace(recipe, **_given(replaced)),
            data_dir=Path(data_dir),
            extra_datasets=tuple(get_dataset(name).title for name in extra_datasets),
            **fields,
        )

    @classmethod
    def from_dict(cls, settings: dict, save_path: str | os.PathLike, data_dir: str | os.PathLike) -> "RunConfig":
        """Return the configuration of a recorded run; absent names have their defaults.

        Args:
            settings: those of its settings.json.
            save_path: as of RunConfig.
            data_dir: as of RunConfig.

        Raises:
            ValueError: as of RunConfig, or settings that lack a name or have an unknown one.
        """
        recorded = {field.name for field in dataclasses.fields(cls)} - set(UNRECORDED)
        missing = sorted({"arch", "dataset", "method", "recipe", "crop"} - settings.keys())
        unknown = sorted(settings.keys() - recorded - set(DERIVED))
        if missing or unknown:
            raise ValueError(f"not the settings of a run. Received no {missing}, and the unknown names {unknown}")
        fields = {name: value for name, value in settings.items() if name in recorded}
        fields["recipe"] = Recipe.from_dict(settings["recipe"])
        fields["extra_datasets"] = tuple(settings.get("extra_datasets", ()))
        return cls(save_path=Path(save_path), data_dir=Path(data_dir), **fields)

    def resolve(self, accelerators: int, replicas: int) -> "RunConfig":
        """Return the configuration on a machine, without "auto".

        Args:
            accelerators: number of GPUs and TPUs.
            replicas: number of devices that train.
        """
        precision, augment_on = self.precision, self.augment_on
        if precision == "auto":
            precision = "mixed_bfloat16" if accelerators else "float32"
        if augment_on == "auto":  # one of several devices would make the faces of all
            augment_on = "gpu" if accelerators and replicas == 1 and not self.stream else "cpu"
        return dataclasses.replace(self, precision=precision, augment_on=augment_on)

    def asdict(self) -> dict:
        """Return what is recorded in settings.json, and what a run that is resumed must have in common with it."""
        fields = {name: value for name, value in dataclasses.asdict(self).items() if name not in UNRECORDED}
        derived = (self.loss_constants(), self.recipe.input_size, get_dataset(self.dataset).layout.points)
        return json.loads(json.dumps(fields | dict(zip(DERIVED, derived, strict=True))))

    def loss_constants(self) -> dict:
        """Return the constants of the loss.

        Raises:
            ValueError: an option that the loss does not have.
        """
        method, dataset = get_method(self.method), get_dataset(self.dataset)
        return method.constants(self.data_dir, dataset, self.crop, **self.loss_options)

    @property
    def network(self) -> "Network":
        """The network, with the head of the recipe."""
        from cnn_model import get_network

        replaced = {name: getattr(self.recipe, name) for name in ("dropout", "head_scale", "spatial")}
        return dataclasses.replace(get_network(self.arch), **_given(replaced))


def _given(options: dict) -> dict:
    """Return the options that are not None."""
    return {name: value for name, value in options.items() if value is not None}


@dataclasses.dataclass
class _Parts:
    """What a run trains: `model` is given to `fit`, `network` is the model or the part of it that predicts."""

    model: "keras.Model"
    network: "keras.Model"
    loss: "keras.losses.Loss"
    averages: "EMAWeights"
    state: "TrainingState"


class Train:
    """One training run.

        Train(arch="mobileNetV2", dataset_name="300W", save_path="runs/acr", method="acr").train()

    Args:
        arguments: a RunConfig, or arguments of RunConfig.from_options: network, data set, folder of the run.
        options: other arguments of RunConfig.from_options.

    Attributes:
        config: without "auto".
        dataset, method, crop, recipe: rows of the tables.

    Raises:
        ValueError: as of RunConfig, or a configuration that does not fit the devices.
    """

    def __init__(self, *arguments, **options):
        from training.distribution import get_distribution

        given = arguments and isinstance(arguments[0], RunConfig)
        config = arguments[0] if given else RunConfig.from_options(*arguments, **options)
        self.distribution = get_distribution(config.distribute)  # first of all: TensorFlow must not have computed yet
        self.config = config.resolve(len(accelerators()), self.distribution.replicas)
        self.dataset, self.method, self.crop = (
            get_dataset(config.dataset),
            get_method(config.method),
            get_crop(config.crop),
        )
        self.recipe = config.recipe
        self.distribution.check_batch_size(self.recipe.batch_size)
        if self.method.wrap and self.distribution.replicas > 1:
            raise ValueError(
                f"{self.method.name} trains on one device. Received {self.distribution.replicas}; use --distribute none"
            )

    def train(self, weight_path: str | os.PathLike | None = None, resume: bool = False) -> dict:
        """Train the network.

        Args:
            weight_path: weights to start from (.keras or .h5); default: the configuration's.
            resume: continue the run in `save_path`; it must have the same settings.

        Returns:
            validation figures of the best epoch: "nme" (percent), "normaliser", "n", "epoch".

        Raises:
            BlockingIOError: another training holds the folder.
            FileExistsError: the folder holds a run and `resume` is False.
            FileNotFoundError: nothing to resume, or data or eigenbases that are not prepared.
            ValueError: the run to resume has other settings, or a file (state, start weights, data) does not fit.
            FloatingPointError: the loss was not finite; the message names the faces.
        """
        import keras

        from training.run_record import open_run

        weight_path = weight_path or self.config.start_weights
        config = dataclasses.replace(self.config, start_weights=str(weight_path) if weight_path else None)
        resume = self.distribution.resumes(config.save_path, resume)
        with self.distribution.folder(config.save_path) as folder, folder_lock(folder, "a training writes to"):
            record = open_run(folder, config.asdict(), config.save_path if resume else None)
            keras.utils.set_random_seed(config.seed)
            batches, held_out = self._load()
            parts = self._build(folder, batches.steps_per_epoch)
            self._restore(parts, batches, weight_path, resume)
            record.begin(self._fingerprints(batches, held_out))
            if not resume:
                parts.state.save()
            interrupted = None
            try:
                trained = self._fit(parts, batches, held_out, record)
            except KeyboardInterrupt as error:
                trained, interrupted = True, error
            self._finish(folder, parts)
            if trained:
                record.write()
            if interrupted:
                raise interrupted
            return record.content["validation"]

    def _load(self) -> tuple["AugmentedBatches", "FaceDataset"]:
        """Return the training batches and the validation faces."""
        from face_datasets.face_dataset import load_faces

        batches = self.batches()
        return batches, load_faces(self.config.data_dir, self.dataset.name, "validation", self.recipe.input_size)

    def _build(self, folder: Path, steps_per_epoch: int) -> _Parts:
        """Return a new network, its loss, the copy for its averages, and the state to write into a folder."""
        from training.checkpoint import EMAWeights, TrainingState

        with self.distribution.scope():
            model, loss = self.compiled(steps_per_epoch)
        self.distribution.prepare(model)
        network = model.network if self.method.wrap else model
        averages = EMAWeights(network, self._network("float32", steps_per_epoch))
        return _Parts(model, network, loss, averages, TrainingState(folder, model))

    def _restore(
        self, parts: _Parts, batches: "AugmentedBatches", weight_path: str | os.PathLike | None, resume: bool
    ) -> None:
        """Restore the state of the run that is resumed, or initialise a new one."""
        from cnn_model import take_weights

        if resume:
            parts.state.load(self.config.save_path)
        else:
            self.method.init(parts.network, batches)
            if weight_path:
                take_weights(parts.network, weight_path)
        done = len(parts.state.rows)
        self.distribution.check_epochs(done, self.config.save_path)
        batches.first_step = done * batches.steps_per_epoch

    def _fit(self, parts: _Parts, batches: "AugmentedBatches", held_out: "FaceDataset", record) -> bool:
        """Train the remaining epochs; return whether there were any."""
        from training.callbacks import Checkpoint, Progress, Snapshots, StopOnNaN, patience_exhausted, tensorboard

        recipe, codec, state = self.recipe, self.method.codec, parts.state
        folder, done, steps = state.path.parent, len(state.rows), batches.steps_per_epoch
        truth = codec.truth(held_out, self.config.data_dir)
        if done >= recipe.epochs or patience_exhausted(state.rows, recipe.patience):
            return False
        snapshots = None
        if codec.complete:
            face = held_out.random_subset(1, SEED)
            snapshots = Snapshots(folder / SNAPSHOTS_FILE, parts.averages, face, self.predict, done)
        validate = functools.partial(self.validation_error, held_out=held_out, truth=truth)
        callbacks = [
            *self.method.callbacks(parts.loss, recipe.epochs),
            StopOnNaN(batches),
            *([snapshots] if snapshots else []),
            Checkpoint(state, parts.averages, validate, record, recipe.patience, snapshots),
            *tensorboard(folder),
            Progress(recipe.epochs, steps, done, codec.metric, self.dataset.normaliser),
        ]
        with self.distribution.scope():
            parts.model.fit(
                self.distribution.feed(batches),
                steps_per_epoch=steps,
                initial_epoch=done,
                epochs=recipe.epochs,
                callbacks=callbacks,
                shuffle=False,  # the batches have an order of their own
                verbose=0,
            )
        return True

    def _finish(self, folder: Path, parts: _Parts) -> None:
        """Write the averaged weights, the log and its curves."""
        from evaluation.plots import draw_curves
        from training.callbacks import log_csv

        parts.averages.copy_ema()
        parts.averages.save(folder / LAST_FILE)
        if parts.state.rows:
            write_text(folder / LOG_FILE, log_csv(parts.state.rows))
            draw_curves(folder / CURVES_FILE, parts.state.rows, self.method.codec.metric, self.dataset.normaliser)

    def _fingerprints(self, batches: "AugmentedBatches", held_out: "FaceDataset") -> dict:
        """Return fingerprints of the faces, of their pose bins, and of the labels of the loss's eigenbases."""
        from pca_utility import labels_digest, labels_folder

        content = {"train": batches.source.fingerprint(), "validation": held_out.fingerprint()}
        if self.method.balance:
            sizes, per_bin = [len(members) for members in batches.order.bins], batches.order.per_bin
            content["pose_bins"] = {"n": sizes, "shown": per_bin}
            print(f"pose bins of {sizes} faces; a pass shows {per_bin} of each")
        if self.method.uses_labels:
            labels = labels_folder(self.config.data_dir, self.dataset, self.crop.name)
            content["labels"] = {"sha256": labels_digest(labels, self.dataset)}
        return content

    def validation_error(self, network: "keras.Model", held_out: "FaceDataset", truth: np.ndarray) -> float:
        """Return the mean error of the validation faces in percent."""
        return float(np.mean(self.method.codec.errors(self.predict(network, held_out), truth, held_out)))

    def predict(self, network: "keras.Model", faces: "FaceDataset") -> np.ndarray:
        """Return points (faces, points, 2) in image pixels; every one of several devices predicts all of them."""
        from evaluation.evaluator import predict_faces

        return predict_faces(network, self.method.codec, faces, self.crop)

    def batches(self) -> "AugmentedBatches":
        """Return the batches of augmented training faces."""
        from face_datasets.face_dataset import FaceDataset, load_faces
        from face_datasets.records import FaceRecords
        from training.batches import AugmentedBatches, BalancedBins, CPUAugmentation, Shuffled, stream_order
        from training.device_augmentation import GPUAugmentation
        from training.pose_balance import pose_bins

        config, size, codec = self.config, self.recipe.input_size, self.method.codec
        shared = {"crop": self.crop, "recipe": self.recipe, "encode": codec.encode, "seed": config.seed}
        shared |= {"workers": config.workers}
        if config.stream:
            records = FaceRecords(config.data_dir, self.dataset, size)
            order = stream_order(len(records), config.seed)
            return AugmentedBatches(records, order, CPUAugmentation(size), **shared)
        faces = load_faces(config.data_dir, self.dataset.name, "train", size)
        if config.max_faces is not None:
            faces = faces.random_subset(config.max_faces, SEED)  # the same faces for every seed, so that runs compare
        auxiliary = [name for name in self.method.auxiliary_datasets if name != self.dataset.name]
        extra = [get_dataset(title).name for title in config.extra_datasets]
        extra = [name for name in extra if name not in auxiliary]
        sources = [faces, *(load_faces(config.data_dir, name, "train", size) for name in extra + auxiliary)]
        faces = functools.reduce(FaceDataset.concatenate, sources)
        if self.method.balance:
            order = BalancedBins(pose_bins(faces.landmarks, self.dataset.pose_mode), self.method.balance, config.seed)
        elif auxiliary:  # each auxiliary data set is a bin, all other faces are one
            ends = np.cumsum([len(source) for source in sources])[len(extra) : -1]
            order = BalancedBins(np.split(np.arange(len(faces)), ends), max, config.seed)
        else:
            order = Shuffled(len(faces), config.seed)
        augment = GPUAugmentation(faces, size) if config.augment_on == "gpu" else CPUAugmentation(size)
        points = np.concatenate([codec.points(source, config.data_dir) for source in sources])
        return AugmentedBatches(faces, order, augment, layout=codec.layout(self.dataset), points=points, **shared)

    def compiled(self, steps_per_epoch: int) -> tuple["keras.Model", "keras.losses.Loss"]:
        """Return what `fit` trains, a compiled new network or what the method wraps around it, and its loss."""
        import keras

        from training.optimizer import make_optimizer

        config = self.config
        loss = self.method.loss(config.data_dir, self.dataset, self.crop.name, **config.loss_options)
        model = self._network(config.precision, steps_per_epoch)
        slow_to_jit = keras.backend.backend() == "tensorflow" and not accelerators()  # 7 to 8 times slower with XLA
        model.compile(
            make_optimizer(self.recipe, self.recipe.epochs * steps_per_epoch),
            loss,
            metrics=self.method.metrics(loss),
            jit_compile=False if slow_to_jit else "auto",
            steps_per_execution=self.recipe.steps_per_execution if keras.backend.backend() != "torch" else 1,
        )
        model.optimizer.build(model.trainable_variables)
        if self.method.wrap:
            model = self.method.wrap(model, self.dataset)
        return model, loss

    def _network(self, precision: str, steps_per_epoch: int) -> "keras.Model":
        """Return a new network that computes in `precision`, its BatchNorm statistics of the recipe's length."""
        import keras

        bn_momentum = average_momentum(self.recipe.bn_fraction, self.recipe.epochs * steps_per_epoch)
        before = keras.config.dtype_policy()
        keras.config.set_dtype_policy(precision)
        try:
            return self.method.head.build(self.config.network, self.dataset, self.recipe.input_size, bn_momentum)
        finally:
            keras.config.set_dtype_policy(before)


# --------------------------------------------------------------------------------------------------------------------
# Command line
# --------------------------------------------------------------------------------------------------------------------


def method_table() -> str:
    """Return the methods as text: name, head, error, data sets that are mixed in, pose balance."""
    lines = [f"{'method':<26}{'head':<13}{'error':<9}notes"]
    for method in METHODS.values():
        notes = [f"with {', '.join(method.auxiliary_datasets)} faces"] if method.auxiliary_datasets else []
        notes += ["pose balanced"] if method.balance else []
        notes += ["adversarial"] if method.wrap else []
        lines.append(f"{method.name:<26}{method.head.kind:<13}{method.codec.metric:<9}{', '.join(notes)}".rstrip())
    return "\n".join(lines)


def loss_option(text: str) -> tuple[str, float | str]:
    """Parse NAME=VALUE of the command line."""
    name, separator, value = text.partition("=")
    if not separator or not name or not value:
        raise argparse.ArgumentTypeError(f"expected NAME=VALUE, received {text!r}")
    try:
        return name, float(value)
    except ValueError:
        return name, value


def parse_options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Train a landmark network.")
    add = parser.add_argument
    add("--dataset", default="synthetic", help=f"prepared data set, one of {TITLES}; default: %(default)s")
    add("--arch", default=str(ModelArch.MNV2), choices=[*map(str, ModelArch)], help="network; default: %(default)s")
    add("--method", default="acr", metavar="METHOD", help="method, see --list-methods; default: %(default)s")
    add("--list-methods", action="store_true", help="print the table of methods, and exit")
    add(
        "--loss-option",
        nargs="+",
        default=[],
        type=loss_option,
        metavar="NAME=VALUE",
        help="constants of the method's loss, for instance a=3 b=1; default: the method's",
    )
    add("--recipe", choices=sorted(RECIPES), help="learning rate, augmentation, sizes; default: the data set's recipe")
    add("--epochs", type=int, help="number of epochs; default: the recipe's")
    add("--input-size", type=int, help="side of the input in pixels; default: the recipe's")
    add("--batch-size", type=int, help="faces of a step; default: the recipe's")
    add("--learning-rate", type=float, help="learning rate; default: the recipe's")
    add(
        "--head",
        choices=[*HEADS],
        help="pooled: global average pooling; spatial: plus a soft-argmax (integral regression) branch; default: the "
        "recipe's",
    )
    add(
        "--final-fraction",
        type=float,
        help="fraction of the epochs, at the end, with light augmentation and no mirroring; default: the recipe's",
    )
    add(
        "--seed",
        type=int,
        default=SEED,
        help="random seed of weights, augmentation and shuffling; default: %(default)s",
    )
    add("--crop", default=DEFAULT_CROP, choices=sorted(CROPS), help="region around the face; default: %(default)s")
    add("--data-dir", default=DATA_DIR, help="data root; default: %(default)s")
    add("--save-path", help="folder of the run; default: a new one below runs/")
    add("--weights", help="weights to start from (.keras or .h5); default: random weights")
    add("--precision", default="auto", help="Keras dtype policy; default: bfloat16 on an accelerator, float32 on a CPU")
    add("--max-faces", type=int, help="number of training faces, drawn at random; default: all")
    add(
        "--extra-datasets",
        nargs="+",
        default=[],
        metavar="DATASET",
        help="prepared data sets with the same landmarks whose training faces are added; default: none",
    )
    add(
        "--augment-on",
        default="auto",
        choices=["auto", *AUGMENT_ON],
        help="device that augments the faces; default: the GPU if it is the only device of the training",
    )
    add("--workers", type=int, default=1, help="threads that make batches; default: %(default)s")
    add("--stream", action="store_true", help="training faces read from records (data_helper.py --records), not memory")
    add("--distribute", default="auto", choices=DISTRIBUTE, help="devices of the training; default: all accelerators")
    add("--resume", action="store_true", help="continuation of the run in --save-path")
    options = parser.parse_args(arguments)
    if options.resume and not options.save_path:
        parser.error("--resume needs --save-path, the folder of the run")
    options.loss_option = dict(options.loss_option)
    return options


def get_config(options: argparse.Namespace, save_path: str | os.PathLike) -> RunConfig:
    """Return the configuration of the parsed command line.

    Raises:
        ValueError: as of RunConfig.
    """
    others = ("dataset", "save_path", "weights", "resume", "list_methods", "loss_option")
    given = {name: value for name, value in vars(options).items() if name not in others}
    return RunConfig.from_options(
        dataset_name=options.dataset, save_path=save_path, loss_options=options.loss_option, **given
    )


def train_and_evaluate(options: argparse.Namespace) -> int:
    """Train and evaluate with the options of the command line; return the exit status."""
    started = time.time()
    dataset, method = get_dataset(options.dataset), get_method(options.method)
    if (options.input_size or get_recipe(dataset, options.recipe).input_size) <= SINGLE_THREADED_MAX_INPUT:
        single_threaded_ops()  # before a distribution starts TensorFlow
    from cnn_model import get_network
    from face_datasets.face_dataset import read_index
    from test import Test
    from training.multi_worker import is_chief
    from training.run_record import free_folder

    name = f"{dataset.name}_{get_network(options.arch).short_name}_{method.name}"
    save_path = Path(options.save_path or free_folder(RUNS_DIR, name))
    config = get_config(options, save_path)
    names = [dataset.name, *(get_dataset(title).name for title in config.extra_datasets), *method.auxiliary_datasets]
    if DatasetName.synthetic in names and is_chief():
        from data_helper import prepare_embedded

        prepare_embedded(options.data_dir, options.crop)  # before a distribution too, at which the other workers wait
    run = Train(config)
    if run.distribution.workers > 1 and not options.save_path:
        raise ValueError("several workers need one folder of the run. Received none; name it with --save-path")
    try:
        validation = run.train(weight_path=options.weights, resume=options.resume)
    except KeyboardInterrupt:
        if (save_path / STATE_FILE).is_file():
            print(f"\nfinished epochs are kept; continue with --save-path {save_path} --resume", file=sys.stderr)
        raise
    print(
        f"validation: {validation['normaliser']} {method.codec.metric} {validation['nme']:.3f} % on "
        f"{validation['n']} faces, the best of all epochs, number {validation['epoch']}"
    )
    if all(face["split"] != "test" for face in read_index(options.data_dir, dataset)["faces"]):
        print(f"{save_path}\nno test faces are prepared, so nothing was evaluated")
        return 0
    if not run.distribution.chief:
        return 0
    result = Test().test_model(dataset.name, save_path / BEST_FILE, data_dir=options.data_dir, out=save_path)
    full = result["subsets"]["full"]
    print(f"{method.codec.metric} {full['nme']:.2f} % on {full['n']} faces, {time.time() - started:.0f} s")
    print(save_path)
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status."""
    options = parse_options(arguments)
    if options.list_methods:
        print(method_table())
        return 0
    command = functools.partial(train_and_evaluate, options)
    if os.environ.get("TF_CONFIG"):
        from training.multi_worker import restart_when_lost

        command = functools.partial(restart_when_lost, command, options.resume)
    return cli.run(command, "train.py")


if __name__ == "__main__":
    sys.exit(main())
