"""What a naive script does: import TensorFlow, load the model, predict; then it says when (`time.monotonic()`).

`python -m benchmarks.cold_tensorflow FOLDER COUNT`
"""

import json
import os
import sys
import time

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

from pathlib import Path

import numpy as np
import tensorflow as tf

from benchmarks.jpegs.pixels import image_files, pixels

folder, count = Path(sys.argv[1]), int(sys.argv[2])
model = tf.saved_model.load(str(folder / "model/saved_model"))
signature = model.signatures["serving_default"]
name = next(iter(signature.structured_input_signature[1]))
images = np.stack([pixels(file) for file in image_files(folder, count)])
scores = next(iter(signature(**{name: tf.constant(images)}).values())).numpy()
sys.stdout.write(json.dumps(time.monotonic()))
