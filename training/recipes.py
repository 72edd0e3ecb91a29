"""Recipes: everything a training run needs beside its data, network and method, as rows of one table."""

from dataclasses import dataclass, field, fields, replace

from config import get_row
from face_datasets.catalogue import Dataset
from image_utility import Augmentation

DECAYS = ("cosine", "constant", "inverse")


@dataclass(frozen=True)
class Recipe:
    """Everything a training run needs beside its data, network and method.

    Args:
        name: its name in RECIPES.
        input_size: side of the network's input in pixels.
        epochs: number of epochs.
        batch_size: faces of a step, on all devices together.
        learning_rate: the largest of the schedule.
        repeats: how often an epoch shows each face, augmented anew each time (the original stored 4 to 10 copies).
        warm_up: fraction of the steps in which the rate rises from 0 before a cosine decay; 0 with other decays.
        decay: one of DECAYS: to 0 along a cosine, none, or divided by 1 + `inverse` x steps.
        inverse: of the decay "inverse".
        weight_decay: of AdamW.
        ema: length of the weights' moving average as a fraction of all steps; 0 for none.
        bn_fraction: length of BatchNorm's moving statistics as a fraction of all steps, at least MIN_AVERAGE_STEPS: 0
            means that many steps, a momentum of 0.9. Keras' default momentum of 0.999 is a thousand steps, far too long
            for a run of a few thousand.
        epsilon: of Adam. Gradients of losses in normalised coordinates are so small that Keras' default of 1e-7 slows
            many weights down.
        dropout: replaces the network's own. Dropout of the features adds noise to the landmarks, which hides small
            errors from the loss.
        head_scale: replaces the network's own. With unscaled features a new network predicts scattered landmarks; and
            since the features are never negative, one step of Adam changes all weights of a coordinate in the same
            direction, which shifts the whole face by far more than the errors that are to be learned.
        spatial: replaces the network's own; True adds a soft-argmax branch, see networks/spatial_head.py.
        mean_face: True initialises the head's bias at the mean of the training faces.
        steps_per_execution: steps between two synchronisations with the host; an epoch is a multiple of it, unless
            `epoch_steps` is given.
        augmentation: of the training faces.
        final_fraction: fraction of the epochs, at the end, that have `final_augmentation`. The annotation of 300W is
            not symmetric, so a network that sees mirrored faces to the end learns the mean of both sides.
        final_augmentation: of the last epochs.
        epoch_steps: steps of an epoch, whatever the number of faces; None counts them by `repeats`.
        patience: epochs without a lower validation NME after which the run ends; None never ends it early.

    Raises:
        ValueError: an unknown decay, or numbers that belong to another one.
    """

    name: str
    input_size: int
    epochs: int
    batch_size: int
    learning_rate: float
    repeats: int = 1
    warm_up: float = 0.0
    decay: str = "constant"
    inverse: float | None = None
    weight_decay: float = 0.0
    ema: float = 0.0
    bn_fraction: float = 0.01
    epsilon: float = 1e-7
    dropout: float | None = None
    head_scale: float | None = None
    spatial: bool | None = None
    mean_face: bool = False
    steps_per_execution: int = 1
    augmentation: Augmentation = field(default_factory=Augmentation)
    final_fraction: float = 0.0
    final_augmentation: Augmentation = field(default_factory=lambda: FINAL_AUGMENTATION)
    epoch_steps: int | None = None
    patience: int | None = None

    def __post_init__(self):
        if self.decay not in DECAYS:
            raise ValueError(f"unknown decay. Received {self.decay!r}; known: {', '.join(DECAYS)}")
        for name, decay, given in (
            ("warm_up", "cosine", self.warm_up != 0),
            ("inverse", "inverse", self.inverse is not None),
        ):
            if given and self.decay != decay:
                raise ValueError(f"{name} belongs to the decay {decay!r}. Received it with {self.decay!r}")
        if self.decay == "inverse" and self.inverse is None:
            raise ValueError("the decay 'inverse' needs a number. Received none; inverse=1e-6, for instance")
        if not 0 <= self.final_fraction <= 1:
            raise ValueError(f"final_fraction must be between 0 and 1. Received {self.final_fraction}")

    @classmethod
    def from_dict(cls, content: dict) -> "Recipe":
        """Return the recipe that a run stored; absent names have their defaults.

        Raises:
            ValueError: an unknown name, or values as above.
        """
        augmentations = {name: content[name] for name in ("augmentation", "final_augmentation") if name in content}
        parsed = {name: _from_dict(Augmentation, words) for name, words in augmentations.items()}
        return _from_dict(cls, content | parsed)

    def steps_per_epoch(self, faces: int) -> int:
        """Return the steps of an epoch; by default it shows each of the faces `repeats` times."""
        if self.epoch_steps:
            return self.epoch_steps
        executions = round(faces * self.repeats / (self.batch_size * self.steps_per_execution))
        return max(1, executions) * self.steps_per_execution

    def augmentation_at(self, step: int, steps_per_epoch: int) -> Augmentation:
        """Return the augmentation of a training step, counted from 0 over all epochs."""
        final_epochs = round(self.final_fraction * self.epochs)
        final = step >= (self.epochs - final_epochs) * steps_per_epoch
        return self.final_augmentation if final else self.augmentation


