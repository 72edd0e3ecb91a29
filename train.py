"""Training: one path for every method, network and data set.

    python train.py                                              # the embedded faces, ACR Loss, minutes on a laptop
    python train.py --dataset 300W --method acr --save-path runs/acr
    python train.py --dataset 300W --method acr --save-path runs/acr --resume

The folder of a run holds best.keras and last.keras (averaged weights), settings.json (all that was resolved, with the
validation figures), log.csv, curves.png, snapshots.json (one face's landmarks in the first epochs and at the end), and
state.npz, from which --resume goes on.
"""

import argparse
import dataclasses
import functools
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np

from cnn_model import NETWORKS, get_network, take_weights
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
from data_helper import prepare_embedded
from evaluation.evaluator import predict_faces
from evaluation.plots import draw_curves
from face_datasets.catalogue import TITLES, get_dataset
from face_datasets.face_dataset import FaceDataset, load_faces, read_index
from face_datasets.records import FaceRecords
from methods import METHODS, get_method
from pca_utility import labels_digest, labels_folder
from test import Test
from training.batches import AugmentedBatches, BalancedBins, CPUAugmentation, Shuffled, stream_order
from training.callbacks import Checkpoint, Progress, Snapshots, StopOnNaN, log_csv, patience_exhausted
from training.checkpoint import EMAWeights, TrainingState
from training.device_augmentation import GPUAugmentation
from training.distribution import DISTRIBUTE, accelerators, get_distribution, is_chief, worker_lost
from training.pose_balance import pose_bins
from training.recipes import RECIPES, SINGLE_THREADED_MAX_INPUT, Recipe, get_recipe, momentum_of
from training.run_record import in_todays_words, open_run
from utils.files import folder_lock, write_text

HEADS = {"pooled": False, "spatial": True}  # whether maps say where, see networks/spatial_head.py
AUGMENT_ON = {"cpu": CPUAugmentation, "gpu": GPUAugmentation}
LEAST = {"epochs": 1, "input_size": 1, "batch_size": 1, "learning_rate": 0, "seed": 0, "max_faces": 1}


