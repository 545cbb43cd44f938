"""Whatever is wrong with one item becomes its dead letter, and its neighbours are predicted: with real models.

Two jobs over the shipped definition: every kind of image a folder may hold, and every way a number can be wrong.
"""

import base64
import io
import json
import shutil
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from fanwise.storage import Body, FolderBackend, ObjectInfo
from fanwise_cli import bundles
from jobs import INPUT, MODELS, JobCloud, JobResults

CONTRACT = {
    "name": "digits",
    "inputs": {"pixels": {"kind": "image", "height": 8, "width": 8, "channels": 1, "scale": [0, 1]}},
    "outputs": {"output_0": {"as": "scores"}},
}
RANDOM = np.random.default_rng(5)
GREY, FIRST, UPRIGHT, UPPER = RANDOM.integers(0, 256, (4, 8, 8), np.uint8)
COLOURS = Image.fromarray(RANDOM.integers(0, 256, (12, 10, 3), np.uint8))


class Guarded(FolderBackend):
    """A bucket in which one object may not be read. Modes of files do not stop root."""

    def read(self, key: str, start: int, end: int | None, pin: ObjectInfo | None) -> Body:
        if key == "forbidden.png":
            raise PermissionError("access denied")
        return super().read(key, start, end, pin)


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def huge_png() -> bytes:
    """A small file, whose header says 100,000 by 100,000."""
    data = encoded(Image.new("L", (1, 1)), "PNG")
    size = (100_000).to_bytes(4)
    header = data[12:16] + size + size + data[24:29]
    return data[:12] + header + zlib.crc32(header).to_bytes(4) + data[33:]


def turned() -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = 6  # a camera held upright
    return exif


JPEG = encoded(COLOURS.resize((200, 200)), "JPEG")
SIXTEEN = (UPPER.astype(np.uint16) << 8) + RANDOM.integers(0, 256, (8, 8), np.uint16)
CMYK = encoded(COLOURS.convert("CMYK"), "JPEG")