def _from_dict(row: type, content: dict):
    """Return a dataclass from its JSON, whose lists are tuples."""
    unknown = sorted(content.keys() - {field.name for field in fields(row)})
    if unknown:
        raise ValueError(f"unknown names of {row.__name__}. Received {', '.join(unknown)}")
    return row(**{name: tuple(value) if isinstance(value, list) else value for name, value in content.items()})


# Rendered faces are rotated, lit, occluded and blurred already.
LIGHT_AUGMENTATION = Augmentation(
    rotation=10.0,
    scale=(0.92, 1.1),
    shift=0.03,
    contrast=0.15,
    gamma=0.2,
    grey=0.05,
    blur=0.0,
    noise=0.0,
    occlusion=0.0,
)

# Never mirrored, and close to the crops of a detector.
FINAL_AUGMENTATION = replace(LIGHT_AUGMENTATION, flip=0.0)

NO_AUGMENTATION = Augmentation(
    rotation=0.0,
    scale=(1.0, 1.0),
    shift=0.0,
    flip=0.0,
    brightness=0.0,
    contrast=0.0,
    gamma=0.0,
    colour=0.0,
    grey=0.0,
    blur=0.0,
    noise=0.0,
    occlusion=0.0,
)

# Only what the pixel-wise classification paper names.
PIXELWISE_AUGMENTATION = replace(NO_AUGMENTATION, rotation=30.0, scale=(0.6, 1.0))

# ACE-Net, Sec. 5.3: shift, rotation, mirroring, gamma and noise (of unknown strength); no scale, occlusion or blur.
ACE_AUGMENTATION = replace(NO_AUGMENTATION, rotation=30.0, shift=0.25, flip=0.5, gamma=0.75, noise=0.5)

RECIPES = {
    recipe.name: recipe
    for recipe in (
        Recipe("quick", 64, epochs=15, batch_size=32, learning_rate=2e-3, repeats=3, warm_up=0.05, decay="cosine",
               weight_decay=1e-4, ema=0.05, epsilon=1e-10, dropout=0.0, head_scale=0.05, mean_face=True,
               augmentation=LIGHT_AUGMENTATION),
        Recipe("faces", 112, epochs=80, batch_size=32, learning_rate=2e-3, repeats=4, warm_up=0.03, decay="cosine",
               weight_decay=1e-4, ema=0.05, epsilon=1e-10, dropout=0.0, head_scale=0.05, mean_face=True),
        # from weights that were trained on faces already
        Recipe("faces_from_weights", 112, epochs=30, batch_size=32, learning_rate=1e-3, repeats=4, warm_up=0.03,
               decay="cosine", weight_decay=1e-4, ema=0.05, epsilon=1e-10, dropout=0.0, head_scale=0.05, mean_face=True,
               final_fraction=0.4),
        # not yet measured on a GPU
        Recipe("gpu", 224, epochs=40, batch_size=128, learning_rate=2e-3, repeats=32, warm_up=0.05, decay="cosine",
               weight_decay=1e-4, ema=0.05, epsilon=1e-10, dropout=0.0, head_scale=0.05, mean_face=True,
               steps_per_execution=10),
        # ACE-Net's published rates; batch and epochs are not known
        Recipe("ace", 256, epochs=100, batch_size=16, learning_rate=2.5e-4, decay="inverse", inverse=1e-6, epsilon=1e-8,
               augmentation=ACE_AUGMENTATION),
        # the same in few steps: a higher rate that falls to 0, averaged weights, smaller shifts
        Recipe("ace_short", 256, epochs=50, batch_size=16, learning_rate=1e-3, warm_up=0.03, decay="cosine", ema=0.05,
               augmentation=replace(ACE_AUGMENTATION, shift=0.12)),
        Recipe("original", 224, epochs=150, batch_size=32, learning_rate=1e-3, repeats=4),
        Recipe("pixelwise", 224, epochs=1000, batch_size=16, learning_rate=1e-4, bn_fraction=0.0, epoch_steps=1000,
               patience=10, augmentation=PIXELWISE_AUGMENTATION),
        # the paper's augmentation in few steps
        Recipe("pixelwise_short", 112, epochs=14, batch_size=32, learning_rate=2e-3, repeats=4, warm_up=0.03,
               decay="cosine", weight_decay=1e-4, ema=0.05, epsilon=1e-10, dropout=0.0, head_scale=0.05, mean_face=True,
               augmentation=PIXELWISE_AUGMENTATION),
    )
}  # fmt: skip


MIN_AVERAGE_STEPS = 10


def average_momentum(fraction: float, steps: int) -> float:
    """Return the momentum of a moving average as long as this fraction of a run of `steps`."""
    return 1 - 1 / max(MIN_AVERAGE_STEPS, fraction * steps)


def get_recipe(dataset: Dataset, name: str | None = None) -> Recipe:
    """Return the named recipe, or the data set's own.

    Raises:
        ValueError: there is no such recipe.
    """
    return get_row(RECIPES, name or dataset.recipe, "recipe")
