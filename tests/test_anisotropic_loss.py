"""The anisotropic loss against an independent loop, hand-computed values, and what a rotation must not change."""

import keras
import numpy as np
import pytest

from face_datasets.catalogue import get_dataset
from face_datasets.layouts import LAYOUT_19, LAYOUT_29, LAYOUT_68, LAYOUT_98, Chain
from losses.anisotropic import AnisotropicLoss, anisotropic_loss, tangents
from methods import METHODS

LAYOUTS = {layout.points: layout for layout in (LAYOUT_19, LAYOUT_29, LAYOUT_68, LAYOUT_98)}


def oracle(true, predicted, layout, a, b, size):
    """The paper's formulas, one landmark at a time, from the chains themselves, in float64."""
    totals = []
    for z, x in zip(true.reshape(len(true), -1, 2) * size, predicted.reshape(len(true), -1, 2) * size, strict=True):
        total = 0.0
        for i in range(layout.points):
            chains = [chain for chain in layout.chains if i in chain.indices]
            weight = np.eye(2) / b**2
            if i in layout.corners:
                weight = np.eye(2)
            elif chains:
                (chain,) = chains
                at, last = chain.indices.index(i), len(chain.indices) - 1
                if chain.closed:
                    first, second = chain.indices[at - 1], chain.indices[0 if at == last else at + 1]
                else:
                    first, second = chain.indices[max(at - 1, 0)], chain.indices[min(at + 1, last)]
                t = (z[second] - z[first]) / np.linalg.norm(z[second] - z[first])
                weight = np.outer(t, t) / a**2 + (np.eye(2) - np.outer(t, t)) / b**2
            total += (x[i] - z[i]) @ weight @ (x[i] - z[i])
        totals.append(total / (2 * layout.points))
    return np.array(totals)


def random_faces(layout, count=6):
    rng = np.random.default_rng(layout.points)
    true = rng.uniform(-0.5, 0.5, (count, 2 * layout.points))
    return true, true + rng.normal(0, 0.05, true.shape)


def loss_of(true, predicted, layout, **options):
    values = anisotropic_loss(
        true.astype(np.float32), predicted.astype(np.float32), layout.neighbours, layout.corners, **options
    )
    return keras.ops.convert_to_numpy(values)


@pytest.mark.parametrize("points", LAYOUTS)
@pytest.mark.parametrize(("a", "b"), [(5, 3), (9, 3), (3, 1), (1, 1)])
def test_agrees_with_the_formulas(points, a, b):
    layout = LAYOUTS[points]
    true, predicted = random_faces(layout)
    expected = oracle(true, predicted, layout, a, b, 224)
    np.testing.assert_allclose(loss_of(true, predicted, layout, a=a, b=b), expected, rtol=1e-4)


def test_by_hand():
    """Three landmarks on a level line and a corner; every one is 2 pixels off, a crop has 100."""
    true = np.array([[0, 0, 0.1, 0, 0.2, 0, 0.3, 0.3]])
    neighbours, corners = ((0, 1), (0, 2), (1, 2), (3, 3)), (3,)

    def moved(x, y):
        predicted = true + np.tile([x, y], 4) / 100
        return float(anisotropic_loss(true, predicted, neighbours, corners, a=4, b=2, image_size=100)[0])

    assert moved(2, 0) == pytest.approx((3 * 4 / 16 + 4) / 8, rel=1e-4)  # along
    assert moved(0, 2) == pytest.approx((3 * 4 / 4 + 4) / 8, rel=1e-4)  # across
    diagonal = 3 * (2 / 16 + 2 / 4) + 4
    assert moved(2**0.5, 2**0.5) == pytest.approx(diagonal / 8, rel=1e-4)


def test_tangents_by_hand():
    square = np.array([[[0, 0], [1, 0], [1, 1], [0, 1.0]]])
    s = 0.5**0.5
    closed = ((3, 1), (0, 2), (1, 3), (2, 0))
    np.testing.assert_allclose(tangents(square, closed)[0], [[s, -s], [s, s], [-s, s], [-s, -s]], atol=1e-6)
    opened = ((0, 1), (0, 2), (1, 3), (2, 3))
    np.testing.assert_allclose(tangents(square, opened)[0], [[1, 0], [s, s], [-s, s], [-1, 0]], atol=1e-6)


