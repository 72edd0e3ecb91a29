"""How a new network's head starts: at the mean face, at the mean of pose bins, or as it was built."""

import keras

from cnn_model import linear_head
from training.batches import AugmentedBatches
from training.pose_balance import mean_of_bins, pose_bins


def init_bias_at_mean_face(model: keras.Model, batches: AugmentedBatches) -> None:
    """Starts the head's bias at the mean target of the training faces, where the recipe says so."""
    if batches.recipe.mean_face:
        linear_head(model).bias.assign(batches.encode(batches.landmarks, batches.size).mean(axis=0))


def no_init(model: keras.Model, batches: AugmentedBatches) -> None:
    """Leaves a new network as it is, whatever the recipe says: maps have no mean face to start at, and a head whose
    bias is 0 learns the face itself."""


def init_bias_at_pose_mean(model: keras.Model, batches: AugmentedBatches) -> None:
    """Starts the head's bias at the mean target of the pose bins, so that the rest learns the displacement from it.

    This is the same as displacement targets with the mean added behind the network: errors are differences, Adam sees
    nothing but gradients, and biases do not decay. But the weights then hold all that a prediction needs, and the loss
    still gets the face itself, whose tangents it takes.
    """
    bins = pose_bins(batches.source.landmarks, batches.source.dataset.pose_mode)
    linear_head(model).bias.assign(mean_of_bins(batches.encode(batches.landmarks, batches.size), bins))
