"""Pictures of the commands, and the one place that knows matplotlib; imported when a picture is drawn.

matplotlib's object-oriented interface on its Agg and SVG canvases: no window, no global state, and the same figure
is the same file.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from fanwise.errors import InputError

if TYPE_CHECKING:
    from matplotlib.axes import Axes as Axes  # noqa: PLC0414 - said so, others may import it from here
    from matplotlib.figure import Figure as Figure  # noqa: PLC0414 - as above

FORMATS = (".svg", ".png")
DPI = 150

INK, PALE_INK, GRID = "#1f2933", "#64707d", "#e3e7eb"
# Okabe and Ito's palette, which the colour-blind tell apart (jfly.uni-koeln.de/color), darkest first.
BLUE, ORANGE, GREEN, RED, PURPLE, SKY = "#0072b2", "#e69f00", "#009e73", "#d55e00", "#cc79a7", "#56b4e9"
COLOURS = (BLUE, ORANGE, GREEN, RED, PURPLE, SKY)

_STYLE: Any = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],  # comes with matplotlib: the same everywhere
    "font.size": 10,
    "text.color": INK,
    "figure.facecolor": "white",
    "figure.constrained_layout.use": True,
    "figure.constrained_layout.h_pad": 0.12,  # inches
    "figure.constrained_layout.w_pad": 0.12,
    "axes.facecolor": "white",
    "axes.edgecolor": PALE_INK,
    "axes.labelcolor": PALE_INK,
    "axes.titlecolor": INK,
    "axes.titlelocation": "left",
    "axes.titlesize": 12,
    "axes.titleweight": "bold",
    "axes.titlepad": 12,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.8,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "xtick.color": PALE_INK,
    "ytick.color": PALE_INK,
    "lines.linewidth": 1.8,
    "lines.solid_capstyle": "round",
    "legend.frameon": False,
    "svg.hashsalt": "fanwise",  # ids inside an SVG are otherwise drawn at random
    "svg.fonttype": "path",
}


def check_picture(path: Path) -> None:
    """Raises `InputError` for a file that no picture can be written to, before anything is reckoned."""
    if path.suffix.lower() not in FORMATS:
        raise InputError(f"{path}: pictures are {' or '.join(FORMATS)}; name the file so")
    if not path.parent.is_dir():
        raise InputError(f"{path}: there is no folder {path.parent}; make it first")


def figure(width: float, height: float) -> "Figure":
    """An empty figure of so many inches, in the style of the house; axes that are added to it have it too."""
    import matplotlib as mpl  # noqa: PLC0415 - half a second, of those who draw
    from cycler import cycler  # noqa: PLC0415 - as above
    from matplotlib.figure import Figure  # noqa: PLC0415 - as above

    # Read when parts are made, and when the file is: a context would have to be open until then.
    mpl.rcParams.update(_STYLE | {"axes.prop_cycle": cycler(color=COLOURS)})
    return Figure(figsize=(width, height))


def save(figure: "Figure", path: Path) -> None:
    """Write a figure as its file's suffix says. Raises `InputError` as `check_picture` does."""
    check_picture(path)
    kind = path.suffix.lower().removeprefix(".")
    metadata = {"Date": None, "Creator": "fanwise"} if kind == "svg" else {"Software": "fanwise"}
    figure.savefig(path, format=kind, dpi=DPI, metadata=metadata)
