"""What everybody does with an image, fanwise aside: decode and resize it with Pillow. And the files."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

SIDE_PX = 224


def image_files(folder: Path, count: int) -> list[Path]:
    """The first `count` images, in the order of the items."""
    return sorted((folder / "img").glob("*.jpg"))[:count]


def pixels(path: Path) -> npt.NDArray[np.float32]:
    """float32 (224, 224, 3), -1 to 1."""
    image = Image.open(path).convert("RGB").resize((SIDE_PX, SIDE_PX), Image.Resampling.BILINEAR)
    return np.asarray(image, np.float32) / 127.5 - 1
