"""The one table of methods: how each builds its model, turns landmarks into targets, scores, and decodes.

A method that is not here does not exist; to add one, write its file and its row. Training and evaluation read the row
and know no method by name.
"""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import keras
import numpy as np

from ace_net import targets
from ace_net.config import HEAT_EMPHASES, HEAT_EMPHASIS, OUTSIDE, ROOT
from ace_net.decode import decode_landmarks, decode_outlines
from ace_net.face_outlines import get_outlines
from ace_net.losses import ACELoss, HeatLoss
from ace_net.model import heatmap_network
from ace_net.outlines import OUTLINE_LAYOUT
from acr_loss import ACRLoss, PercentageSchedule
from cnn_model import CNNModel, Network
from config import (
    ACR_LAMBDA,
    ANISOTROPY,
    LOSS_REFERENCE_SIZE,
    PCA_PERCENTAGES,
    SEED,
    DatasetName,
    get_crop,
    get_row,
)
from face_datasets.catalogue import (
    Dataset,
)
from face_datasets.face_dataset import FaceDataset, read_index
from face_datasets.layouts import Layout
from image_utility import from_targets, to_targets
from losses.anisotropic import AnisotropicLoss
from losses.regression import L1Loss, L2Loss, SmoothL1Loss, WingLoss
from pca_utility import ShapeModel, fit_eigenbases, labels_folder, normalised_labels
from pixelwise.adversary import Adversarial
from pixelwise.cascade import build_cascade, set_mean_face
from pixelwise.decode import decode_last_stage, map_decoders, window_radius
from pixelwise.losses import AdaptiveWingLoss, DistanceLoss, DistributionLoss, HeatmapLoss, HybridLoss, PixelwiseLoss
from pixelwise.model import build_direct, build_maps
from training.batches import AugmentedBatches
from training.initialisation import init_bias_at_mean_face, init_bias_at_pose_mean, no_init
from training.recipes import get_recipe

ACR_UNIT = 10.0  # pixels of a crop of LOSS_REFERENCE_SIZE: the error that the method acr_pixels counts as 1
ANISOTROPY_ABLATION = ((1.0, 1.0), (3.0, 1.0), (9.0, 3.0))  # other pairs that are compared


def build_regression(network: Network, dataset: Dataset, input_size: int, bn_momentum: float) -> keras.Model:
    """A network with 2N linear outputs."""
    return CNNModel().get_model(network, dataset.outputs, input_size, bn_momentum)


def encode_regression(landmarks: np.ndarray, size: int) -> np.ndarray:
    """Landmarks (batch, points, 2) in crop pixels to float32 targets (batch, 2 * points)."""
    return to_targets(landmarks, size).astype(np.float32)


def make_acr_loss(data_dir: str | os.PathLike, dataset: Dataset, crop: str, **options) -> ACRLoss:
    """ACR Loss over the eigenbases of the data set for this crop; those that are missing or out of date are fitted.

    Args:
        options: of ACRLoss.

    Raises:
        FileNotFoundError, ValueError: no labels to fit them on, or a file that is broken or of another data set.
    """
    models = []
    for file in fit_eigenbases(labels_folder(data_dir, dataset, crop), dataset).values():
        model = ShapeModel.load(file)
        if len(model.mean_) != dataset.outputs:
            raise ValueError(
                f"{file} does not fit {dataset.title}. Received {len(model.mean_)} coordinates, not {dataset.outputs}"
            )
        models.append(model)
    return ACRLoss(models, **options)


def make_upright_acr_loss(data_dir: str | os.PathLike, dataset: Dataset, crop: str, **options) -> ACRLoss:
    """ACR Loss over eigenbases of the training faces as they are, not moved: a turned face is then a hard one.

    Args:
        options: of ACRLoss.

    Raises:
        FileNotFoundError, ValueError: the data set is not prepared.
    """
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


def always(make: Callable[[], keras.losses.Loss]) -> Callable[..., keras.losses.Loss]:
    """What makes the same loss for every data set."""
    return lambda data_dir, dataset, crop: make()


def make_anisotropic_loss(a: float, b: float) -> Callable[..., AnisotropicLoss]:
    """What makes the anisotropic loss with these freedoms along and across curves for any data set."""
    return lambda data_dir, dataset, crop: AnisotropicLoss(dataset.layout.neighbours, dataset.layout.corners, a, b)


def build_landmark_heatmaps(network: Network, dataset: Dataset, input_size: int, bn_momentum: float) -> keras.Model:
    """A network with a heatmap for each landmark, in three sets."""
    return heatmap_network(network, dataset.layout.points, input_size, bn_momentum)


def build_contour_heatmaps(network: Network, dataset: Dataset, input_size: int, bn_momentum: float) -> keras.Model:
    """A network with a heatmap for each anchor and contour, in three sets."""
    return heatmap_network(network, targets.MAPS, input_size, bn_momentum)


