"""Annotated faces in the files that data sets are distributed in: one writer for each format."""

import cv2
import h5py
import numpy as np
from scipy.io import savemat

from face_datasets.catalogue import get_dataset
from synthetic_faces import render_face

WFLW = get_dataset("WFLW")


def ramp(points, step=3.0):
    """Landmarks (points, 2) in rising order."""
    return np.arange(2 * points, dtype=float).reshape(points, 2) * step / 2 + 10


def write_picture(path, image=None, width=40, height=30):
    """An RGB image, by default of one colour."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = np.full((height, width, 3), (200, 20, 10), np.uint8) if image is None else image
    cv2.imwrite(str(path), cv2.cvtColor(image, cv2.COLOR_RGB2BGR))


# ------------------------------------------------------------------------------------------------------- 300W, COFW-68


def pts_text(landmarks, decimals=3):
    """The text of a .pts file; `landmarks` count from 1."""
    rows = [f"{x:.{decimals}f} {y:.{decimals}f}" for x, y in landmarks]
    return "\n".join(["version: 1", f"n_points:  {len(rows)}", "{", *rows, "}", ""])


def write_face(folder, stem, image, landmarks, decimals=3):
    """A face as 300W stores one: NAME.jpg beside NAME.pts; `landmarks` count from 0."""
    write_picture(folder / f"{stem}.jpg", image)
    (folder / f"{stem}.pts").write_text(pts_text(landmarks + 1, decimals))


def write_rendered_face(folder, stem, seed, size=120):
    """A rendered face as 300W stores one."""
    face = render_face(seed, size)
    write_face(folder, stem, face.image, face.landmarks())


def write_points_mat(path, landmarks, occluded):
    """The annotation of a face of COFW-68."""
    path.parent.mkdir(parents=True, exist_ok=True)
    savemat(path, {"Points": landmarks, "Occ": np.reshape(occluded, (-1, 1))})


# ---------------------------------------------------------------------------------------------------------------- COFW


def write_cofw(path, images, landmarks, occluded, boxes, end="T"):
    """COFW's MATLAB v7.3 file: MATLAB's column order makes every array come out transposed in HDF5."""
    rows = [
        np.concatenate([points[:, 0], points[:, 1], flags]) for points, flags in zip(landmarks, occluded, strict=True)
    ]
    with h5py.File(path, "w") as file:
        references = np.empty((1, len(images)), h5py.ref_dtype)
        for number, image in enumerate(images):
            references[0, number] = file.create_dataset(f"#refs#/{number}", data=image.T).ref
        file.create_dataset(f"Is{end}", data=references)
        file[f"phis{end}"] = np.array(rows).T
        file[f"bboxes{end}"] = np.array(boxes, float).T


# ---------------------------------------------------------------------------------------------------------------- WFLW


def wflw_line(landmarks, attributes, name, box=(1, 2, 30, 40)):
    """A face in a list of WFLW."""
    return " ".join(map(str, [*np.ravel(landmarks), *box, *attributes, name]))


def write_wflw(root, lines, number=1):
    """The list of a part of WFLW, with the pictures a b.jpg and c.jpg."""
    path = root / WFLW.parts[number].path
    path.parent.mkdir(parents=True)
    path.write_text("\n".join(lines) + "\n")
    for name in ("a b.jpg", "c.jpg"):
        write_picture(root / "WFLW_images" / "0--Parade" / name)


# ---------------------------------------------------------------------------------------------------------------- AFLW


def aflw_variables(names, landmarks, boxes, visible, order):
    """The variables of AFLWinfo_release.mat.

    Args: names of the pictures; landmarks (faces, 19, 2); boxes (faces, 4) of left, right, top, bottom; visible
    (faces, 19), bool; order (faces,): numbers of the faces from 1, those of the training faces first.
    """
    table = np.empty((len(names), 1), object)
    table[:, 0] = names
    return {
        "nameList": table,
        "data": np.concatenate([landmarks[..., 0], landmarks[..., 1]], axis=1),
        "bbox": np.asarray(boxes, float),
        "mask_new": np.asarray(visible, np.uint8),
        "ra": np.asarray(order, float)[None],
    }


def write_aflw(path, variables, compressed=False):
    """AFLWinfo_release.mat."""
    path.parent.mkdir(parents=True, exist_ok=True)
    savemat(path, variables, do_compression=compressed)


# ----------------------------------------------------------------------------------------------------------------- FRL


def tem_text(landmarks, end="1\n0\n2\n0 0\n"):
    """The text of a template of FRL; `end` has its lines."""
    rows = "\n".join(f"{x:.3f}\t{y:.3f}" for x, y in landmarks)
    return f"{len(landmarks)}\n{rows}\n{end}"