class Train:
    """One training run.

    Args:
        arch: the network. dataset_name: the prepared data set.
        save_path: folder of the run.
        method: a name of methods.METHODS. recipe: a name of recipes.RECIPES, or a row; the data set's own by default.
        crop: a name of config.CROPS. data_dir: the data root.
        epochs, input_size, batch_size, learning_rate, head, final_fraction: replace the recipe's own; a head is
            "pooled" or "spatial".
        precision: a Keras dtype policy, or "auto": bfloat16 where there is a GPU, float32 elsewhere (on a CPU it gains
            nothing).
        seed: of weights, order and moves.
        max_faces: how many of the training faces to use, drawn at random, the same for every seed; all by default. The
            eigenbases stay those of all prepared labels.
        extra_datasets: other prepared data sets with the same landmarks, whose training faces are shown as well.
        augment_on: what makes the moved faces: "cpu" (OpenCV), "gpu" (`keras.ops`, from faces in its memory), or
            "auto": the device where it is the one GPU of the training.
        workers: threads that make batches.
        stream: read the training faces in a stream from the records that data_helper.py wrote, not into memory.
        distribute: a name of distribution.DISTRIBUTE.

    Raises:
        ValueError: an unknown network, data set, method, recipe, head, crop or sampler, a number too small, or choices
            that do not go together.
    """

    def __init__(
        self,
        arch: ModelArch | str,
        dataset_name: DatasetName | str,
        save_path: str | os.PathLike,
        method: str = "acr",
        recipe: str | Recipe | None = None,
        crop: str = DEFAULT_CROP,
        data_dir: str | os.PathLike = DATA_DIR,
        seed: int = SEED,
        epochs: int | None = None,
        input_size: int | None = None,
        batch_size: int | None = None,
        learning_rate: float | None = None,
        head: str | None = None,
        final_fraction: float | None = None,
        precision: str = "auto",
        max_faces: int | None = None,
        extra_datasets: Sequence[DatasetName | str] = (),
        augment_on: str = "auto",
        workers: int = 1,
        stream: bool = False,
        distribute: str = "auto",
    ):
        self.distribution = get_distribution(distribute)  # first of all: TensorFlow must not have computed before
        self.dataset, self.method, self.crop = get_dataset(dataset_name), get_method(method), get_crop(crop)
        self.data_dir, self.save_path = Path(data_dir), Path(save_path)
        self.seed, self.max_faces, self.stream, self.workers = seed, max_faces, stream, workers
        self.extra_datasets = [get_dataset(name) for name in extra_datasets]
        asked = {"epochs": epochs, "input_size": input_size, "batch_size": batch_size, "learning_rate": learning_rate}
        asked["final_fraction"] = final_fraction
        asked["spatial"] = None if head is None else get_row(HEADS, head, "head")
        named = recipe if isinstance(recipe, Recipe) else get_recipe(self.dataset, recipe)
        self.recipe = dataclasses.replace(named, **_given(asked))
        of_head = {name: getattr(self.recipe, name) for name in ("dropout", "head_scale", "spatial")}
        self.network = dataclasses.replace(get_network(arch), **_given(of_head))
        if precision == "auto":
            precision = "mixed_bfloat16" if accelerators() else "float32"
        if augment_on == "auto":
            one = accelerators() and self.distribution.replicas == 1  # of several, one would make the faces for all
            augment_on = "gpu" if one and not stream else "cpu"
        self.precision, self.augment_on = precision, augment_on
        self._check()

    def _check(self) -> None:
        """Raises ValueError where a number is too small, or choices do not go together."""
        recipe, method = self.recipe, self.method
        numbers = vars(recipe) | {"seed": self.seed, "max_faces": self.max_faces}
        for name, least in LEAST.items():
            if numbers[name] is not None and numbers[name] < least:
                raise ValueError(f"{name} is too small. Received {numbers[name]}; {least} or more is right")
        get_row(AUGMENT_ON, self.augment_on, "device of augmentation")
        if self.network.spatial and method.own_head:
            raise ValueError(
                f"{method.name} has a head of its own. Received the spatial head; --head pooled leaves it alone"
            )
        choices = {
            "--max-faces": self.max_faces is not None,
            "--extra-datasets": bool(self.extra_datasets),
            f"--augment-on {self.augment_on}": self.augment_on != "cpu",
            f"the method {method.name}": method.needs_all_faces,
        }
        if self.stream and any(choices.values()):
            received = ", ".join(name for name, there in choices.items() if there)
            raise ValueError(f"records are read as they come. Received {received}, which needs the faces in memory")
        method.codec.check_crop(self.crop)
        self.distribution.check(recipe.batch_size)
        if method.wrap and self.distribution.replicas > 1:
            raise ValueError(
                f"{method.name} trains on one device. Received {self.distribution.replicas}; --distribute none"
            )

    @classmethod
    def of_settings(cls, settings: dict, data_dir: str | os.PathLike, save_path: str | os.PathLike) -> "Train":
        """The run that `settings` describes, what an older version did not keep as it is by default.

        Args:
            settings: those of a settings.json. data_dir, save_path: as above.

        Raises:
            ValueError: as above, or settings that do not say how the run was trained.
        """
        settings = in_todays_words(settings)
        lacking = [name for name in ("arch", "dataset", "method", "recipe", "crop") if name not in settings]
        if lacking:
            raise ValueError(f"settings that do not say how a run was trained. Received no {', no '.join(lacking)}")
        return cls(
            arch=settings["arch"],
            dataset_name=settings["dataset"],
            save_path=save_path,
            method=settings["method"],
            recipe=Recipe.of_words(settings["recipe"]),
            crop=settings["crop"],
            data_dir=data_dir,
            seed=settings.get("seed", SEED),
            precision=settings.get("precision", "auto"),
            max_faces=settings.get("max_faces"),
            extra_datasets=settings.get("extra_datasets", ()),
            augment_on=settings.get("augment_on", "auto"),
            stream=bool(settings.get("stream")),
        )

    def train(self, weight_path: str | os.PathLike | None = None, resume: bool = False) -> dict:
        """Trains, and returns the validation figures of the best epoch: "nme" (percent), "normaliser", "n", "epoch".

        Args:
            weight_path: weights to start from (.keras or .h5); None starts from scratch.
            resume: go on with the run in `save_path`; it must have been started with the same settings.

        Raises:
            BlockingIOError: another training holds the folder.
            FileExistsError: the folder holds a run and `resume` is False.
            FileNotFoundError: nothing to resume, or data or eigenbases that are not prepared.
            ValueError: the run to resume has other settings, or a file (state, start weights, data) does not fit.
            FloatingPointError: the loss was not finite; the message names the faces.
        """
        with self.distribution.folder(self.save_path) as folder, folder_lock(folder, "a training writes to"):
            return self._train(folder, weight_path, resume)

    def _train(self, folder: Path, weight_path: str | os.PathLike | None, resume: bool) -> dict:
        if self.distribution.workers > 1:  # one that starts again may have been lost before anything was kept, and
            kept = (self.save_path / STATE_FILE).is_file()  # those beside the chief go where it goes
            resume = kept and (resume or not self.distribution.chief)
        record = open_run(folder, self.settings(weight_path), self.save_path if resume else None)
        keras.utils.set_random_seed(self.seed)

        # Data
        batches = self.batches()
        steps = batches.steps_per_epoch
        held_out = load_faces(self.data_dir, self.dataset.name, "validation", self.recipe.input_size)
        truth = self.method.codec.truth(held_out, self.data_dir)

        # Network and loss
        with self.distribution.scope():
            model, loss = self.compiled(steps)
        self.distribution.prepare(model)
        network = model.network if self.method.wrap else model
        averages = EMAWeights(network, self._build("float32", steps))

        # State: a resumed run is the same run with some epochs behind it
        state = TrainingState(folder, model)
        if resume:
            state.load(self.save_path)
        else:
            self.method.init(network, batches)
            if weight_path:
                take_weights(network, weight_path)
        done = len(state.rows)
        self.distribution.agree(done, f"finished epochs in {self.save_path}")
        batches.first_step = done * steps
        record.begin(self._shown(batches, held_out))
        if not resume:
            state.save()

        # Fit
        def validate(network: keras.Model) -> float:
            return float(np.mean(self.method.codec.errors(self.predict(network, held_out), truth, held_out)))

        snapshots = None
        if self.method.codec.complete:
            snapshots = Snapshots(
                folder / SNAPSHOTS_FILE, averages, held_out.random_subset(1, SEED), self.predict, done
            )
        callbacks = [
            *self.method.callbacks(loss, self.recipe.epochs),
            StopOnNaN(batches),
            *([snapshots] if snapshots else []),
            Checkpoint(state, averages, validate, record, self.recipe.patience, snapshots),
            *_tensorboard(folder),
            Progress(self.recipe.epochs, steps, done, self.method.codec.metric, self.dataset.normaliser),
        ]
        unfinished = done < self.recipe.epochs and not patience_exhausted(state.rows, self.recipe.patience)
        stopped = None
        try:
            if unfinished:
                with self.distribution.scope():
                    model.fit(
                        self.distribution.feed(batches),
                        steps_per_epoch=steps,
                        initial_epoch=done,
                        epochs=self.recipe.epochs,
                        callbacks=callbacks,
                        shuffle=False,  # the batches come in an order of their own
                        verbose=0,
                    )
        except KeyboardInterrupt as error:
            stopped = error
        self._finish(folder, averages, state)
        if unfinished:
            record.keep()
        if stopped:
            raise stopped
        return record.content["validation"]

    def predict(self, network: keras.Model, faces: FaceDataset) -> np.ndarray:
        """Landmarks (faces, points, 2) in image pixels; mirrored devices each predict all of them."""
        return predict_faces(network, self.method.codec, faces, self.crop)

    def _shown(self, batches: AugmentedBatches, held_out: FaceDataset) -> dict:
        """What the run is shown, for its record: summaries of the faces, of their pose bins, and of the labels whose
        eigenbases the loss looks through."""
        shown = {"train": batches.source.fingerprint(), "validation": held_out.fingerprint()}
        if self.method.balance:
            order = batches.order
            shown["pose_bins"] = {"n": [len(members) for members in order.bins], "shown": order.per_bin}
            print(f"pose bins of {shown['pose_bins']['n']} faces; a pass shows {order.per_bin} of each")
        if self.method.uses_labels:
            labels = labels_folder(self.data_dir, self.dataset, self.crop.name)
            shown["labels"] = {"sha256": labels_digest(labels, self.dataset)}
        return shown

    def _finish(self, folder: Path, averages: EMAWeights, state: TrainingState) -> None:
        """Leaves the present weights, the log and its curves in a folder."""
        averages.update()
        averages.save(folder / LAST_FILE)
        if state.rows:
            write_text(folder / LOG_FILE, log_csv(state.rows))
            draw_curves(folder / CURVES_FILE, state.rows, self.method.codec.metric, self.dataset.normaliser)

    def batches(self) -> AugmentedBatches:
        """Return the batches of augmented training faces."""
        size = self.recipe.input_size
        shared = {"crop": self.crop, "recipe": self.recipe, "encode": self.method.codec.encode, "seed": self.seed}
        shared |= {"workers": self.workers}
        if self.stream:
            records = FaceRecords(self.data_dir, self.dataset, size)
            order = stream_order(len(records), self.seed)
            return AugmentedBatches(records, order, CPUAugmentation(size), **shared)
        faces = load_faces(self.data_dir, self.dataset.name, "train", size)
        if self.max_faces is not None:
            faces = faces.random_subset(self.max_faces, SEED)  # the same faces for every seed, so that runs compare
        auxiliary = [name for name in self.method.auxiliary_datasets if name != self.dataset.name]
        extra = [dataset.name for dataset in self.extra_datasets if dataset.name not in auxiliary]
        sources = [faces, *(load_faces(self.data_dir, name, "train", size) for name in extra + auxiliary)]
        faces = functools.reduce(FaceDataset.concatenate, sources)
        if self.method.balance:
            order = BalancedBins(pose_bins(faces.landmarks, self.dataset.pose_mode), self.method.balance, self.seed)
        elif auxiliary:  # each auxiliary data set is a bin, all other faces are one
            ends = np.cumsum([len(source) for source in sources])[len(extra) : -1]
            order = BalancedBins(np.split(np.arange(len(faces)), ends), max, self.seed)
        else:
            order = Shuffled(len(faces), self.seed)
        augment = GPUAugmentation(faces, size) if self.augment_on == "gpu" else CPUAugmentation(size)
        points = np.concatenate([self.method.codec.points(source, self.data_dir) for source in sources])
        layout = self.method.codec.layout(self.dataset)
        return AugmentedBatches(faces, order, augment, layout=layout, points=points, **shared)

    def compiled(self, steps_per_epoch: int) -> tuple[keras.Model, keras.losses.Loss]:
        """What `fit` trains, a new network or what the method makes of it, compiled, and its loss."""
        loss = self.method.loss(self.data_dir, self.dataset, self.crop.name)
        model = self._build(self.precision, steps_per_epoch)
        slow_to_jit = keras.backend.backend() == "tensorflow" and not accelerators()  # 7 to 8 times slower with XLA
        model.compile(
            self._optimizer(steps_per_epoch),
            loss,
            metrics=self.method.metrics(loss),
            jit_compile=False if slow_to_jit else "auto",
            steps_per_execution=self.recipe.steps_per_execution if keras.backend.backend() != "torch" else 1,
        )
        model.optimizer.build(model.trainable_variables)
        if self.method.wrap:
            model = self.method.wrap(model, self.dataset)
        return model, loss

    def _build(self, precision: str, steps_per_epoch: int) -> keras.Model:
        """The network, its arithmetic in `precision`, its BatchNorm statistics over a share of the run."""
        bn_momentum = momentum_of(self.recipe.bn_fraction, self.recipe.epochs * steps_per_epoch)
        before = keras.config.dtype_policy()
        keras.config.set_dtype_policy(precision)
        try:
            return self.method.head.build(self.network, self.dataset, self.recipe.input_size, bn_momentum)
        finally:
            keras.config.set_dtype_policy(before)

    def _optimizer(self, steps_per_epoch: int) -> keras.optimizers.Optimizer:
        """AdamW (Adam where nothing decays) with the recipe's rate schedule and weight average."""
        recipe = self.recipe
        steps = recipe.epochs * steps_per_epoch
        rate = recipe.learning_rate
        if recipe.decay == "cosine":
            warm_up = round(recipe.warm_up * steps)
            rate = keras.optimizers.schedules.CosineDecay(
                0.0, steps - warm_up, warmup_target=recipe.learning_rate, warmup_steps=warm_up
            )
        elif recipe.decay == "inverse":
            rate = keras.optimizers.schedules.InverseTimeDecay(rate, 1, recipe.inverse)
        average = {"use_ema": True, "ema_momentum": momentum_of(recipe.ema, steps)} if recipe.ema else {}
        optimizer = keras.optimizers.AdamW(rate, weight_decay=recipe.weight_decay, epsilon=recipe.epsilon, **average)
        optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
        return optimizer

    def settings(self, weight_path: str | os.PathLike | None = None) -> dict:
        """Everything that makes this run what it is."""
        return {
            "dataset": self.dataset.title,
            "arch": str(self.network.arch),
            "method": self.method.name,
            "loss": self.method.constants(self.data_dir, self.dataset, self.crop.name),
            "crop": self.crop.name,
            "input_size": self.recipe.input_size,
            "points": self.dataset.layout.points,
            "recipe": dataclasses.asdict(self.recipe),
            "start_weights": str(weight_path) if weight_path else None,
            "precision": self.precision,
            "seed": self.seed,
            "max_faces": self.max_faces,
            "extra_datasets": [dataset.title for dataset in self.extra_datasets],
            "augment_on": self.augment_on,
            "stream": self.stream,
        }