# What is decided to be readable, and the plain image that it counts as.
READABLE = {
    "animated.gif": (
        encoded(
            Image.fromarray(FIRST), "GIF", save_all=True, append_images=[Image.new("L", (8, 8))], duration=10
        ),
        Image.fromarray(FIRST),  # its first frame
    ),
    "cmyk.jpg": (CMYK, Image.open(io.BytesIO(CMYK)).convert("L")),
    "sixteen.png": (
        encoded(Image.fromarray(SIXTEEN), "PNG"),
        Image.fromarray(UPPER),
    ),  # the upper byte of 16 bits
    "turned.png": (  # as it lies in the file: EXIF is not applied
        encoded(Image.fromarray(UPRIGHT), "PNG", exif=turned()),
        Image.fromarray(UPRIGHT),
    ),
}
BROKEN = {
    "truncated.jpg": JPEG[: len(JPEG) // 2],
    "huge.png": huge_png(),
    "text.png": b"this is not an image",
    "empty.png": b"",
    "float.tiff": encoded(Image.fromarray(RANDOM.random((8, 8), np.float32)), "TIFF"),
    "forbidden.png": encoded(Image.fromarray(GREY), "PNG"),
}
# item → stage, error and what the message says; None: it is predicted
IMAGES: list[tuple[str, tuple[str, str, str] | None]] = [
    *[(json.dumps({"uri": name}), None) for name in READABLE],
    *[(json.dumps({"uri": f"plain/{name}"}), None) for name in READABLE],
    (
        json.dumps({"uri": "truncated.jpg"}),
        ("decode", "UndecodableImage", "image file is truncated"),
    ),
    (
        json.dumps({"uri": "huge.png"}),
        ("decode", "ImageTooLarge", "10,000,000,000 pixels; at most 67,108,864"),
    ),
    (json.dumps({"uri": "text.png"}), ("decode", "UndecodableImage", "not an image of a known format")),
    (json.dumps({"uri": "empty.png"}), ("decode", "UndecodableImage", "the image is empty (0 bytes)")),
    (json.dumps({"uri": "float.tiff"}), ("decode", "UndecodableImage", "32-bit pixels")),
    (json.dumps({"uri": "missing.png"}), ("fetch", "NotFound", f"s3://{INPUT}/missing.png: no such object")),
    (
        json.dumps({"uri": "forbidden.png"}),
        ("fetch", "Forbidden", f"s3://{INPUT}/forbidden.png: access denied"),
    ),
    (json.dumps({"uri": f"s3://{MODELS}/x.png"}), ("parse", "BadUri", "outside of what this job may read")),
    (json.dumps({"uri": "http://169.254.169.254/"}), ("parse", "BadUri", "neither s3:// nor relative")),
    (json.dumps({"uri": "%2e%2e/x.png"}), ("parse", "BadUri", "a '..' part to whoever decodes")),
    (json.dumps({"uri": "link.png"}), ("parse", "BadUri", "leads out of the mounted folder")),
    (
        json.dumps({"inputs": {"pixels": "file:///etc/passwd"}}),
        ("parse", "BadUri", "neither s3:// nor relative"),
    ),
    (json.dumps({"inputs": {"pixels": 3}}), ("parse", "BadUri", "an image is given as a URI or as data:")),
    (
        json.dumps({"inputs": {"pixels": "data:;base64,?"}}),
        ("decode", "UndecodableImage", "not base64"),
    ),
    (json.dumps({"inputs": {"other": 1}}), ("shape", "MissingInput", 'neither "uri" nor')),
    ('{"uri": "plain/cmyk.jpg"', ("read", "NotJson", "the line is not JSON")),
    ('["plain/cmyk.jpg"]', ("read", "NotAnObject", "no object")),
    (json.dumps({"id": "last", "uri": "plain/cmyk.jpg"}), None),
]

ODD: dict[str, Any] = {
    "whole": [1, 2],
    "half": 1,
    "brain": [1, 2],
    "flag": True,
    "word": "a",
    "open": [1, 2],
}
NUMBERS: list[tuple[str, tuple[str, str, str] | None]] = [
    (json.dumps({"inputs": ODD}), None),
    (json.dumps({"inputs": ODD | {"whole": [1, 2, 3]}}), ("shape", "ShapeMismatch", "'whole'")),
    (json.dumps({"inputs": ODD | {"half": "1"}}), ("shape", "NotANumber", "'half'")),
    (json.dumps({"inputs": ODD | {"whole": [1, 2**40]}}), ("shape", "OutOfRange", "'whole'")),
    (json.dumps({"inputs": ODD | {"word": 7}}), ("shape", "NotText", "'word'")),
    (json.dumps({"inputs": ODD | {"half": float("nan")}}), ("read", "NotJson", "the line is not JSON")),
    (
        json.dumps({"inputs": ODD}).replace('"half": 1', '"half": 1e999'),
        ("shape", "OutOfRange", "beyond float64"),
    ),
    (json.dumps({"inputs": ODD | {"half": 1e6}}), ("shape", "NotFinite", "'half'")),  # infinite as float16
    (json.dumps({"inputs": ODD | {"half": -1}}), ("result", "NonFiniteResult", "'logarithm' holds NaN")),
    (
        json.dumps({"inputs": ODD | {"half": 0}}),
        ("result", "NonFiniteResult", "'logarithm' holds NaN or"),
    ),
    (
        json.dumps({"inputs": ODD | {"whole": [1, -2]}}),
        ("predict", "PredictionFailed", "the model failed on this item"),
    ),
    (json.dumps({"inputs": {**ODD, "open": None}}), ("shape", "NotANumber", "'open'")),
    (json.dumps({"inputs": {"half": 1}}), ("shape", "MissingInput", "the item has no value")),
    (json.dumps({"id": "last", "inputs": ODD}), None),
]


def cloud_with(model: Path, folder: Path, cache: Path) -> tuple[JobCloud, str]:
    """A cloud with a published model, whose input bucket is `folder/input`."""
    (folder / "models").mkdir()
    (folder / "input").mkdir(exist_ok=True)
    reference = bundles.publish(bundles.prepare(model, cache / "bundles"), folder / "models")
    cloud = JobCloud(folders={INPUT: folder / "input", MODELS: folder / "models"}, bundles=folder / "kept")
    cloud.storage._backends[INPUT] = Guarded(folder / "input", writable=True)
    return cloud, reference


@pytest.fixture(scope="module")
def images(
    made_models: Path, cache_dir: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[JobResults]:
    """A job over all kinds of images, in entries of three."""
    folder = tmp_path_factory.mktemp("images")
    (folder / "given").mkdir()
    shutil.copy(made_models / "digits.keras", folder / "given")
    (folder / "given/model.json").write_text(json.dumps(CONTRACT))
    (folder / "input/plain").mkdir(parents=True)
    for name, (data, plain) in READABLE.items():
        (folder / "input" / name).write_bytes(data)
        (folder / "input/plain" / name).write_bytes(encoded(plain, "PNG"))
    for name, data in BROKEN.items():
        (folder / "input" / name).write_bytes(data)
    (folder / "outside.png").write_bytes(encoded(Image.fromarray(GREY), "PNG"))
    (folder / "input/link.png").symlink_to(folder / "outside.png")
    cloud, reference = cloud_with(folder / "given", folder, cache_dir)
    yield job_over(cloud, reference, IMAGES)
    cloud.close()


@pytest.fixture(scope="module")
def numbers(
    made_models: Path, cache_dir: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[JobResults]:
    """A job over items that are wrong in every way, of a model with every family of dtypes."""
    folder = tmp_path_factory.mktemp("numbers")
    shutil.copytree(made_models / "odd", folder / "odd/saved_model")
    (folder / "odd/model.json").write_text('{"outputs": {"sizes": {"drop": true}}}')
    cloud, reference = cloud_with(folder / "odd", folder, cache_dir)
    yield job_over(cloud, reference, NUMBERS)
    cloud.close()


def job_over(cloud: JobCloud, model: str, items: list[tuple[str, Any]]) -> JobResults:
    uri = cloud.put_items("items.jsonl", "\n".join(line for line, _ in items).encode())
    execution = cloud.run(cloud.start({"items": uri, "model": model, "batch_size": 3}))
    assert execution.status == "SUCCEEDED", execution.cause
    return JobResults(cloud, execution.output["job_id"])


@pytest.mark.parametrize(("kind", "items"), [("images", IMAGES), ("numbers", NUMBERS)])
def test_each_bad_item_is_a_dead_letter_and_all_others_are_predicted(
    kind: str, items: list[tuple[str, tuple[str, str, str] | None]], request: pytest.FixtureRequest
) -> None:
    results: JobResults = request.getfixturevalue(kind)
    good = {index for index, (_, failure) in enumerate(items) if failure is None}
    assert results.predictions.keys() == good
    assert results.failures.keys() == set(range(len(items))) - good
    assert results.summary["items"]["missing"] == 0
    for index, row in results.failures.items():
        line, expected = items[index]
        assert expected is not None
        failure = row["failure"]
        assert (failure["stage"], failure["error"]) == expected[:2], (line, failure)
        assert expected[2] in failure["message"], line
        assert (failure["attempts"], failure["line"]) == (1, index + 1)


@pytest.mark.parametrize("name", READABLE)
def test_what_is_decided_to_be_readable_counts_as_a_plain_image(images: JobResults, name: str) -> None:
    rows = images.predictions.values()
    scores = {row["item"]["uri"]: row["prediction"]["scores"] for row in rows if row["id"] != "last"}
    assert scores[name] == scores[f"plain/{name}"]
    assert sum(other == scores[name] for other in scores.values()) == 2


def test_a_dead_letter_has_its_item_as_it_came(images: JobResults) -> None:
    payload = base64.b64encode(b"x").decode()
    assert payload not in json.dumps(images.summary)
    rows = {row["failure"]["error"]: row for row in images.failures.values()}
    assert rows["NotJson"]["raw"] == '{"uri": "plain/cmyk.jpg"'
    assert rows["Forbidden"]["uri"] == f"s3://{INPUT}/forbidden.png"
    assert rows["MissingInput"]["inputs"] == {"other": 1}
