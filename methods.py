"""The table of methods: how each builds its network, encodes landmarks, computes its loss, decodes and is scored.

To add a method, write its parts and a row of METHODS. Training, evaluation, prediction and export read the row and know
no method by name. Keras is imported only when something is built, so that the names of the methods can be listed, and
the outputs of exported files decoded, without it.
"""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING

import numpy as np

import metrics
from ace_net import metrics as ace_metrics
from ace_net.config import CONTOUR_AUC, CONTOUR_TRUTH_FILE, FINE_THRESHOLD
from ace_net.decode import decode_landmarks, decode_outlines
from ace_net.face_outlines import get_outlines
from ace_net.outlines import OUTLINE_LAYOUT, finite, get_anchors, get_contours, to_entry
from ace_net.targets import MAPS, encode_full, encode_landmarks, encode_weak
from config import (
    ACR_LAMBDA,
    ANCHORS,
    ANISOTROPY,
    CONTOURS,
    CROPS,
    FAILURE_THRESHOLDS,
    LOSS_REFERENCE_SIZE,
    PCA_PERCENTAGES,
    PREDICTIONS_FILE,
    SEED,
    Crop,
    DatasetName,
    get_crop,
    get_row,
)
from face_datasets.catalogue import Dataset
from face_datasets.face_dataset import FaceDataset, read_index
from face_datasets.layouts import Layout
from image_utility import from_targets, to_targets
from pca_utility import ShapeModel, fit_eigenbases, labels_folder, normalised_labels
from pixelwise.decode import decode_last_stage, map_decoders, window_radius
from training.initialisation import init_bias_at_mean_face, init_bias_at_pose_mean, no_init, set_mean_face
from training.recipes import get_recipe

if TYPE_CHECKING:
    import keras

    from cnn_model import Network
    from training.batches import AugmentedBatches

ACR_UNIT = 10.0  # pixels of a crop of LOSS_REFERENCE_SIZE: the error that the method acr_pixels counts as 1
DECIMALS = 4  # of a pixel, in files of predictions
PathLike = str | os.PathLike


# --------------------------------------------------------------------------------------------------------------------
# Codecs
# --------------------------------------------------------------------------------------------------------------------


def encode_regression(landmarks: np.ndarray, size: int) -> np.ndarray:
    """Return the targets of linear outputs.

    Args:
        landmarks: (batch, points, 2) in crop pixels.
        size: side of the crop in pixels.

    Returns:
        float32 (batch, 2 * points) in normalised coordinates.
    """
    return to_targets(landmarks, size).astype(np.float32)


