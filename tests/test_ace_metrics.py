"""NME^AC of ACE-Net, on arrays and on files."""

import json

import numpy as np
import pytest

from ace_net import metrics
from ace_net.face_outlines import rendered_outline
from ace_net.metrics import NAMES, evaluate_outlines, outline_nme, outline_table, point_errors
from ace_net.outline_files import Outline
from ace_net.outlines import to_entry
from config import ANCHORS, CONTOURS
from face_datasets.catalogue import get_dataset


def outline(anchors: dict, contours: dict) -> Outline:
    points = np.array([anchors.get(name, (np.nan, np.nan)) for name in ANCHORS], float)
    return Outline(points, tuple(np.array(contours.get(n, []), float).reshape(-1, 2) for n in CONTOURS))


def errors_by_name(found: Outline, truth: Outline) -> dict:
    errors = point_errors([found], [truth])
    return {name: errors.error[errors.contour == i].tolist() for i, name in enumerate(NAMES) if i in errors.contour}


def test_nme_ac_by_hand():
    eyes = {"left eye outer corner": (0, 0), "right eye outer corner": (100, 0)}
    chin = {"chin boundary": [(0, 50), (50, 100), (100, 50)]}
    truth = outline(eyes, chin)
    found = outline({**eyes, "left eye outer corner": (3, 4)}, {"chin boundary": [(-10, 48), (110, 48)]})
    errors = errors_by_name(found, truth)
    assert errors["left eye outer corner"] == [5.0]
    assert errors["chin boundary"] == [2.0, 52.0, 2.0]
    evaluation, nmes = evaluate_outlines([found, truth], [truth, truth], get_dataset("FRL"), [(), ("pose",)])
    assert nmes.tolist() == [(5 + 0 + 2 + 52 + 2) / 5, 0.0]
    assert evaluation["parts"] == {"eyes": 1.25, "chin": pytest.approx(28 / 3)}
    full = evaluation["subsets"]["full"]
    assert full["auc@6"] == 0.5 and full["share@1.25"] == 0.5 and full["n"] == 2 and full["missing"] == 0
    assert evaluation["subsets"]["pose"]["nme"] == 0


def test_a_missing_contour_counts_the_whole_normaliser():
    eyes = {"left eye outer corner": (0, 0), "right eye outer corner": (80, 0)}
    truth = outline(eyes, {"chin boundary": [(10, 50), (50, 90)]})
    found = outline({"right eye outer corner": (80, 4)}, {})
    evaluation, nmes = evaluate_outlines([found], [truth], get_dataset("FRL"), [()])
    assert nmes.tolist() == [(5 + 3 * 100) / 4]
    full = evaluation["subsets"]["full"]
    assert (full["missing"], full["nme_found"]) == (0.75, 5.0)
    nothing, _ = evaluate_outlines([outline({}, {})], [truth], get_dataset("FRL"), [()])
    assert (nothing["subsets"]["full"]["missing"], nothing["subsets"]["full"]["nme_found"]) == (1.0, None)
    assert outline_table(nothing).splitlines()[2].split()[-2:] == ["1.0000", "-"]


def test_a_point_that_is_an_anchor_counts_once():
    eyes = {"left eye outer corner": (0, 0), "right eye outer corner": (100, 0)}
    lid = {"left eye upper lid": [(0, 0), (10, -5), (20, 0)]}
    errors = errors_by_name(outline(eyes, lid), outline(eyes, lid))
    assert {name: len(values) for name, values in errors.items()} == {**dict.fromkeys(eyes, 1), "left eye upper lid": 2}


def test_a_truth_without_eyes_is_an_error():
    with pytest.raises(ValueError, match="outer corners of the eyes"):
        point_errors([outline({}, {})], [outline({}, {"chin boundary": [(0, 0)]})])


def test_faces_are_evaluated_apart():
    """Rows of the table belong to their face, whatever else is missing."""
    truth = np.stack([rendered_outline(seed) for seed in range(100, 103)]) * 256
    found = truth + np.array([0, 1, 2])[:, None, None]
    found[2, 12:] = np.nan
    alone = [outline_nme(found[i : i + 1], truth[i : i + 1])[0] for i in range(3)]
    assert outline_nme(found, truth).tolist() == alone and alone[0] == 0


def test_files_of_contours_are_scored(tmp_path, capsys):
    outlines = np.stack([rendered_outline(seed) for seed in range(100, 103)]) * 256 - 0.5
    entries = [{"image": f"{i}.jpg", **to_entry(face, 4)} for i, face in enumerate(outlines)]
    truth = tmp_path / "truth.json"
    truth.write_text(json.dumps(entries))
    assert metrics.main([str(truth), str(truth), "--dataset", "FRL", "--out", str(tmp_path / "metrics.json")]) == 0
    assert "NME^AC" in capsys.readouterr().out
    assert json.loads((tmp_path / "metrics.json").read_text())["subsets"]["full"]["nme"] == 0
    (tmp_path / "less.json").write_text(json.dumps(entries[:2]))
    assert metrics.main([str(tmp_path / "less.json"), str(truth), "--dataset", "FRL"]) == 1
    assert "lacks 1 faces" in capsys.readouterr().err
    entries[0]["contours"]["beard"] = []
    truth.write_text(json.dumps(entries))
    assert metrics.main([str(truth), str(truth), "--dataset", "FRL"]) == 1
    assert "beard" in capsys.readouterr().err