@dataclass(frozen=True)
class Method:
    """One way to train and read a landmark network.

    loss(data_dir, dataset, crop) -> Keras loss, or a list of one for each output of the model. callbacks(loss, epochs),
    metrics(loss) -> what the loss needs besides.
    fixed_constants: the loss's constants, where the loss itself cannot be made to ask it; see `constants`.
    labels: the loss looks through eigenbases of the set's stored labels, so that other labels are another training.
    build(network, dataset, input_size, bn_momentum) -> model. own_head: it has a head of its own, not the linear one of
        cnn_model.py, beside which --head can put maps.
    points(faces, data_dir) -> (faces, points, 2) in image pixels: what moves with a face and is encoded.
    encode(points (batch, points, 2) in crop pixels, size) -> targets, one for each output.
    decode(predictions, size) -> landmarks (batch, points, 2) in crop pixels; of a model with several outputs, all of
        them.
    decoders: name -> decode, where predictions can be read in more than one way; `decode` is one of them.
    reach: of the window that `decode` looks at, in pixels to every side of a map's highest one, by the crop's size;
        None where it looks at none that changes with the size.
    maps: predictions are maps, of which highest places are taken, not coordinates.
    contours: the points are outlines of anchors and contours (ace_net/outlines.py), scored by NME^AC.
    companions: other data sets whose training faces are mixed in, all shown equally often.
    trained(model, dataset): from the compiled model to the one that `fit` trains in its place, a keras.Model with
        `network`, the model itself, and `optimizers`, all whose state a run must keep; None trains the model itself.
    start(model, batches): what is done to a new network's weights, given its training faces. start_needs_faces: it
        asks `batches.source` for all of them, which a stream does not have; `batches.landmarks` there always are.
    balance: how many faces of each pose bin a round of training shows, from the bins' sizes: `min` under-samples, `max`
        replicates; None leaves the poses as they are.
    """

    name: str
    loss: Callable[[str | os.PathLike, Dataset, str], keras.losses.Loss | list[keras.losses.Loss]]
    callbacks: Callable[[keras.losses.Loss, int], list] = lambda loss, epochs: []
    metrics: Callable[[keras.losses.Loss], list] = lambda loss: []
    fixed_constants: dict | None = None
    labels: bool = False
    build: Callable[[Network, Dataset, int, float], keras.Model] = build_regression
    own_head: bool = False
    points: Callable[[FaceDataset, str | os.PathLike], np.ndarray] = lambda faces, data_dir: faces.landmarks
    encode: Callable[[np.ndarray, int], np.ndarray | tuple] = encode_regression
    decode: Callable[[np.ndarray, int], np.ndarray] = from_targets
    decoders: dict[str, Callable[[np.ndarray, int], np.ndarray]] = field(default_factory=dict)
    reach: Callable[[int], int] | None = None
    trained: Callable[[keras.Model, Dataset], keras.Model] | None = None
    start: Callable[[keras.Model, AugmentedBatches], None] = init_bias_at_mean_face
    start_needs_faces: bool = False
    maps: bool = False
    contours: bool = False
    companions: tuple[str, ...] = ()
    balance: Callable[[Sequence[int]], int] | None = None

    @property
    def chooses_faces(self) -> bool:
        """Whether training needs all faces at once, beside their order."""
        return bool(self.balance or self.companions or self.contours or self.start_needs_faces)

    @property
    def measure(self) -> str:
        """What its predictions are scored by."""
        return "NME^AC" if self.contours else "NME"

    def layout(self, dataset: Dataset) -> Layout:
        """The layout of the points that a network of this method predicts for a data set."""
        return OUTLINE_LAYOUT if self.contours else dataset.layout

    def constants(self, data_dir: str | os.PathLike, dataset: Dataset, crop: str) -> dict:
        """What the loss is made with, as JSON has it: the numbers, words and lists of its `get_config`, no arrays. Of
        several losses, those of the last."""
        if self.fixed_constants is not None:
            return dict(self.fixed_constants)
        loss = self.loss(data_dir, dataset, crop)
        config = (loss[-1] if isinstance(loss, list) else loss).get_config()
        return {name: value for name, value in config.items() if isinstance(value, bool | int | float | str | list)}


def _acr(name: str, make: Callable[..., ACRLoss] = make_acr_loss, **options) -> Method:
    """A row of ACR Loss. Its constants are fixed, since the loss itself needs eigenbases, and memory of the device; it
    is made with the same ones."""
    constants = {"lambda_weight": ACR_LAMBDA, "constant": "continuous", "unit": 1.0, "name": "acr_loss"} | options
    return Method(
        name,
        loss=partial(make, **constants),
        callbacks=lambda loss, epochs: [PercentageSchedule(loss, epochs)],
        metrics=lambda loss: loss.metrics,
        fixed_constants=constants | {"percentages": list(PCA_PERCENTAGES)},
        labels=make is make_acr_loss,
    )


def _maps(background: bool, classes: bool = False, logarithms: bool = False) -> dict:
    """What the methods have in common whose network predicts maps."""
    decoders = map_decoders(background, logarithms or classes)
    build = partial(build_maps, background=background, classes=classes)
    return {
        "build": build,
        "own_head": True,
        "decode": decoders["subpixel"],
        "decoders": decoders,
        "reach": window_radius,
        "start": no_init,
        "maps": True,
    }