@dataclass(frozen=True)
class Codec:
    """From landmarks to targets, from predictions to landmarks, and how these are scored.

    Args:
        encode: function (points (batch, points, 2) in crop pixels, size of the crop) -> targets, an array for each
            output of the network.
        decode: function (predictions, size of the crop) -> points (batch, points, 2) in crop pixels. It is given all
            outputs of a network with several.
        decoders: name -> decode, if predictions can be decoded in several ways; `decode` is one of them.
        window_radius: function from the size of the crop to the pixels between a heatmap's maximum and the sides of the
            window that `decode` averages over; None without such a window.

    Attributes:
        metric: name of the error of a face.
        figures: columns of tables and legends besides "nme", keys of a subset in metrics.json.
        thresholds: errors in percent that plots mark; the largest is where they end.
        complete: True if every point is predicted for every face, as snapshots, the smoothing of videos, averages of
            several predictions, and CSV and .pts files need it.
        streams: True if the points are the faces' landmarks, so that faces can be read in a stream.
        map_names: names of the heatmaps, if they are not those of the landmarks.
    """

    encode: Callable[[np.ndarray, int], np.ndarray | tuple] = encode_regression
    decode: Callable[[np.ndarray, int], np.ndarray] = from_targets
    decoders: dict[str, Callable[[np.ndarray, int], np.ndarray]] = field(default_factory=dict)
    window_radius: Callable[[int], int] | None = None

    metric = "NME"
    figures = metrics.FIGURES
    thresholds = FAILURE_THRESHOLDS
    complete = True
    streams = True
    map_names = ()

    def with_decoder(self, name: str | None) -> "Codec":
        """Return the codec with another of its decoders; None keeps its usual one.

        Raises:
            ValueError: the codec has no such decoder.
        """
        return self if name is None else replace(self, decode=get_row(self.decoders, name, "decoder"))

    def layout(self, dataset: Dataset) -> Layout:
        """Return the layout of the points that are predicted for a data set."""
        return dataset.layout

    def check_crop(self, crop: Crop) -> None:
        """Raise ValueError if a crop cannot be computed from predicted points."""

    # ------------------------------------------------------------------------------------------ of prepared faces

    def points(self, faces: FaceDataset, data_dir: PathLike) -> np.ndarray:
        """Return the points (faces, points, 2), in image pixels, that are augmented and encoded for training."""
        return faces.landmarks

    def truth(self, faces: FaceDataset, data_dir: PathLike) -> np.ndarray:
        """Return the true points (faces, points, 2) in image pixels."""
        return faces.landmarks

    def errors(self, predicted: np.ndarray, truth: np.ndarray, faces: FaceDataset) -> np.ndarray:
        """Return the error of every face, (faces,) in percent.

        Args:
            predicted: (faces, points, 2) in image pixels.
            truth: see `truth`.
            faces: the faces themselves.
        """
        return metrics.nme(predicted, truth, faces.normaliser_distance())

    def evaluate(self, predicted: np.ndarray, truth: np.ndarray, faces: FaceDataset) -> dict:
        """Return the content of metrics.json; for the arguments see `errors`."""
        return metrics.evaluate(
            predicted, truth, faces.dataset, faces.subsets, _official(faces), names=faces.names, boxes=faces.boxes
        )

    def table(self, evaluation: dict, faces: FaceDataset) -> str:
        """Return the result of `evaluate` as text."""
        return metrics.table(evaluation, _official(faces))

    def files(self, predicted: np.ndarray, truth: np.ndarray, faces: FaceDataset) -> dict[str, list[dict]]:
        """Return the entries of the JSON files that an evaluation writes besides metrics.json, by file name."""
        pairs = zip(faces.names, predicted, strict=True)
        return {PREDICTIONS_FILE: [{"image": name, "landmarks": face.tolist()} for name, face in pairs]}

    # ------------------------------------------------------------------------------------- of faces in any picture

    def landmarks(self, points: np.ndarray) -> Sequence[np.ndarray]:
        """Return the landmarks (found, 2) of every face from predicted points (faces, points, 2).

        Raises:
            ValueError: a coordinate is not finite.
        """
        if not np.isfinite(points).all():
            raise ValueError("predicts numbers that are not finite; its weights are broken")
        return points

    def region(self, points: np.ndarray) -> np.ndarray:
        """Return the points (faces, n, 2), of all predicted ones, that the next crop is cut around."""
        return points

    def outlines(self, points: np.ndarray) -> Sequence[np.ndarray | None]:
        """Return the outline (OUTLINE, 2) of every face, None if no outlines are predicted."""
        return [None] * len(points)


@dataclass(frozen=True)
class ContourCodec(Codec):
    """The codec of anchors and contours, which are scored by NME^AC; the points are outlines of ace_net/outlines.py.

    Args:
        sparse: True to train on the contours of 36 of the 68 landmarks.
    """

    encode: Callable[[np.ndarray, int], tuple] = encode_weak
    decode: Callable[[np.ndarray, int], np.ndarray] = decode_outlines
    sparse: bool = False

    metric = "NME^AC"
    figures = (f"auc@{CONTOUR_AUC:g}", f"share@{FINE_THRESHOLD:g}")
    thresholds = (FINE_THRESHOLD, CONTOUR_AUC)
    complete = False
    streams = False
    map_names = (*ANCHORS, *CONTOURS)

    def layout(self, dataset):
        return OUTLINE_LAYOUT

    def check_crop(self, crop):
        if crop.centre == "centroid":
            boxes = [name for name, row in CROPS.items() if row.centre != "centroid"]
            raise ValueError(
                "contours have no mean that a crop could be centred at. "
                f"Received the crop {crop.name!r}; expected one of {', '.join(boxes)}"
            )

    def points(self, faces, data_dir):
        return get_outlines(faces, data_dir, sparse=self.sparse)

    def truth(self, faces, data_dir):
        return get_outlines(faces, data_dir)

    def errors(self, predicted, truth, faces):
        return ace_metrics.outline_nme(predicted, truth)

    def evaluate(self, predicted, truth, faces):
        outlines = map(ace_metrics.split_outlines, (predicted, truth))
        return ace_metrics.evaluate_outlines(*outlines, faces.dataset, faces.subsets, _official(faces))[0]

    def table(self, evaluation, faces):
        return ace_metrics.outline_table(evaluation)

    def files(self, predicted, truth, faces):
        return {
            name: [
                {"image": image, "subsets": subsets, **to_entry(outline, DECIMALS)}
                for image, subsets, outline in zip(faces.names, faces.subsets, outlines, strict=True)
            ]
            for name, outlines in ((PREDICTIONS_FILE, predicted), (CONTOUR_TRUTH_FILE, truth))
        }

    def landmarks(self, points):
        return [finite(get_anchors(face)) for face in points]

    def region(self, points):
        return get_contours(points).reshape(len(points), -1, 2)

    def outlines(self, points):
        return points


