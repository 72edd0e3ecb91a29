"""Image files: formats that are read, files that are refused, names in errors."""

import cv2
import numpy as np
import pytest

from utils.image_files import decode_image, read_image, write_image


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_pictures_are_written_and_read(suffix, tmp_path):
    image = np.zeros((20, 30, 3), np.uint8)
    image[:, :, 0] = 200  # red
    write_image(tmp_path / f"a{suffix}", image)
    np.testing.assert_allclose(read_image(tmp_path / f"a{suffix}").astype(int), image, atol=3)
    assert [path.name for path in tmp_path.iterdir()] == [f"a{suffix}"]


def test_grey_pictures_become_rgb(tmp_path):
    cv2.imwrite(str(tmp_path / "grey.png"), np.full((4, 5), 77, np.uint8))
    assert read_image(tmp_path / "grey.png").shape == (4, 5, 3)


@pytest.mark.parametrize("content", [b"", b"no picture at all", b"\xff\xd8\xff\xe0 cut"])
def test_unreadable_pictures_are_named(content, tmp_path):
    (tmp_path / "bad.jpg").write_bytes(content)
    with pytest.raises(ValueError, match="bad.jpg"):
        read_image(tmp_path / "bad.jpg")


def encoded(progressive=0):
    noise = np.random.default_rng(0).integers(0, 255, (99, 99, 3), dtype=np.uint8)
    return cv2.imencode(".jpg", noise, [cv2.IMWRITE_JPEG_PROGRESSIVE, progressive])[1].tobytes()


@pytest.mark.parametrize("progressive", [0, 1])
def test_what_follows_a_jpeg_does_not_matter(progressive):
    """A phone's motion photo has a video there, which holds any bytes; fill bytes separate segments."""
    complete = encoded(progressive)
    filled = complete[:2] + b"\xff\xff" + complete[2:]
    for data in (complete, complete + b"\xff\xda\xff\xda no end", complete + complete[:200], filled):
        assert decode_image(data, "x.jpg").shape == (99, 99, 3)


@pytest.mark.parametrize("progressive", [0, 1])
def test_a_whole_preview_does_not_make_a_cut_jpeg_whole(progressive):
    preview = encoded()
    segment = b"\xff\xe1" + (len(preview) + 2).to_bytes(2, "big") + preview
    complete = encoded(progressive)
    data = complete[:2] + segment + complete[2:]
    assert decode_image(data, "x.jpg").shape == (99, 99, 3)
    for cut in (len(data) - 2, len(data) - len(complete) // 2, len(segment) + 10, 1000, 21, 20, 3, 2):
        with pytest.raises(ValueError, match="x.jpg is a truncated JPEG"):
            decode_image(data[:cut], "x.jpg")


def test_a_truncated_jpeg_is_an_error(tmp_path):
    complete = encoded()
    (tmp_path / "cut.jpg").write_bytes(complete[: len(complete) // 2])
    with pytest.raises(ValueError, match="cut.jpg is a truncated JPEG"):
        read_image(tmp_path / "cut.jpg")