_CLASSES = _maps(background=True, classes=True)
_DISCRIMINATOR = {"trained": lambda model, dataset: Adversarial(model, dataset.outputs)}


def _heat_losses(
    fine: Callable[..., keras.losses.Loss], alpha: float = HEAT_EMPHASIS, power: float = ROOT
) -> Callable[..., list[keras.losses.Loss]]:
    """The losses of three sets of maps, of which two are intermediate."""
    return always(lambda: [make(alpha=alpha, power=power) for make in (HeatLoss, HeatLoss, fine)])


_BINS = {"start": init_bias_at_pose_mean, "start_needs_faces": True}
_ACE = {
    "build": build_contour_heatmaps,
    "own_head": True,
    "points": get_outlines,
    "decode": decode_outlines,
    "start": no_init,
    "maps": True,
    "contours": True,
}
_RENDERED = (DatasetName.synthetic,)
_WEAK = _ACE | {"encode": targets.encode_weak, "companions": _RENDERED}

METHODS = {
    method.name: method
    for method in (
        _acr("acr"),
        _acr("acr_upright", make_upright_acr_loss),
        # our smallest change to ACR Loss, see acr_loss.py
        _acr("acr_pixels", constant="tangent", unit=ACR_UNIT / LOSS_REFERENCE_SIZE),
        Method("l2", loss=always(L2Loss)),
        Method("l1", loss=always(L1Loss)),
        Method("smooth_l1", loss=always(SmoothL1Loss)),
        Method("wing", loss=always(WingLoss)),
        Method("anisotropic_loss", loss=make_anisotropic_loss(*ANISOTROPY)),  # the loss alone, as all above
        # the anisotropic paper's own method, and the other rows of its Table 4
        Method("anisotropic", loss=make_anisotropic_loss(*ANISOTROPY), **_BINS, balance=min),
        Method("anisotropic_direct", loss=make_anisotropic_loss(*ANISOTROPY), start=no_init),
        Method("anisotropic_displacement", loss=make_anisotropic_loss(*ANISOTROPY), **_BINS),
        Method("anisotropic_replicate", loss=make_anisotropic_loss(*ANISOTROPY), **_BINS, balance=max),
        *(
            Method(f"anisotropic_{a:g}_{b:g}", loss=make_anisotropic_loss(a, b), **_BINS, balance=min)
            for a, b in ANISOTROPY_ABLATION
        ),
        # the comparison of the pixel-wise classification paper, and Adaptive Wing beside it
        Method("direct", loss=always(DistanceLoss), build=build_direct, own_head=True),
        Method(
            "cascaded",
            loss=always(DistanceLoss),
            build=build_cascade,
            own_head=True,
            decode=decode_last_stage,
            start=set_mean_face,
        ),
        Method("distribution", loss=always(DistributionLoss), **_maps(background=False, logarithms=True)),
        Method("heatmap", loss=always(HeatmapLoss), **_maps(background=True)),
        Method("adaptive_wing", loss=always(AdaptiveWingLoss), **_maps(background=False)),
        Method("pwc", loss=always(PixelwiseLoss), **_CLASSES),
        Method("pwc_disc", loss=always(PixelwiseLoss), **_CLASSES, **_DISCRIMINATOR),
        Method("hybrid", loss=always(HybridLoss), **_CLASSES),
        Method("hybrid_disc", loss=always(HybridLoss), **_CLASSES, **_DISCRIMINATOR),
        # ACE-Net, and what its Tables 1 and 2 compare it with
        Method(
            "lmk_line",
            loss=_heat_losses(HeatLoss),
            build=build_landmark_heatmaps,
            own_head=True,
            encode=targets.encode_landmarks,
            decode=decode_landmarks,
            start=no_init,
            maps=True,
        ),
        Method("line", loss=_heat_losses(HeatLoss), encode=targets.encode_full, **_ACE),
        Method("line_star", loss=_heat_losses(HeatLoss), encode=targets.encode_full, companions=_RENDERED, **_ACE),
        Method("ace", loss=_heat_losses(ACELoss), **_WEAK),
        *(Method(f"ace_alpha_{alpha:g}", loss=_heat_losses(ACELoss, alpha), **_WEAK) for alpha in HEAT_EMPHASES),
        Method("ace_outside", loss=_heat_losses(ACELoss, power=OUTSIDE), **_WEAK),
        Method(
            "ace_sparse",
            loss=_heat_losses(ACELoss),
            **_WEAK | {"points": partial(get_outlines, sparse=True)},
        ),
    )
}


def get_method(name: str) -> Method:
    """The row of a method.

    Raises:
        ValueError: no such method.
    """
    return get_row(METHODS, name, "method")


def read_by(method: Method, decoder: str | None) -> Method:
    """The method with another decoder, by its name; as it is where that is None.

    Raises:
        ValueError: the method has no such decoder.
    """
    return method if decoder is None else replace(method, decode=get_row(method.decoders, decoder, "decoder"))
