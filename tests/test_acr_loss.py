"""ACR Loss against hand-computed values, an independent NumPy oracle and finite differences."""

import keras
import numpy as np
import pytest
from keras import ops

from acr_loss import ACRLoss, PercentageSchedule, acr_loss, difficulty, stage_starts
from pca_utility import ShapeModel

LN2 = 0.6931471805599453


def oracle_loss(face, predicted, phi, lambda_weight, published):
    """The formulas of the paper, one coordinate at a time, in float64."""
    total = 0.0
    for row in range(face.shape[0]):
        for q in range(face.shape[1]):
            delta = abs(float(face[row, q]) - float(predicted[row, q]))
            hard = float(phi[row, q])
            if delta <= 1:
                total += lambda_weight * np.log(1 + delta ** (2 - hard))
            else:
                total += delta**2 + ((hard if published else lambda_weight) * LN2 - 1)
    return total / face.size


def oracle_difficulty(face, smooth):
    """Phi of the paper, one face at a time, in float64."""
    rows = []
    for one, other in zip(face, smooth, strict=True):
        departure = [abs(float(a) - float(b)) for a, b in zip(one, other, strict=True)]
        rows.append([d / max(departure) if max(departure) else 0.0 for d in departure])
    return np.array(rows)


@pytest.fixture
def shapes():
    rng = np.random.default_rng(0)
    modes = rng.normal(size=(6, 20)) * np.array([0.1, 0.06, 0.04, 0.02, 0.01, 0.005])[:, None]
    return rng.normal(size=(200, 6)) @ modes + rng.normal(size=20) * 0.2 + rng.normal(size=(200, 20)) * 0.002


@pytest.fixture
def loss(shapes):
    return ACRLoss([ShapeModel(80).fit(shapes), ShapeModel(97).fit(shapes)])


def test_difficulty_by_hand():
    face = np.array([[0.0, 0.5, 1.0, -1.0]], np.float32)
    smooth = np.array([[0.2, 0.4, 1.0, -0.6]], np.float32)
    np.testing.assert_allclose(difficulty(face, smooth), [[0.5, 0.25, 0.0, 1.0]], rtol=1e-5)


def test_difficulty_is_zero_where_a_face_is_its_own_smooth_face():
    face = np.array([[0.1, 0.2, 0.3, 0.4], [0.0, 0.0, 0.0, 0.5]], np.float32)
    smooth = np.array([[0.1, 0.2, 0.3, 0.4], [0.0, 0.0, 0.0, 0.1]], np.float32)
    np.testing.assert_array_equal(difficulty(face, smooth), [[0, 0, 0, 0], [0, 0, 0, 1]])


@pytest.mark.parametrize(
    ("delta", "phi", "constant", "expected"),
    [
        (0.0, 0.0, "continuous", 0.0),
        (0.0, 1.0, "continuous", 0.0),
        (0.5, 0.0, "continuous", 2 * 0.22314355131420976),  # 2 ln(1 + 1/4)
        (0.5, 1.0, "continuous", 2 * 0.4054651081081644),  # 2 ln(1 + 1/2)
        (0.25, 0.5, "continuous", 2 * 0.11778303565638346),  # 2 ln(1 + 1/8)
        (1.0, 0.3, "continuous", 2 * LN2),
        (2.0, 0.3, "continuous", 4 + 2 * LN2 - 1),
        (2.0, 0.5, "published", 4 + 0.5 * LN2 - 1),
    ],
)
def test_loss_by_hand(delta, phi, constant, expected):
    value = acr_loss(np.array([[delta]], np.float32), np.zeros((1, 1), np.float32), np.array([[phi]]), 2.0, constant)
    assert np.array(value) == pytest.approx([expected], rel=1e-5)


@pytest.mark.parametrize("published", [False, True])
@pytest.mark.parametrize("lambda_weight", [1.0, 2.0, 5.0])
def test_loss_agrees_with_the_oracle(published, lambda_weight):
    rng = np.random.default_rng(1)
    face, smooth = rng.uniform(-0.5, 0.5, (8, 136)), rng.uniform(-0.5, 0.5, (8, 136))
    predicted = face + rng.normal(0, 1, face.shape) * rng.choice([0.01, 0.1, 1.5], face.shape)
    face, smooth, predicted = (a.astype(np.float32) for a in (face, smooth, predicted))
    phi = difficulty(face, smooth)
    np.testing.assert_allclose(phi, oracle_difficulty(face, smooth), rtol=1e-5, atol=1e-7)
    value = acr_loss(face, predicted, phi, lambda_weight, "published" if published else "continuous")
    assert value.shape == (8,)
    expected = oracle_loss(face, predicted, np.array(phi), lambda_weight, published)
    assert np.mean(value) == pytest.approx(expected, rel=1e-5)