def _given(choices: dict) -> dict:
    """The choices that say something."""
    return {name: value for name, value in choices.items() if value is not None}


def _tensorboard(folder: Path) -> list[keras.callbacks.Callback]:
    """A TensorBoard log where the package is installed and Keras' backend can write one."""
    try:
        import tensorboard  # noqa: F401
        import tensorflow  # noqa: F401
    except ImportError:
        return []
    return [keras.callbacks.TensorBoard(folder / "tensorboard", write_graph=False)]


def _single_threaded_ops() -> None:
    """Tells TensorFlow, before it computes anything, how to share the cores, unless the user has said it already."""
    os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")
    os.environ.setdefault("TF_NUM_INTEROP_THREADS", str(os.cpu_count() or 1))


def _free_folder(stem: str) -> Path:
    """runs/<stem>, or with a number behind it where that holds a run already."""
    number, folder = 1, Path(RUNS_DIR) / stem
    while (folder / STATE_FILE).exists():
        number += 1
        folder = Path(RUNS_DIR) / f"{stem}_{number}"
    return folder


def parse_options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Train a landmark network.")
    parser.add_argument("--dataset", default="synthetic", help=f"one of {TITLES}")
    parser.add_argument("--arch", default=ModelArch.MNV2, choices=[*map(str, NETWORKS)], help="the network")
    parser.add_argument("--method", default="acr", choices=sorted(METHODS), help="the loss")
    parser.add_argument("--recipe", choices=sorted(RECIPES), help="rates and moves; the data set's own by default")
    parser.add_argument("--epochs", type=int, help="instead of the recipe's")
    parser.add_argument("--input-size", type=int, help="side of the input in pixels, instead of the recipe's")
    parser.add_argument("--batch-size", type=int, help="instead of the recipe's")
    parser.add_argument("--learning-rate", type=float, help="instead of the recipe's")
    parser.add_argument("--head", choices=[*HEADS], help="instead of the recipe's: pooled features alone, or maps too")
    parser.add_argument(
        "--final-fraction",
        type=float,
        help="fraction of the epochs, at the end, with light augmentation and no mirroring",
    )
    parser.add_argument("--seed", type=int, default=SEED, help="of weights, moves and order")
    parser.add_argument("--crop", default=DEFAULT_CROP, choices=sorted(CROPS), help="the region the network sees")
    parser.add_argument("--data-dir", default=DATA_DIR, help="the data root")
    parser.add_argument("--save-path", help="folder of the run; a new one below runs/ by default")
    parser.add_argument("--weights", help="weights to start from (.keras or .h5)")
    parser.add_argument("--precision", default="auto", help="Keras dtype policy; auto: bfloat16 on a GPU")
    parser.add_argument("--max-faces", type=int, help="how many of the training faces to use, drawn at random")
    parser.add_argument(
        "--extra-datasets", nargs="+", default=[], metavar="DATASET", help="train on its faces too (prepared)"
    )
    parser.add_argument(
        "--augment-on", default="auto", choices=["auto", *AUGMENT_ON], help="where moved faces are made"
    )
    parser.add_argument("--workers", type=int, default=1, help="threads that make batches")
    parser.add_argument("--stream", action="store_true", help="stream the training faces, see data_helper.py --records")
    parser.add_argument("--distribute", default="auto", choices=DISTRIBUTE, help="over several devices or machines")
    parser.add_argument("--resume", action="store_true", help="go on with the run in --save-path")
    options = parser.parse_args(arguments)
    if options.resume and not options.save_path:
        parser.error("--resume needs --save-path, the folder of the run")
    return options