def test_equal_freedoms_are_l2_in_pixels():
    true, predicted = (face.astype(np.float32) for face in random_faces(LAYOUT_68))
    expected = 224**2 * np.asarray(keras.losses.mean_squared_error(true, predicted))
    np.testing.assert_allclose(loss_of(true, predicted, LAYOUT_68, a=1, b=1), expected, rtol=1e-4)


@pytest.mark.parametrize("points", LAYOUTS)
def test_turning_the_face_changes_nothing(points):
    true, predicted = random_faces(LAYOUTS[points])
    angle = 0.7
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    turned = [(face.reshape(len(face), -1, 2) @ turn.T).reshape(face.shape) for face in (true, predicted)]
    np.testing.assert_allclose(loss_of(*turned, LAYOUTS[points]), loss_of(true, predicted, LAYOUTS[points]), rtol=1e-4)


@pytest.mark.parametrize("points", LAYOUTS)
def test_the_mirror_image_costs_the_same(points):
    """Chains and corners agree with the flip partners."""
    layout = LAYOUTS[points]
    true, predicted = random_faces(layout)
    flat = [
        (face.reshape(len(face), -1, 2) * (-1, 1))[:, list(layout.partners)].reshape(face.shape)
        for face in (true, predicted)
    ]
    np.testing.assert_allclose(loss_of(*flat, layout), loss_of(true, predicted, layout), rtol=1e-4)


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="uses TensorFlow's tape")
@pytest.mark.parametrize("points", LAYOUTS)
def test_gradients_are_finite_where_neighbours_coincide(points):
    import tensorflow as tf

    layout = LAYOUTS[points]
    true = tf.Variable(tf.zeros((1, 2 * points)))  # every landmark in one place
    predicted = tf.Variable(tf.fill((1, 2 * points), 0.01))
    with tf.GradientTape() as tape:
        value = anisotropic_loss(true, predicted, layout.neighbours, layout.corners)
    assert np.isfinite(value.numpy()).all()
    for slope in tape.gradient(value, [true, predicted]):
        assert np.isfinite(slope.numpy()).all()


def test_every_landmark_of_every_layout_has_one_rule():
    alone = {}
    for points, layout in LAYOUTS.items():
        on = [index for chain in layout.chains for index in chain.indices]
        twice = {index for index in on if on.count(index) > 1}
        assert twice <= set(layout.corners)
        assert len(layout.neighbours) == points
        alone[points] = set(range(points)) - set(on) - set(layout.corners)
    assert alone == {19: {18}, 29: {28}, 68: set(), 98: set()}  # the chin of the sparse layouts


def test_a_landmark_on_two_curves_is_an_error():
    import dataclasses

    layout = dataclasses.replace(LAYOUT_68, chains=(*LAYOUT_68.chains, Chain("again", (0, 1, 2))))
    with pytest.raises(ValueError, match="landmark 0 has no .* tangent. Received 2 chains"):
        _ = layout.neighbours


@pytest.mark.parametrize(
    ("options", "message"),
    [({"a": 2, "b": 3}, "a >= b > 0"), ({"b": 0}, "a >= b > 0"), ({"image_size": 0}, "image_size is a side")],
)
def test_freedoms_out_of_range_are_errors(options, message):
    with pytest.raises(ValueError, match=message):
        AnisotropicLoss(LAYOUT_68.neighbours, LAYOUT_68.corners, **options)


def test_the_class_is_the_function_and_survives_its_configuration():
    true, predicted = random_faces(LAYOUT_29)
    loss = AnisotropicLoss(LAYOUT_29.neighbours, LAYOUT_29.corners, a=9, b=2)
    again = keras.losses.deserialize(keras.losses.serialize(loss))
    expected = loss_of(true, predicted, LAYOUT_29, a=9, b=2).mean()
    assert float(loss(true, predicted)) == pytest.approx(expected, rel=1e-5)
    assert float(again(true, predicted)) == pytest.approx(expected, rel=1e-5)


def test_the_row_has_the_published_freedoms_or_those_asked_for(prepared_300w):
    def freedoms(**options):
        loss = METHODS["anisotropic"].loss(prepared_300w, get_dataset("300W"), "square", **options)
        return loss.constants["a"], loss.constants["b"]

    assert freedoms() == (5, 3)
    assert freedoms(a=9.0, b=2.0) == (9, 2)
