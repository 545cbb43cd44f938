"""The workload of the bars: seeded MobileNetV2 224, untrained, over JPEGs cut from scikit-learn's two photographs.

Made once: `python -m benchmarks.jpegs.workload FOLDER COUNT`, in a process of its own that imports TensorFlow.
```
FOLDER/img/00000.jpg …   320 by 320, quality 88: crops of 200 to 420 pixels, chosen by a seed
FOLDER/items.jsonl       one item a file
FOLDER/model/            a bundle: saved_model/ and model.json
FOLDER/model.keras, model.tflite   the same model, for those who want it so
```
"""

import json
import shutil
import sys
from pathlib import Path
from typing import Any

from benchmarks.jpegs.pixels import SIDE_PX, image_files, pixels
from benchmarks.processes import run_module

JPEG_SIDE_PX = 320
SEED = 0
CALIBRATION_IMAGES = 32
HEAD_SCALE = 5.0  # best scores of 0.1 to 0.3: a wrong pixel shows, and float32 rounding stays well below 1e-4


def prepare_workload(folder: Path, count: int) -> None:
    """Make the workload unless it is there already, whole or not at all."""
    if len(list(folder.glob("img/*.jpg"))) == count and (folder / "model/model.json").exists():
        return
    making = folder.with_name(f"{folder.name}.making")
    for old in (folder, making):
        shutil.rmtree(old, ignore_errors=True)
    run_module("benchmarks.jpegs.workload", str(making), str(count), variables={"TF_CPP_MIN_LOG_LEVEL": "3"})
    making.rename(folder)


def first_items(folder: Path, count: int) -> Path:
    """An items file of the first `count` items: the workload's own, or one beside it."""
    lines = (folder / "items.jsonl").read_bytes().splitlines(keepends=True)
    if count >= len(lines):
        return folder / "items.jsonl"
    path = folder / f"items-{count}.jsonl"
    if not path.exists():  # the same file: a job has it pinned
        path.write_bytes(b"".join(lines[:count]))
    return path


def write_images(folder: Path, count: int) -> None:
    """Write `img/` and `items.jsonl`."""
    import numpy as np  # noqa: PLC0415 - only the process that makes the workload pays for these
    from PIL import Image  # noqa: PLC0415
    from sklearn.datasets import load_sample_images  # noqa: PLC0415

    photos = [Image.fromarray(array) for array in load_sample_images().images]
    random = np.random.default_rng(SEED)
    (folder / "img").mkdir(parents=True)
    with (folder / "items.jsonl").open("w") as items:
        for index in range(count):
            photo = photos[index % len(photos)]
            side = int(random.integers(200, 420))
            left = int(random.integers(0, photo.width - side))
            top = int(random.integers(0, photo.height - side))
            crop = photo.crop((left, top, left + side, top + side)).resize((JPEG_SIDE_PX, JPEG_SIDE_PX))
            crop.save(folder / f"img/{index:05d}.jpg", quality=88)
            items.write(json.dumps({"id": str(index), "uri": f"img/{index:05d}.jpg"}) + "\n")


def write_model(folder: Path) -> None:
    """Write the bundle `model/`: MobileNetV2 whose scores depend on the pixels, although nobody trained it.

    As Keras initialises it, the signal dies on the way (features of 1e-11) and every image scores 0.001 for all
    labels: anybody's predictions would be equal. So its batch normalisations take their statistics from the first
    images, and its last layer is made decisive. What a prediction costs is the same.
    """
    import keras  # noqa: PLC0415
    import numpy as np  # noqa: PLC0415
    import tensorflow as tf  # noqa: PLC0415

    keras.utils.set_random_seed(SEED)
    model = keras.applications.MobileNetV2(weights=None)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.0  # the moving statistics become those of the one call below
    model(np.stack([pixels(file) for file in image_files(folder, CALIBRATION_IMAGES)]), training=True)
    kernel, bias = model.layers[-1].get_weights()
    model.layers[-1].set_weights([kernel * HEAD_SCALE, bias])
    saved_model = str(folder / "model/saved_model")
    model.export(saved_model, verbose=False)
    model.save(folder / "model.keras")
    (folder / "model.tflite").write_bytes(tf.lite.TFLiteConverter.from_saved_model(saved_model).convert())
    signature = tf.saved_model.load(saved_model).signatures["serving_default"]
    (name,) = signature.structured_input_signature[1]
    (output,) = signature.structured_outputs
    (folder / "model/model.json").write_text(json.dumps(contract(name, output), indent=2) + "\n")


def contract(input_name: str, output_name: str) -> dict[str, Any]:
    """model.json of the workload: the pixels that the loop computes, the best five of its scores."""
    image = {"kind": "image", "height": SIDE_PX, "width": SIDE_PX, "channels": 3}
    return {
        "name": "mobilenet",
        "inputs": {input_name: {**image, "resize": "bilinear", "scale": [-1, 1]}},
        "outputs": {output_name: {"keep": "top_k", "k": 5}},
    }


if __name__ == "__main__":
    target, how_many = Path(sys.argv[1]), int(sys.argv[2])
    write_images(target, how_many)
    write_model(target)