def run_of(options: argparse.Namespace, save_path: str | os.PathLike) -> Train:
    """The run that the command line describes.

    Raises:
        ValueError: see Train.
    """
    others = ("dataset", "save_path", "weights", "resume")
    given = {name: value for name, value in vars(options).items() if name not in others}
    return Train(dataset_name=options.dataset, save_path=save_path, **given)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status."""
    options = parse_options(arguments)
    started = time.time()
    try:
        dataset = get_dataset(options.dataset)
        stem = f"{dataset.name}_{get_network(options.arch).short_name}_{options.method}"
        save_path = Path(options.save_path or _free_folder(stem))
        if (options.input_size or get_recipe(dataset, options.recipe).input_size) <= SINGLE_THREADED_MAX_INPUT:
            _single_threaded_ops()  # before a distribution starts TensorFlow
        also = [get_dataset(name).name for name in options.extra_datasets]
        also += get_method(options.method).auxiliary_datasets
        if DatasetName.synthetic in (dataset.name, *also) and is_chief():
            prepare_embedded(options.data_dir, options.crop)  # before the distribution too, at which the others wait
        run = run_of(options, save_path)
        if run.distribution.workers > 1 and not options.save_path:
            raise ValueError("several workers need one folder of the run. Received none; name it with --save-path")
        validation = run.train(weight_path=options.weights, resume=options.resume)
        print(
            f"validation: {validation['normaliser']} {run.method.codec.metric} {validation['nme']:.3f} % on "
            f"{validation['n']} faces, the best of all epochs, number {validation['epoch']}"
        )
        if all(face["split"] != "test" for face in read_index(options.data_dir, dataset)["faces"]):
            print(f"{save_path}\nno test faces were prepared, so nothing was evaluated")
            return 0
        if not run.distribution.chief:
            return 0
        result = Test().test_model(dataset.name, save_path / BEST_FILE, data_dir=options.data_dir, out=save_path)
    except KeyboardInterrupt:
        print("\ntrain.py: stopped", file=sys.stderr)
        if (save_path / STATE_FILE).is_file():
            print(f"finished epochs are kept; go on with --save-path {save_path} --resume", file=sys.stderr)
        return 130
    except (OSError, ValueError, FloatingPointError, ImportError) as error:
        print(f"train.py: {error}", file=sys.stderr)
        return 1
    except Exception as error:
        if not worker_lost(error):
            raise
        print(f"train.py: another worker is gone; starting again with --resume. {error}", file=sys.stderr, flush=True)
        os.execv(sys.executable, [*sys.orig_argv, *([] if options.resume else ["--resume"])])
    full = result["subsets"]["full"]
    print(f"{run.method.codec.metric} {full['nme']:.2f} % on {full['n']} faces, {time.time() - started:.0f} s")
    print(save_path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