def test_continuous_constant_joins_the_branches_and_the_published_one_does_not():
    below, above = np.array([[1.0]], np.float32), np.array([[np.nextafter(np.float32(1), np.float32(2))]], np.float32)
    zero, phi = np.zeros((1, 1), np.float32), np.array([[0.25]], np.float32)
    jump = [float((acr_loss(above, zero, phi, 2.0, c) - acr_loss(below, zero, phi, 2.0, c))[0]) for c in
            ("continuous", "published")]  # fmt: skip
    assert jump[0] == pytest.approx(0, abs=1e-5)
    assert jump[1] == pytest.approx((0.25 - 2) * LN2, rel=1e-4)


@pytest.mark.parametrize("phi", [0.0, 0.3, 1.0])
def test_the_tangent_branch_by_hand(phi):
    """In units of 0.1: ln(1 + delta^(2 - phi)) up to 0.1, then a straight line of the same value and slope."""

    def at(error):
        face, predicted = np.zeros((1, 1), np.float32), np.full((1, 1), error, np.float32)
        return float(acr_loss(face, predicted, np.array([[phi]]), 2.0, "tangent", unit=0.1)[0])

    assert at(0.05) == pytest.approx(2 * np.log(1 + 0.5 ** (2 - phi)), rel=1e-5)
    assert at(0.1) == pytest.approx(2 * LN2, rel=1e-5)
    assert at(0.4) == pytest.approx(2 * LN2 + 3 * (2 - phi), rel=1e-5)
    below, above = at(0.1) - at(0.1 - 1e-3), at(0.1 + 1e-3) - at(0.1)
    assert above == pytest.approx(0.01 * (2 - phi), rel=1e-2) and below == pytest.approx(above, rel=2e-2)


def test_a_unit_must_be_above_zero():
    with pytest.raises(ValueError, match="unit.*Received 0.0"):
        acr_loss(np.zeros((1, 2)), np.ones((1, 2)), np.zeros((1, 2)), unit=0.0)


def test_the_changed_acr_measures_ten_pixels(prepared_300w):
    from face_datasets.catalogue import get_dataset
    from methods import METHODS

    loss = METHODS["acr_pixels"].loss(prepared_300w, get_dataset("300W"), "square")
    assert (loss.constant, loss.unit * 224) == ("tangent", pytest.approx(10))
    plain = METHODS["acr"].loss(prepared_300w, get_dataset("300W"), "square")
    assert (plain.constant, plain.unit) == ("continuous", 1.0)


def test_upright_eigenbases_know_nothing_of_rotation(prepared_300w):
    """They are those of labels without moved copies, so a turned face is harder by them than by the moved ones."""
    from face_datasets.catalogue import get_dataset
    from face_datasets.face_dataset import read_index
    from methods import METHODS

    dataset = get_dataset("300W")
    upright, moved = (METHODS[name].loss(prepared_300w, dataset, "square") for name in ("acr_upright", "acr"))
    train = [face["landmarks"] for face in read_index(prepared_300w, dataset)["faces"] if face["split"] == "train"]
    assert len(train) > len(upright.shape_models[0].components_)
    labels = np.load(prepared_300w / "w300/normalized_labels/labels.npy")
    np.testing.assert_allclose(upright.shape_models[2].mean_, labels[: len(train)].mean(axis=0), atol=1e-6)
    turned = labels[: len(train)].reshape(-1, 68, 2) @ np.array([[0.87, 0.5], [-0.5, 0.87]])
    turned = turned.reshape(len(train), 136).astype(np.float32)
    lost = [np.abs(np.asarray(loss.smooth_face(turned)) - turned).mean() for loss in (upright, moved)]
    assert lost[0] > lost[1]


