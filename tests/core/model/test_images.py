"""Images into tensors: Pillow's pixels, every mode, and files that are broken or hostile."""

import io
import re
import struct
import zlib
from collections.abc import Callable
from random import Random
from typing import Any

import numpy as np
import pytest
import simplejpeg
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from fanwise.errors import ImageTooLarge, ItemError, UndecodableImage
from fanwise.limits import MAX_IMAGE_BYTES, MAX_IMAGE_PIXELS
from fanwise.model import images
from fanwise.model.contract import ImageInput
from fanwise.model.images import decode_image, image_reader
from fanwise.model.signature import TensorSpec

RANDOM = np.random.default_rng(3)
COLOURS = RANDOM.integers(0, 256, (9, 7, 3), np.uint8)


def encoded(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def contract(height: int = 9, width: int = 7, channels: int = 3, **more: Any) -> ImageInput:
    return ImageInput(height=height, width=width, channels=channels, **more)  # type: ignore[arg-type]


def png(width: int, height: int, rows: bytes = b"") -> bytes:
    """A PNG by hand: what its header says need not be what follows."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("resize", ["nearest", "bilinear", "bicubic", "lanczos"])
def test_the_pixels_are_those_of_the_hand_written_line(resize: str) -> None:
    data = encoded(Image.fromarray(COLOURS), "JPEG")
    by_hand = Image.open(io.BytesIO(data)).convert("RGB").resize((5, 4), images.RESIZE[resize])
    np.testing.assert_array_equal(decode_image(data, contract(4, 5, resize=resize)), np.asarray(by_hand))


def test_an_image_of_the_right_size_is_not_touched() -> None:
    np.testing.assert_array_equal(decode_image(encoded(Image.fromarray(COLOURS)), contract()), COLOURS)


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr"])
def test_every_mode_becomes_what_the_model_takes(mode: str, channels: int) -> None:
    image = Image.fromarray(COLOURS).convert(mode)
    data = encoded(image, "TIFF" if mode in ("CMYK", "YCbCr") else "PNG")
    found = decode_image(data, contract(channels=channels))
    assert found.shape == (9, 7, channels)
    assert found.dtype == np.uint8
    if mode in ("RGB", "RGBA", "P", "CMYK") and channels == 3:
        np.testing.assert_array_equal(found, np.asarray(image.convert("RGB")))
    if mode in ("RGB", "CMYK", "L") and channels == 4:
        assert (found[..., 3] == 255).all()


def test_alpha_is_dropped_and_not_blended() -> None:
    transparent = np.dstack([COLOURS, np.zeros((9, 7), np.uint8)])
    np.testing.assert_array_equal(decode_image(encoded(Image.fromarray(transparent)), contract()), COLOURS)


def test_a_transparent_palette_gives_its_colours() -> None:
    palette = Image.fromarray(COLOURS).quantize(8)
    data = encoded(palette, transparency=bytes([0, 128, 255]))
    np.testing.assert_array_equal(decode_image(data, contract()), palette.convert("RGB"))


def test_sixteen_bit_grey_keeps_its_upper_byte() -> None:
    deep = RANDOM.integers(0, 2**16, (9, 7), np.uint16)
    for kind in ("PNG", "TIFF"):
        found = decode_image(encoded(Image.fromarray(deep), kind), contract(channels=1))
        np.testing.assert_array_equal(found[..., 0], deep >> 8)


@pytest.mark.parametrize("mode", ["I", "F"])
def test_pixels_of_unknown_range_are_refused(mode: str) -> None:
    data = encoded(Image.new(mode, (7, 9)), "TIFF")
    with pytest.raises(
        UndecodableImage, match=f"32-bit pixels .Pillow's mode {mode}., whose range is not known"
    ):
        decode_image(data, contract())


def test_exif_orientation_is_not_applied() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    data = encoded(Image.fromarray(COLOURS), exif=exif)
    np.testing.assert_array_equal(decode_image(data, contract()), COLOURS)


def test_the_first_frame_of_an_animation() -> None:
    first, second = Image.new("RGB", (7, 9), (255, 0, 0)), Image.new("RGB", (7, 9), (0, 255, 0))
    for kind in ("GIF", "TIFF"):
        data = encoded(first, kind, save_all=True, append_images=[second])
        assert decode_image(data, contract())[0, 0].tolist() == [255, 0, 0]


@pytest.mark.parametrize(
    ("dtype", "shape", "scale", "low", "high"),
    [
        ("uint8", (None, 9, 7, 1), None, 0, 255),
        ("float32", (None, 9, 7, 1), None, 0, 255),
        ("float32", (None, 9, 7), (0, 1), 0, 1),
        ("float32", (None, 9, 7, 1), (-1, 1), -1, 1),
        ("float16", (None, None, None, 1), (1, 0), 1, 0),
        ("bfloat16", None, (0, 1), 0, 1),
        ("float64", (None, 9, 7, 1), (0, 1), 0, 1),
    ],
)
def test_values_are_scaled_from_end_to_end(
    dtype: str, shape: Any, scale: Any, low: float, high: float
) -> None:
    grey = np.arange(63, dtype=np.uint8).reshape(9, 7)
    grey[0, 0], grey[0, 1] = 0, 255
    read = image_reader(contract(channels=1, scale=scale), TensorSpec(dtype, shape))
    row = read(encoded(Image.fromarray(grey)))
    assert row.dtype == ("float32" if dtype == "bfloat16" else dtype)
    assert row.shape == ((9, 7) if shape == (None, 9, 7) else (9, 7, 1))
    assert row.flat[0] == low
    assert row.flat[1] == high
    np.testing.assert_allclose(row.reshape(9, 7), low + (high - low) * (grey / 255), atol=1e-3)


def test_a_truncated_image_is_undecodable() -> None:
    data = encoded(Image.fromarray(RANDOM.integers(0, 256, (64, 64, 3), np.uint8)), "JPEG")
    with pytest.raises(UndecodableImage, match="cannot be decoded: image file is truncated"):
        decode_image(data[: len(data) // 2], contract())


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "the image is empty"),
        (b"<html>no image</html>", "not an image of a known format (it begins with 3c 68 74"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not an image of a known format"),
        (png(7, 9), "the image cannot be decoded"),
    ],
)
def test_what_is_not_an_image(data: bytes, message: str) -> None:
    with pytest.raises(UndecodableImage) as refused:
        decode_image(data, contract())
    assert message in str(refused.value)


@pytest.mark.parametrize("side", [8193, 20_000, 2**31 - 1])
def test_too_many_pixels_are_refused_by_the_header_alone(side: int) -> None:
    with pytest.raises(ImageTooLarge) as refused:
        decode_image(png(side, side), contract())
    assert f"{side} by {side} = {side * side:,} pixels; at most {MAX_IMAGE_PIXELS:,}" in str(refused.value)


def test_too_many_bytes() -> None:
    with pytest.raises(ImageTooLarge, match="at most 67,108,864"):
        decode_image(bytes(MAX_IMAGE_BYTES + 1), contract())


GOOD = [
    encoded(Image.fromarray(COLOURS), kind) for kind in ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "PPM")
]


@given(st.sampled_from(GOOD), st.data())
def test_a_damaged_file_is_pixels_or_an_item_error(good: bytes, data: st.DataObject) -> None:
    broken = bytearray(good)
    for position, byte in data.draw(
        st.lists(st.tuples(st.integers(0, len(good) - 1), st.integers(0, 255)), max_size=4)
    ):
        broken[position] = byte
    end = data.draw(st.integers(0, len(good)))
    try:
        assert decode_image(bytes(broken[:end]), contract()).shape == (9, 7, 3)
    except ItemError as error:
        assert error.stage == "decode"


def jpegs() -> list[tuple[str, bytes]]:
    """JPEGs of every usual kind: subsampling, progressive or not, with restart markers, sizes odd and small."""
    made: list[tuple[str, bytes]] = []
    for width, height in ((1, 1), (7, 9), (17, 16), (41, 35)):
        small = RANDOM.integers(0, 256, (height // 3 + 1, width // 3 + 1, 3), np.uint8)
        colours = Image.fromarray(small).resize((width, height), images.RESIZE["bicubic"])
        for how in ({}, {"progressive": True}, {"restart_marker_blocks": 1}, {"quality": 10}):
            for sampling in ("4:4:4", "4:2:2", "4:2:0"):
                data = encoded(colours, "JPEG", subsampling=sampling, **how)
                made.append((f"{width}x{height} {sampling} {how}", data))
            made.append((f"{width}x{height} grey {how}", encoded(colours.convert("L"), "JPEG", **how)))
        for sampling in ("440", "411"):  # which Pillow does not write
            data = simplejpeg.encode_jpeg(np.asarray(colours), colorsubsampling=sampling)
            made.append((f"{width}x{height} {sampling}", data))
    return made


JPEGS = jpegs()


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[bool]]:
    """Whether simplejpeg had no complaint, of each JPEG that it was given since this was asked last."""
    told: list[bool] = []
    decode = images._quick_pixels

    def telling(data: bytes, mode: str) -> Any:
        pixels = decode(data, mode)
        told.append(pixels is not None)
        return pixels

    def asked() -> list[bool]:
        so_far = told.copy()
        told.clear()
        return so_far

    monkeypatch.setattr(images, "_quick_pixels", telling)
    return asked


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_a_jpeg_of_the_models_size_has_pillows_pixels(quick: Callable[[], list[bool]], channels: int) -> None:
    for name, data in JPEGS:
        with Image.open(io.BytesIO(data)) as image:
            expected = np.asarray(image.convert(images.MODES[channels]))
            found = decode_image(data, contract(image.height, image.width, channels))
        np.testing.assert_array_equal(found, expected.reshape(found.shape), err_msg=name)
        assert quick() == [True] * (image.mode == images.MODES[channels]), name


def test_a_jpeg_with_more_around_its_pixels() -> None:
    turned = Image.Exif()
    turned[0x0112] = 6
    whole = encoded(Image.fromarray(COLOURS), "JPEG", quality=100, subsampling=0)
    plain = decode_image(whole, contract())
    for more in (
        {"exif": turned},
        {"icc_profile": bytes(300)},
        {"comment": b"taken by nobody"},
        {"dpi": (3, 3)},
    ):
        data = encoded(Image.fromarray(COLOURS), "JPEG", quality=100, subsampling=0, **more)
        np.testing.assert_array_equal(decode_image(data, contract()), plain)
    for after in (b"\n", bytes(99), whole):
        np.testing.assert_array_equal(decode_image(whole + after, contract()), plain)


@pytest.mark.parametrize(
    "data",
    [
        encoded(Image.fromarray(COLOURS), "JPEG", keep_rgb=True),
        encoded(Image.fromarray(COLOURS).convert("CMYK"), "JPEG"),
        JPEGS[-1][1][:-2] + b"more" + JPEGS[-1][1][-2:],
    ],
    ids=["RGB", "CMYK", "more before its end"],
)
def test_an_unusual_jpeg_is_pillows(quick: Callable[[], list[bool]], data: bytes) -> None:
    with Image.open(io.BytesIO(data)) as image:
        expected = np.asarray(image.convert("RGB"))
        found = decode_image(data, contract(image.height, image.width))
    np.testing.assert_array_equal(found, expected)
    assert not any(quick())


def test_a_damaged_jpeg_is_the_same_pixels_or_refusal_as_by_pillow_alone(
    quick: Callable[[], list[bool]], monkeypatch: pytest.MonkeyPatch
) -> None:
    random = Random(5)
    kinds = [(data, Image.open(io.BytesIO(data))) for _, data in JPEGS]
    damaged = [(data[:end], image) for data, image in kinds[-3:] for end in range(0, len(data), 7)]
    damaged += [(_damaged(random, data), image) for data, image in random.choices(kinds, k=1000)]
    # A size that was damaged is not to cost a second.
    monkeypatch.setattr(images, "MAX_IMAGE_PIXELS", 100_000)

    def outcome(data: bytes, image: Image.Image) -> bytes | str:
        try:
            asked = contract(image.height, image.width, 1 if image.mode == "L" else 3)
            return decode_image(data, asked).tobytes()
        except ItemError as error:
            return re.sub(r"0x\w+", "", str(error))  # where Python has the file that it names

    found = [outcome(*one) for one in damaged]
    of_simplejpeg = quick()
    assert min(of_simplejpeg.count(True), of_simplejpeg.count(False)) > 200
    monkeypatch.setattr(images, "_QUICK", {})
    for one, was in zip(damaged, found, strict=True):
        assert outcome(*one) == was, one[0].hex()
    assert not any(quick())


def _damaged(random: Random, good: bytes) -> bytes:
    """Bytes changed, of the header as often as of what follows; some left out, or more of them."""
    data = bytearray(good)
    end = random.choice((data.find(b"\xff\xda") + 14, len(data)))
    for _ in range(random.randint(0, 3)):
        data[random.randrange(end)] = random.choice((0, 255, random.randrange(256)))
    at = random.randrange(len(data))
    if random.random() < 0.3:
        data[at : at + random.randrange(9)] = random.randbytes(random.randrange(4))
    return bytes(data)


def photograph(width: int, height: int) -> Image.Image:
    """A picture that is neither plain nor noise."""
    small = RANDOM.integers(0, 256, (height // 40 + 2, width // 40 + 2, 3), np.uint8)
    return Image.fromarray(small).resize((width, height), images.RESIZE["bicubic"])


@pytest.mark.parametrize(
    ("size", "target", "decoded"),
    [
        ((640, 480), (64, 48), (80, 60)),  # an eighth: never smaller than that
        ((640, 480), (64, 61), (160, 120)),
        ((641, 481), (64, 48), (81, 61)),
        ((640, 480), (640, 100), (640, 480)),
        ((40, 30), (80, 60), (40, 30)),
    ],
)
@pytest.mark.parametrize("progressive", [False, True])
def test_scaled_decoding_is_of_the_smallest_size_that_is_not_below_the_models(
    size: tuple[int, int], target: tuple[int, int], decoded: tuple[int, int], progressive: bool
) -> None:
    data = encoded(photograph(*size), "JPEG", quality=90, progressive=progressive)
    asked = contract(target[1], target[0], decode="scaled")
    with Image.open(io.BytesIO(data)) as image:
        _, whole = image.draft(None, target) or (None, None)
        assert image.size == decoded
        by_hand = image.convert("RGB").resize(target, images.RESIZE["bilinear"], box=whole)
    found = decode_image(data, asked)
    np.testing.assert_array_equal(found, np.asarray(by_hand))
    np.testing.assert_array_equal(decode_image(data, asked), found)
    exact = decode_image(data, contract(target[1], target[0])).astype(int)
    if decoded == size:
        np.testing.assert_array_equal(found, exact)
    else:
        assert 0 < np.abs(found - exact).mean() < 3


def test_scaled_decoding_is_for_jpegs_alone_and_limits_are_of_the_file() -> None:
    for kind in ("PNG", "WEBP", "TIFF"):
        data = encoded(photograph(128, 96), kind)
        np.testing.assert_array_equal(
            decode_image(data, contract(decode="scaled")), decode_image(data, contract())
        )
    large = bytearray(encoded(photograph(128, 96), "JPEG"))
    frame = large.find(b"\xff\xc0")
    large[frame + 5 : frame + 9] = struct.pack(">HH", 20_000, 20_000)
    with pytest.raises(ImageTooLarge):
        decode_image(bytes(large), contract(decode="scaled"))