def heatmap_codec(background: bool, logarithms: bool = False) -> Codec:
    """Return the codec of one heatmap for each landmark; for the arguments see pixelwise.decode.map_decoders."""
    decoders = map_decoders(background, logarithms)
    return Codec(decode=decoders["subpixel"], decoders=decoders, window_radius=window_radius)


def _official(faces: FaceDataset) -> dict[str, int]:
    """Return the official number of faces of every subset of the faces' split."""
    return faces.dataset.subsets.get(faces.split, {})


# --------------------------------------------------------------------------------------------------------------------
# Heads
# --------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Head:
    """What a network predicts.

    Args:
        build: function (network, dataset, input size, momentum of BatchNorm) -> Keras model.
        kind: "linear" for linear outputs on pooled features, to which --head can add a soft-argmax branch,
            "coordinates" for other heads that predict coordinates, "heatmaps".
    """

    build: Callable[["Network", Dataset, int, float], "keras.Model"]
    kind: str


def build_linear(network: "Network", dataset: Dataset, input_size: int, bn_momentum: float) -> "keras.Model":
    """Build a network with 2N linear outputs."""
    from cnn_model import CNNModel

    return CNNModel().get_model(network, dataset.outputs, input_size, bn_momentum)


def build_direct(network: "Network", dataset: Dataset, input_size: int, bn_momentum: float) -> "keras.Model":
    """Build a network with fully connected layers before its outputs."""
    from pixelwise.model import build_direct

    return build_direct(network, dataset, input_size, bn_momentum)


def build_cascade(network: "Network", dataset: Dataset, input_size: int, bn_momentum: float) -> "keras.Model":
    """Build a cascade of three networks."""
    from pixelwise.cascade import build_cascade

    return build_cascade(network, dataset, input_size, bn_momentum)


def build_heatmaps(
    network: "Network", dataset: Dataset, input_size: int, bn_momentum: float, background: bool, classes: bool = False
) -> "keras.Model":
    """Build a network with a heatmap for each landmark; for the last arguments see pixelwise.model.build_maps."""
    from pixelwise.model import build_maps

    return build_maps(network, dataset, input_size, bn_momentum, background=background, classes=classes)


def build_hourglasses(
    network: "Network", dataset: Dataset, input_size: int, bn_momentum: float, contours: bool
) -> "keras.Model":
    """Build a network with three sets of heatmaps.

    Args:
        contours: True for heatmaps of anchors and contours, False for those of landmarks.
    """
    from ace_net.model import heatmap_network

    return heatmap_network(network, MAPS if contours else dataset.layout.points, input_size, bn_momentum)


LINEAR = Head(build_linear, "linear")
DIRECT = Head(build_direct, "coordinates")
CASCADE = Head(build_cascade, "coordinates")
HEATMAPS = Head(partial(build_heatmaps, background=False), "heatmaps")
HEATMAPS_AND_BACKGROUND = Head(partial(build_heatmaps, background=True), "heatmaps")
PIXEL_CLASSES = Head(partial(build_heatmaps, background=True, classes=True), "heatmaps")
LANDMARK_HOURGLASSES = Head(partial(build_hourglasses, contours=False), "heatmaps")
CONTOUR_HOURGLASSES = Head(partial(build_hourglasses, contours=True), "heatmaps")


