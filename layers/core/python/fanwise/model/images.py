"""The bytes of an image → its pixels, as the model's contract asks for them.

`"decode": "exact"` means Pillow's pixels: what `Image.open(f).convert(mode).resize(size, filter)` gives, which is
what most training code has seen. In particular, as there:

- EXIF orientation is not applied (`tf.io.decode_image` and Keras' loaders do not either);
- of an animation or a multi-page file, the first frame is taken;
- CMYK, YCbCr, palette and grey images become what `channels` asks for: 1 grey, 3 RGB, 4 RGBA. Alpha is dropped,
  not blended over a background, where `channels` is 1 or 3; an image without alpha is opaque where it is 4.

Two cases in which Pillow's conversion would not be what anybody wants: 16-bit grey is brought to 8 bits by its
upper byte (as Pillow does for 16-bit colour; its own conversion of grey clips at 255), and 32-bit integer or
floating-point pixels, whose range nobody knows, are refused.

Pillow reads every header, and so decides what is an image. Where a JPEG has the model's size and colours already,
simplejpeg decodes it, which gives the same pixels; what it does not decode without a complaint is Pillow's again.
Measured, at 224x224: 0.31 ms, and 0.37 ms by Pillow. Where Pillow has to resize, its own decoder is as fast, since
simplejpeg's pixels would have to be copied into an image first (320x320: 0.59 to 0.68 ms, and 0.52 ms by Pillow).

`"decode": "scaled"` is Pillow's `draft` before that: a large JPEG is decoded at a half, quarter or eighth of its
size (as the decoder's inverse transform can do it), the smallest that is not below the model's.
"""

import io
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from fanwise.errors import ImageTooLarge, ItemError, UndecodableImage
from fanwise.limits import MAX_IMAGE_BYTES, MAX_IMAGE_PIXELS
from fanwise.model.arrays import numpy_dtype
from fanwise.model.contract import ImageInput
from fanwise.model.signature import TensorSpec

# Raster formats only: EPS would start Ghostscript, and each further parser is one more to attack.
Image.init()  # before threads are about; `formats` of Image.open has to name what is registered
_WANTED = ("JPEG", "MPO", "PNG", "GIF", "BMP", "WEBP", "TIFF", "PPM", "JPEG2000", "AVIF", "ICO")
FORMATS = tuple(name for name in _WANTED if name in Image.OPEN)  # a build of Pillow may lack a codec
MODES = {1: "L", 3: "RGB", 4: "RGBA"}
RESIZE = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}
# By Pillow's mode, simplejpeg's names of a JPEG's own colours and of those that it decodes to.
_QUICK = {"L": ("Gray", "GRAY"), "RGB": ("YCbCr", "RGB")}

# Pillow's own limit only warns, is laxer than ours, and is checked in the same place: before pixels are decoded.
Image.MAX_IMAGE_PIXELS = None
# What is wrong with an image is its dead letter's message, not a line of the log.
warnings.filterwarnings("ignore", module=r"PIL\.")


def decode_image(data: bytes, contract: ImageInput) -> NDArray[np.uint8]:
    """The pixels of an image file: uint8 (height, width, channels).

    Raises `ImageTooLarge` by the header alone, and `UndecodableImage` for what Pillow does not read to its end.
    """
    if len(data) > MAX_IMAGE_BYTES:
        raise ImageTooLarge(f"the image has {len(data):,} bytes; at most {MAX_IMAGE_BYTES:,}")
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            _check_pixels(*image.size)
            size, mode = (contract.width, contract.height), MODES[contract.channels]
            if (image.format, image.size, image.mode) == ("JPEG", size, mode):
                pixels = _quick_pixels(data, mode)
                if pixels is not None:
                    return pixels
            scaled = image.draft(None, size) if contract.decode == "scaled" else None  # of JPEGs alone
            converted = _converted(image, mode)
        if converted.size != size:
            # The whole picture, where the last row or column of the smaller one is only in part of it.
            box = None if scaled is None else scaled[1]
            converted = converted.resize(size, RESIZE[contract.resize], box)
        return np.asarray(converted).reshape(contract.height, contract.width, contract.channels)
    except (ItemError, MemoryError):
        raise
    except UnidentifiedImageError as error:
        raise UndecodableImage(_unidentified(data)) from error
    except Exception as error:  # a parser of a hostile file raises whatever its parsing runs into
        raise UndecodableImage(f"the image cannot be decoded: {error or type(error).__name__}") from error


def image_reader(contract: ImageInput, spec: TensorSpec) -> Callable[[bytes], NDArray[Any]]:
    """A function from the bytes of an image to the row of its input, of the signature's dtype.

    The row is (height, width, channels), or (height, width) where the signature has no channels. With `scale`
    [a, b], 0 becomes a and 255 becomes b exactly; without it values stay 0…255.
    """
    dtype = numpy_dtype(spec.dtype)
    shape: tuple[int, ...] = (contract.height, contract.width, contract.channels)
    if spec.shape is not None and len(spec.shape) == len(shape):
        shape = shape[:2]
    low, high = contract.scale or (0.0, 255.0)
    values = (low + (high - low) * (np.arange(256) / 255)).astype(np.float32).astype(dtype)

    def read(data: bytes) -> NDArray[Any]:
        pixels = decode_image(data, contract).reshape(shape)
        return pixels.astype(dtype) if contract.scale is None else values.take(pixels)

    return read


def _check_pixels(width: int, height: int) -> None:
    if width * height > MAX_IMAGE_PIXELS:
        raise ImageTooLarge(
            f"the image is {width} by {height} = {width * height:,} pixels; at most {MAX_IMAGE_PIXELS:,}"
        )


def _quick_pixels(data: bytes, mode: str) -> NDArray[np.uint8] | None:
    """simplejpeg's pixels, which are Pillow's, of a JPEG in the usual colours; None where it has a complaint."""
    if mode not in _QUICK:
        return None
    own, wanted = _QUICK[mode]
    try:
        if simplejpeg.decode_jpeg_header(data)[2] != own:
            return None
        pixels: NDArray[np.uint8] = simplejpeg.decode_jpeg(data, wanted, strict=True)
    except ValueError:  # of what is broken, or only unusual
        return None
    return pixels


def _converted(image: Image.Image, mode: str) -> Image.Image:
    if image.mode in ("I", "F"):
        raise UndecodableImage(
            f"the image has 32-bit pixels (Pillow's mode {image.mode}), whose range is not known;"
            f" save it with 8 bits"
        )
    if image.mode.startswith("I;16"):
        upper = np.asarray(image).astype(np.uint16) >> 8
        image = Image.fromarray(upper.astype(np.uint8))
    elif image.mode == "P" and "transparency" in image.info:
        image = image.convert("RGBA")  # the colours are the same, and Pillow has no transparency to warn of
    image.load()  # decodes to the end; `convert` would copy where there is nothing to convert
    return image if image.mode == mode else image.convert(mode)


def _unidentified(data: bytes) -> str:
    if not data:
        return "the image is empty (0 bytes)"
    start = data[:8].hex(" ")
    return f"not an image of a known format (it begins with {start}); known: {', '.join(FORMATS)}"
