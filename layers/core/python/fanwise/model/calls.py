"""How a model has to be called so that an item's answer depends on that item alone.

Found when a bundle is made (`fanwise_cli.trial`), kept in its digest.json, and done by the runtimes at each call
(ADR 16). Most models need nothing of it.
"""

from typing import Literal

import msgspec


class Calls(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is done around each call of a model.

    `reset` is put back before each call to what it is in a freshly loaded model: `variables` (on TensorFlow those
    named in `variables`, on LiteRT all variable tensors), or `model`, which is then loaded anew. `item_at_a_time`:
    a call has one item, since the answers of several depend on each other.
    """

    reset: Literal["variables", "model"] | None = None
    variables: tuple[str, ...] = ()
    item_at_a_time: bool = False


PLAIN = Calls()
