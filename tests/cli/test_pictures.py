"""Pictures: the same figure is the same file, of the kind that its name says."""

from pathlib import Path
from xml.etree import ElementTree

import pytest

from fanwise.errors import InputError
from fanwise_cli.pictures import check_picture, figure, save


def draw(path: Path) -> bytes:
    drawn = figure(4, 3)
    axes = drawn.subplots()
    axes.plot([0, 1, 2], [1, 3, 2], label="one")
    axes.legend()
    save(drawn, path)
    return path.read_bytes()


def test_an_svg_is_the_same_every_time(tmp_path: Path) -> None:
    first, second = draw(tmp_path / "one.svg"), draw(tmp_path / "two.svg")
    assert first == second
    assert ElementTree.fromstring(first).tag == "{http://www.w3.org/2000/svg}svg"  # noqa: S314 - our own
    assert b"dc:date" not in first


def test_a_png_is_one(tmp_path: Path) -> None:
    from PIL import Image

    assert draw(tmp_path / "one.PNG").startswith(b"\x89PNG\r\n")
    with Image.open(tmp_path / "one.PNG") as image:
        assert image.size == (4 * 150, 3 * 150)


@pytest.mark.parametrize("name", ["one.pdf", "one", "svg"])
def test_another_kind_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match=r"pictures are \.svg or \.png"):
        check_picture(tmp_path / name)


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no folder"):
        check_picture(tmp_path / "nowhere/one.svg")