# --------------------------------------------------------------------------------------------------------------------
# Losses
# --------------------------------------------------------------------------------------------------------------------

Loss = "keras.losses.Loss | list[keras.losses.Loss]"


def loss_of_class(module: str, class_name: str, **constants) -> Callable[..., Loss]:
    """Return a function that builds a loss which needs no data, see `Method.loss`; its class is imported then."""

    def make(data_dir: PathLike, dataset: Dataset, crop: str, **options) -> Loss:
        return getattr(import_module(module), class_name)(**constants | options)

    return make


def make_acr_loss(data_dir: PathLike, dataset: Dataset, crop: str, **options) -> Loss:
    """Build ACR Loss with the eigenbases of the data set for this crop; fit those that are missing or out of date.

    Args:
        data_dir: data root.
        dataset: the prepared data set.
        crop: name of a crop.
        options: arguments of ACRLoss.

    Raises:
        FileNotFoundError, ValueError: there are no labels to fit them on, or a file is broken or of another data set.
    """
    from acr_loss import ACRLoss

    models = []
    for file in fit_eigenbases(labels_folder(data_dir, dataset, crop), dataset).values():
        model = ShapeModel.load(file)
        if len(model.mean_) != dataset.outputs:
            raise ValueError(
                f"{file} does not fit {dataset.title}. Received {len(model.mean_)} coordinates; "
                f"expected {dataset.outputs}"
            )
        models.append(model)
    return ACRLoss(models, **options)


def make_upright_acr_loss(data_dir: PathLike, dataset: Dataset, crop: str, **options) -> Loss:
    """Build ACR Loss with eigenbases of the training faces without augmentation: a rotated face is then a hard one.

    For the arguments see `make_acr_loss`.

    Raises:
        FileNotFoundError, ValueError: the data set is not prepared.
    """
    from acr_loss import ACRLoss

    faces = read_index(data_dir, dataset)["faces"]
    landmarks = np.array([face["landmarks"] for face in faces if face["split"] == "train"])  # (faces, points, 2)
    recipe = get_recipe(dataset)
    labels = normalised_labels(
        landmarks,
        dataset.layout.partners,
        get_crop(crop),
        recipe.input_size,
        recipe.augmentation,
        augmented_copies=0,
        seed=SEED,
    )  # (faces, 2 * points)
    return ACRLoss([ShapeModel(percentage).fit(labels) for percentage in PCA_PERCENTAGES], **options)


def make_anisotropic_loss(
    data_dir: PathLike, dataset: Dataset, crop: str, a: float = ANISOTROPY[0], b: float = ANISOTROPY[1], **options
) -> Loss:
    """Build the anisotropic loss for the landmarks of a data set.

    Args:
        data_dir: not used.
        dataset: the data set.
        crop: not used.
        a: freedom along curves.
        b: freedom across curves.
        options: other arguments of AnisotropicLoss.
    """
    from losses.anisotropic import AnisotropicLoss

    return AnisotropicLoss(dataset.layout.neighbours, dataset.layout.corners, a, b, **options)


def heatmap_losses(fine: str) -> Callable[..., list]:
    """Return a function that builds the losses of ACE-Net's three sets of heatmaps, see `Method.loss`.

    Args:
        fine: class in ace_net/losses.py of the loss of the last set; the two intermediate ones have HeatLoss, which
            shares its `alpha` and `power`.
    """

    def make(data_dir: PathLike, dataset: Dataset, crop: str, **options) -> list:
        from ace_net import losses

        shared = {name: value for name, value in options.items() if name in ("alpha", "power")}
        return [losses.HeatLoss(**shared), losses.HeatLoss(**shared), getattr(losses, fine)(**options)]

    return make


def _percentage_schedule(loss: Loss, epochs: int) -> list:
    from acr_loss import PercentageSchedule

    return [PercentageSchedule(loss, epochs)]


def _adversarial(model: "keras.Model", dataset: Dataset) -> "keras.Model":
    from pixelwise.adversary import Adversarial

    return Adversarial(model, dataset.outputs)


