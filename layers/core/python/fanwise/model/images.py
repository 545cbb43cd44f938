"""The bytes of an image → its pixels, as the model's contract asks for them ("decode": "exact").

Exact means Pillow's pixels: what `Image.open(f).convert(mode).resize(size, filter)` gives, which is what most
training code has seen. In particular, as there:

- EXIF orientation is not applied (`tf.io.decode_image` and Keras' loaders do not either);
- of an animation or a multi-page file, the first frame is taken;
- CMYK, YCbCr, palette and grey images become what `channels` asks for: 1 grey, 3 RGB, 4 RGBA. Alpha is dropped,
  not blended over a background, where `channels` is 1 or 3; an image without alpha is opaque where it is 4.

Two cases in which Pillow's conversion would not be what anybody wants: 16-bit grey is brought to 8 bits by its
upper byte (as Pillow does for 16-bit colour; its own conversion of grey clips at 255), and 32-bit integer or
floating-point pixels, whose range nobody knows, are refused.
"""

import io
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
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
            converted = _converted(image, MODES[contract.channels])
        size = (contract.width, contract.height)
        if converted.size != size:
            converted = converted.resize(size, RESIZE[contract.resize])
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
    return image.convert(mode)  # decodes to the end, also where the mode is the same


def _unidentified(data: bytes) -> str:
    if not data:
        return "the image is empty (0 bytes)"
    start = data[:8].hex(" ")
    return f"not an image of a known format (it begins with {start}); known: {', '.join(FORMATS)}"