def test_hard_coordinates_pull_harder_for_small_errors():
    tf = pytest.importorskip("tensorflow")
    predicted = tf.Variable([[0.01, 0.01, 0.05, 0.05]])
    with tf.GradientTape() as tape:
        value = acr_loss(tf.zeros((1, 4)), predicted, tf.constant([[0.0, 1.0, 0.0, 1.0]]))
    slope = tape.gradient(value, predicted)[0]
    assert float(slope[1] / slope[0]) == pytest.approx(49.5, rel=1e-2)  # reference figures for 0.01 and 0.05
    assert float(slope[3] / slope[2]) == pytest.approx(9.5, rel=1e-2)


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="uses TensorFlow's tape")
@pytest.mark.parametrize("constant", ["continuous", "published"])
def test_gradients_agree_with_finite_differences(constant):
    import tensorflow as tf

    rng = np.random.default_rng(2)
    face = rng.uniform(-0.5, 0.5, (2, 10))
    predicted = face + rng.choice([-1, 1], face.shape) * rng.choice([0.02, 0.3, 0.9, 1.7], face.shape)
    phi = rng.uniform(0, 1, face.shape)
    variable = tf.Variable(predicted, dtype=tf.float32)
    with tf.GradientTape() as tape:
        value = tf.reduce_mean(acr_loss(face.astype(np.float32), variable, phi.astype(np.float32), 2.0, constant))
    slope = tape.gradient(value, variable).numpy()
    step = 1e-6
    for q in np.ndindex(face.shape):
        moved = [predicted.copy(), predicted.copy()]
        moved[0][q] += step
        moved[1][q] -= step
        high, low = (oracle_loss(face, m, phi, 2.0, constant == "published") for m in moved)
        assert slope[q] == pytest.approx((high - low) / (2 * step), rel=2e-3, abs=1e-7)


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="uses TensorFlow's tape")
@pytest.mark.parametrize("phi", [0.0, 0.5, 1.0])
def test_gradient_is_finite_at_zero_error(phi):
    import tensorflow as tf

    face = tf.Variable([[0.1, -0.2, 0.3]])
    with tf.GradientTape() as tape:
        value = acr_loss(tf.constant([[0.1, -0.2, 0.3]]), face, tf.fill((1, 3), phi))
    assert np.isfinite(tape.gradient(value, face).numpy()).all()


def test_class_is_the_function_with_phi_from_the_true_face_alone(loss, shapes):
    rng = np.random.default_rng(3)
    face = shapes[:16].astype(np.float32)
    predicted = face + rng.normal(0, 0.02, face.shape).astype(np.float32)
    for stage, model in enumerate(loss.shape_models):
        loss.stage.assign(stage)
        smooth = model.smooth(face)
        np.testing.assert_allclose(loss.smooth_face(face), smooth, atol=1e-6)
        expected = oracle_loss(face, predicted, oracle_difficulty(face, smooth), 2.0, False)
        assert float(loss(face, predicted)) == pytest.approx(expected, rel=1e-3)


def test_all_modes_kept_do_not_divide_by_zero(shapes):
    model = ShapeModel(100, clip=None).fit(shapes)
    value = ACRLoss([model])(shapes.astype(np.float32), shapes.astype(np.float32) + 0.1)
    assert float(value) == pytest.approx(2 * np.log(1.01), rel=1e-3)  # phi is 0 everywhere


def test_serialises(loss, shapes):
    face, predicted = shapes[:4].astype(np.float32), shapes[4:8].astype(np.float32)
    again = keras.losses.deserialize(keras.losses.serialize(loss))
    for stage in (0, 1):
        loss.stage.assign(stage)
        again.stage.assign(stage)
        assert float(again(face, predicted)) == pytest.approx(float(loss(face, predicted)), rel=1e-6)


def test_reloads_inside_a_saved_model(loss, tmp_path):
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(20)])
    model.compile("adam", loss)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    assert isinstance(again.loss, ACRLoss)
    assert len(again.loss.shape_models) == 2


def test_schedule_of_the_paper():
    assert stage_starts(150) == [0, 16, 31, 71, 101]
    assert stage_starts(15) == [0, 2, 3, 7, 10]
    assert stage_starts(1) == [0, 0, 0, 0, 1]


def test_schedule_changes_the_stage_without_a_new_trace(loss, shapes):
    traces = []

    class Traced(ACRLoss):
        def call(self, y_true, y_pred):
            traces.append(1)
            return super().call(y_true, y_pred)

    traced = Traced(loss.shape_models)
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(20)])
    model.compile("sgd", traced, metrics=traced.metrics)
    stages = []
    watch = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: stages.append(int(traced.stage.value)))
    data = np.zeros((8, 3), np.float32), shapes[:8].astype(np.float32)
    model.fit(*data, epochs=1, verbose=0)
    before = len(traces)
    model.fit(*data, epochs=3, verbose=0, callbacks=[PercentageSchedule(traced, 10), watch])
    assert stages == [0, 1, 1]
    assert len(traces) == before


def test_unknown_constant_is_an_error():
    with pytest.raises(ValueError, match="Received constant='other'"):
        acr_loss(ops.zeros((1, 2)), ops.zeros((1, 2)), ops.zeros((1, 2)), constant="other")


def test_no_shape_models_is_an_error():
    with pytest.raises(ValueError, match="at least one shape model"):
        ACRLoss([])