# --------------------------------------------------------------------------------------------------------------------
# Methods
# --------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Method:
    """One way to train and decode a landmark network.

    Args:
        name: its name on the command line and in records.
        loss: function (data root, dataset, name of the crop, **options) -> Keras loss, or a list of one for each output
            of the network.
        head: what the network predicts.
        codec: targets, landmarks and scores.
        init: function (model, batches) that initialises a new network's weights from its training faces.
        callbacks: function (loss, epochs) -> callbacks that the loss needs.
        metrics: function (loss) -> metrics that the loss needs.
        fixed_constants: the loss's constants, if building the loss to ask it needs eigenbases; see `constants`.
        uses_labels: True if the loss uses eigenbases of the data set's stored labels.
        wrap: function (compiled model, dataset) -> the model that `fit` trains instead, with attributes `network`, the
            compiled model, and `optimizers`, all whose state a run must keep; None trains the model itself.
        auxiliary_datasets: other data sets whose training faces are mixed in, all shown equally often.
        balance: function from the sizes of the pose bins to the faces of each bin that an epoch shows; `min`
            under-samples, `max` over-samples, None does not balance poses.
    """

    name: str
    loss: Callable[..., Loss]
    head: Head = LINEAR
    codec: Codec = Codec()
    init: Callable[["keras.Model", "AugmentedBatches"], None] = init_bias_at_mean_face
    callbacks: Callable[[Loss, int], list] = lambda loss, epochs: []
    metrics: Callable[[Loss], list] = lambda loss: []
    fixed_constants: dict | None = None
    uses_labels: bool = False
    wrap: Callable[["keras.Model", Dataset], "keras.Model"] | None = None
    auxiliary_datasets: tuple[str, ...] = ()
    balance: Callable[[Sequence[int]], int] | None = None

    @property
    def own_head(self) -> bool:
        """True if the head is not the linear one, to which --head can add a soft-argmax branch."""
        return self.head.kind != LINEAR.kind

    @property
    def init_needs_faces(self) -> bool:
        """True if the initialisation needs all training faces, which a stream does not have."""
        return self.init is init_bias_at_pose_mean

    @property
    def needs_all_faces(self) -> bool:
        """True if training needs all faces at once, beside their order."""
        return bool(self.balance or self.auxiliary_datasets or self.init_needs_faces or not self.codec.streams)

    def constants(self, data_dir: PathLike, dataset: Dataset, crop: str, **options) -> dict:
        """Return the constants of the loss as JSON has them: the numbers, words and lists of its `get_config`, no
        arrays; of several losses, those of the last.

        Args:
            data_dir: data root.
            dataset: data set of the training.
            crop: name of a crop.
            options: constants that replace those of the method.

        Raises:
            ValueError: the loss has no such constant, or not with such a value.
        """
        known = self.fixed_constants or _constants(self.loss(data_dir, dataset, crop))
        names = [name for name, value in known.items() if isinstance(value, int | float | str)]
        names = [name for name in names if name not in ("name", "reduction")]
        if unknown := [name for name in options if name not in names]:
            received = ", ".join(map(repr, unknown))
            raise ValueError(
                f"unknown loss option of {self.name}. Received {received}; known: {', '.join(names) or 'none'}"
            )
        for name, value in options.items():
            if isinstance(value, str) != isinstance(known[name], str):
                kind = "a word" if isinstance(known[name], str) else "a number"
                raise ValueError(f"{name} of {self.name} is {kind}. Received {value!r}")
        if self.fixed_constants is not None or not options:
            return known | options
        return _constants(self.loss(data_dir, dataset, crop, **options))


def _constants(loss: Loss) -> dict:
    config = (loss[-1] if isinstance(loss, list) else loss).get_config()
    return {name: value for name, value in config.items() if isinstance(value, bool | int | float | str | list)}


def _acr(name: str, make: Callable[..., Loss] = make_acr_loss, **options) -> Method:
    """Return a row of ACR Loss. Its constants are fixed, since building the loss needs eigenbases and device memory; it
    is built with the same ones."""
    constants = {"lambda_weight": ACR_LAMBDA, "constant": "continuous", "unit": 1.0, "name": "acr_loss"} | options
    return Method(
        name,
        loss=partial(make, **constants),
        callbacks=_percentage_schedule,
        metrics=lambda loss: loss.metrics,
        fixed_constants=constants | {"percentages": list(PCA_PERCENTAGES)},
        uses_labels=make is make_acr_loss,
    )


