"""The table of data sets: parts, official counts, subsets, normaliser, layout, default recipe."""

import types
from dataclasses import dataclass

from config import DatasetName
from face_datasets.layouts import LAYOUT_19, LAYOUT_29, LAYOUT_68, LAYOUT_98, LAYOUT_194, LAYOUT_FRL, Layout

EVALUATED_SPLITS = ("test", "private", "validation")
VALIDATION_FRACTION = 0.2  # of a part that is held out at most, where the part is incomplete
MIN_RENDER_SIZE = 32  # pixels
SYNTHETIC_SEEDS = types.MappingProxyType(
    {"train": 0, "test": 1_000_000_000}
)  # of the first rendered face of each split


def truth_file(split: str) -> str:
    """Return the name of the file with the true landmarks of a prepared split, as metrics.py reads it."""
    return f"truth_{split}.json"


@dataclass(frozen=True)
class Part:
    """One part of a data set as it is distributed.

    Args:
        path: folder or file below the set's root.
        split: "train", "test" or "private".
        count: official number of faces.
        subset: the test subset that it forms, or "".
        validation: number of its faces that are held out for validation.
        extra: whether it is read with --extra-parts only.
        section: which part of the file it is, where one file holds several.
        clips: whether its pictures are video frames, CLIP_NUMBER; those of one clip stay on one side of every split.
    """

    path: str
    split: str
    count: int
    subset: str = ""
    validation: int = 0
    extra: bool = False
    section: str = ""
    clips: bool = False

    @property
    def name(self) -> str:
        """Name of the part: its path, and its section if it has one."""
        return f"{self.path}:{self.section}" if self.section else self.path


@dataclass(frozen=True)
class Dataset:
    """One data set.

    Args:
        name: of its folder below the data root.
        title: its name in print and on the command line.
        layout: of its landmarks.
        reader: of its files, a key of readers.READERS.
        parts: as it is distributed.
        subsets: evaluated split -> subset -> official number of faces; "full" is every face of the split.
        normaliser: of its main NME.
        recipe: default recipe of its trainings.
        render_size: side of its pictures in pixels if the project renders them, else 0.
        pose_mode: index of the shape mode that turns the head to the side, for pose balancing.
        terms: of its licence.
    """

    name: DatasetName
    title: str
    layout: Layout
    reader: str
    parts: tuple[Part, ...]
    subsets: dict[str, dict[str, int]]
    normaliser: str = "inter-ocular"
    recipe: str = "faces"
    render_size: int = 0
    pose_mode: int = 0
    terms: str = "research use"

    @property
    def outputs(self) -> int:
        """Number of outputs of a network: x and y of every landmark."""
        return 2 * self.layout.points

    @property
    def rendered(self) -> bool:
        """Whether the project renders its pictures."""
        return bool(self.render_size)


_WFLW_LISTS = "WFLW_annotations/list_98pt_rect_attr_train_test"
DATASETS = {
    dataset.name: dataset
    for dataset in (
        Dataset(
            DatasetName.w300,
            "300W",
            LAYOUT_68,
            reader="pts",
            parts=(
                Part("afw", "train", 337),
                Part("helen/trainset", "train", 2000, validation=150),
                Part("lfpw/trainset", "train", 811),
                Part("helen_recovered", "train", 963, extra=True),
                Part("helen/testset", "test", 330, "common"),
                Part("lfpw/testset", "test", 224, "common"),
                Part("ibug", "test", 135, "challenging"),
                Part("01_Indoor", "private", 300, "indoor"),
                Part("02_Outdoor", "private", 300, "outdoor"),
            ),
            subsets={
                "test": {"full": 689, "common": 554, "challenging": 135},
                "private": {"full": 600, "private": 600, "indoor": 300, "outdoor": 300},
            },
        ),
        Dataset(
            DatasetName.cofw,
            "COFW",
            LAYOUT_29,
            reader="cofw",
            parts=(
                Part("COFW_train_color.mat", "train", 1345, validation=100),
                Part("COFW_test_color.mat", "test", 507),
            ),
            subsets={"test": {"full": 507}},
        ),
        Dataset(
            DatasetName.cofw68,
            "COFW-68",
            LAYOUT_68,
            reader="cofw68",
            parts=(Part("COFW_test_color.mat", "test", 507),),
            subsets={"test": {"full": 507}},
        ),
        Dataset(
            DatasetName.wflw,
            "WFLW",
            LAYOUT_98,
            reader="wflw",
            parts=(
                Part(f"{_WFLW_LISTS}/list_98pt_rect_attr_train.txt", "train", 7500, validation=500),
                Part(f"{_WFLW_LISTS}/list_98pt_rect_attr_test.txt", "test", 2500),
            ),
            subsets={
                "test": {
                    "full": 2500,
                    "pose": 326,
                    "expression": 314,
                    "illumination": 698,
                    "make-up": 206,
                    "occlusion": 736,
                    "blur": 773,
                }
            },
        ),
        Dataset(
            DatasetName.aflw,
            "AFLW",
            LAYOUT_19,
            reader="aflw",
            parts=(
                Part("AFLWinfo_release.mat", "train", 20000, validation=500, section="train"),
                Part("AFLWinfo_release.mat", "test", 4386, section="test"),
            ),
            subsets={"test": {"full": 4386, "frontal": 1314}},
            normaliser="box",
            pose_mode=1,
        ),
        Dataset(
            DatasetName.helen194,
            "HELEN-194",
            LAYOUT_194,
            reader="helen194",
            parts=(Part("annotation", "test", 330),),
            subsets={"test": {"full": 330}},
            normaliser="landmark-box",
        ),
        Dataset(
            DatasetName.frl,
            "FRL",
            LAYOUT_FRL,
            reader="tem",
            parts=(Part("*.tem", "test", 102),),
            subsets={"test": {"full": 102}},
        ),
        Dataset(
            DatasetName.synthetic,
            "synthetic",
            LAYOUT_68,
            reader="synthetic",
            parts=(
                Part("train", "train", 2500, validation=150),
                Part("test", "test", 500),
            ),
            subsets={
                "test": {
                    "full": 500,
                    "pose": 93,
                    "expression": 206,
                    "occlusion": 109,
                    "illumination": 250,
                    "make-up": 91,
                    "blur": 140,
                }
            },
            recipe="quick",
            render_size=128,
            terms="made by this project, Apache-2.0",
        ),
        Dataset(  # automatic landmarks: for pre-training, never for evaluation
            DatasetName.youtube,
            "YouTube-Faces",
            LAYOUT_68,
            reader="pts",
            parts=(Part("youtube_faces", "train", 4232, validation=150, clips=True),),
            subsets={},
        ),
    )
}
TITLES = ", ".join(dataset.title for dataset in DATASETS.values())


def get_dataset(name: "DatasetName | str") -> Dataset:
    """Return the row of a data set, by member, folder name or printed name ("300W").

    Raises:
        ValueError: no such data set.
    """
    for dataset in DATASETS.values():
        if name in (dataset.name, dataset.title):
            return dataset
    raise ValueError(f"unknown data set. Received {name!r}; known: {TITLES}")
