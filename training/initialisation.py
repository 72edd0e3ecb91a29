"""Initialisation of a new network: at the mean face, at the mean of pose bins, or as it was built."""

from typing import TYPE_CHECKING

from training.pose_balance import mean_of_bins, pose_bins

if TYPE_CHECKING:
    import keras

    from training.batches import AugmentedBatches


def init_bias_at_mean_face(model: "keras.Model", batches: "AugmentedBatches") -> None:
    """Set the bias of a linear head to the mean target of the training faces, if the recipe has `mean_face`."""
    from cnn_model import linear_head

    if batches.recipe.mean_face:
        linear_head(model).bias.assign(batches.encode(batches.landmarks, batches.size).mean(axis=0))


def no_init(model: "keras.Model", batches: "AugmentedBatches") -> None:
    """Leave a new network as it is, whatever the recipe has: heatmaps have no mean face to start at, and a head with a
    bias of 0 learns the face itself."""


def init_bias_at_pose_mean(model: "keras.Model", batches: "AugmentedBatches") -> None:
    """Set the bias of a linear head to the mean target of the pose bins, so that the rest learns the displacement.

    This is the same as displacement targets with the mean added behind the network: errors are differences, Adam sees
    nothing but gradients, and biases do not decay. But the weights then hold all that a prediction needs, and the loss
    still gets the face itself, whose tangents it takes.
    """
    from cnn_model import linear_head

    bins = pose_bins(batches.source.landmarks, batches.source.dataset.pose_mode)
    linear_head(model).bias.assign(mean_of_bins(batches.encode(batches.landmarks, batches.size), bins))


def set_mean_face(model: "keras.Model", batches: "AugmentedBatches") -> None:
    """Set the mean face of a new cascade (pixelwise/cascade.py) to that of the training faces, without augmentation."""
    model.get_layer("mean_face").face.assign(batches.encode(batches.landmarks, batches.size).mean(axis=0))