_L1 = loss_of_class("keras.losses", "MeanAbsoluteError", name="l1")
_L2 = loss_of_class("keras.losses", "MeanSquaredError", name="l2")
_SMOOTH_L1, _WING = (loss_of_class("losses.regression", name) for name in ("SmoothL1Loss", "WingLoss"))
_DISTANCE, _DISTRIBUTION, _HEATMAP, _ADAPTIVE_WING, _PIXELWISE, _HYBRID = (
    loss_of_class("pixelwise.losses", f"{name}Loss")
    for name in ("Distance", "Distribution", "Heatmap", "AdaptiveWing", "Pixelwise", "Hybrid")
)
_FULL = ContourCodec(encode=encode_full)
_CLASSES = heatmap_codec(background=True, logarithms=True)
_RENDERED = (DatasetName.synthetic,)

METHODS = {
    method.name: method
    for method in (
        _acr("acr"),
        _acr("acr_upright", make_upright_acr_loss),
        # our smallest change to ACR Loss, see acr_loss.py
        _acr("acr_pixels", constant="tangent", unit=ACR_UNIT / LOSS_REFERENCE_SIZE),
        Method("l2", _L2),
        Method("l1", _L1),
        Method("smooth_l1", _SMOOTH_L1),
        Method("wing", _WING),
        Method("anisotropic_loss", make_anisotropic_loss),  # the loss alone, as all above
        # the anisotropic paper's own method, and the other rows of its Table 4
        Method("anisotropic", make_anisotropic_loss, init=init_bias_at_pose_mean, balance=min),
        Method("anisotropic_direct", make_anisotropic_loss, init=no_init),
        Method("anisotropic_displacement", make_anisotropic_loss, init=init_bias_at_pose_mean),
        Method("anisotropic_replicate", make_anisotropic_loss, init=init_bias_at_pose_mean, balance=max),
        # the comparison of the pixel-wise classification paper, and Adaptive Wing beside it
        Method("direct", _DISTANCE, DIRECT),
        Method("cascaded", _DISTANCE, CASCADE, Codec(decode=decode_last_stage), init=set_mean_face),
        Method("distribution", _DISTRIBUTION, HEATMAPS, heatmap_codec(False, logarithms=True), init=no_init),
        Method("heatmap", _HEATMAP, HEATMAPS_AND_BACKGROUND, heatmap_codec(True), init=no_init),
        Method("adaptive_wing", _ADAPTIVE_WING, HEATMAPS, heatmap_codec(False), init=no_init),
        Method("pwc", _PIXELWISE, PIXEL_CLASSES, _CLASSES, init=no_init),
        Method("pwc_disc", _PIXELWISE, PIXEL_CLASSES, _CLASSES, init=no_init, wrap=_adversarial),
        Method("hybrid", _HYBRID, PIXEL_CLASSES, _CLASSES, init=no_init),
        Method("hybrid_disc", _HYBRID, PIXEL_CLASSES, _CLASSES, init=no_init, wrap=_adversarial),
        # ACE-Net, and what its Tables 1 and 2 compare it with
        Method(
            "lmk_line",
            heatmap_losses("HeatLoss"),
            LANDMARK_HOURGLASSES,
            Codec(encode=encode_landmarks, decode=decode_landmarks),
            init=no_init,
        ),
        Method("line", heatmap_losses("HeatLoss"), CONTOUR_HOURGLASSES, _FULL, init=no_init),
        Method(
            "line_star",
            heatmap_losses("HeatLoss"),
            CONTOUR_HOURGLASSES,
            _FULL,
            init=no_init,
            auxiliary_datasets=_RENDERED,
        ),
        Method(
            "ace",
            heatmap_losses("ACELoss"),
            CONTOUR_HOURGLASSES,
            ContourCodec(),
            init=no_init,
            auxiliary_datasets=_RENDERED,
        ),
        Method(
            "ace_sparse",
            heatmap_losses("ACELoss"),
            CONTOUR_HOURGLASSES,
            ContourCodec(sparse=True),
            init=no_init,
            auxiliary_datasets=_RENDERED,
        ),
    )
}


def get_method(name: str) -> Method:
    """Return a row of METHODS.

    Raises:
        ValueError: there is no such method.
    """
    return get_row(METHODS, name, "method")
