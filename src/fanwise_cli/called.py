"""A loaded model on sample items: what it answers, and how it is called so that these are each item's own answers.

The part of `prepare_bundle` that both runtimes have in common.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from fanwise.errors import BundleError
from fanwise.model.arranging import arranged
from fanwise.model.calls import PLAIN, Calls
from fanwise.model.contract import Contract
from fanwise.model.layout import Layout, kept_outputs
from fanwise.model.model import Model
from fanwise.model.runtime import ComputeError, Runtime
from fanwise.model.signature import Signature
from fanwise_cli.comparing import Reference, Samples, samples_for
from fanwise_cli.independence import Depends, how_to_call
from fanwise_cli.operations.refusing import DEPENDS
from fanwise_cli.sample_items import sample_items


@dataclass(frozen=True)
class Called:
    """How a model is called, its layout then, and what it answers so; None where it rejects all sample items."""

    calls: Calls
    layout: Layout
    reference: Reference | None
    notes: list[str]


class Calling:
    """A model on one runtime; `load` loads it afresh, to be called as it is given."""

    def __init__(
        self,
        load: Callable[..., Runtime],
        contract: Contract,
        labels: Mapping[str, tuple[str, ...]],
        layout: Layout,
        *,
        edges: bool,
        to_the_bit: bool,
    ) -> None:
        self._load = load
        self._contract = contract
        self._labels = labels
        self._layout = layout
        self._edges = edges
        self._to_the_bit = to_the_bit

    def tried(self, state: str | None, resets: Sequence[Calls], given: Path | None = None) -> Called:
        """Find how to call it. `state` is an operation that keeps something, `resets` undo that.

        `given` are a person's own items. Raises `BundleError` where no way gives an item's own answer, or the
        model fails on their items.
        """
        reference, notes = self._reference(PLAIN, given)
        if reference is None:  # nothing to try it on: what is right in any case
            careful = msgspec.structs.replace(resets[0], item_at_a_time=True) if resets else PLAIN
            return Called(careful, self._layout_of(careful), None, notes)
        try:
            calls = how_to_call(
                self._loaded,
                self._loaded(PLAIN),
                reference.samples.batches,
                kept_outputs(self._contract, reference.signature),
                edges=reference.samples.edges,
                resets=resets,
                is_stateful=state is not None,
                to_the_bit=self._to_the_bit,
            )
        except (Depends, ComputeError) as error:
            raise BundleError(DEPENDS.format(f" ({state})" if state else "")) from error
        if calls != PLAIN:
            reference, _ = self._reference(calls, given)
        return Called(calls, self._layout_of(calls), reference, notes)

    def _layout_of(self, calls: Calls) -> Layout:
        if not calls.item_at_a_time:
            return self._layout
        return msgspec.structs.replace(self._layout, item_at_a_time=True)

    def _loaded(self, calls: Calls) -> Runtime:
        return arranged(self._load(calls=calls), self._layout_of(calls))

    def _reference(self, calls: Calls, given: Path | None) -> tuple[Reference | None, list[str]]:
        layout = self._layout_of(calls)
        loaded = self._load(calls=calls)
        runtime = arranged(loaded, layout)
        model = Model(self._contract, self._labels, loaded, layout=layout)
        own: Samples | None = None
        notes: list[str] = []
        if given is not None:
            own, notes = sample_items(given, model)
            _check_own(runtime, own, given)
        samples = samples_for(model, Signature(runtime.inputs, runtime.outputs), own, edges=self._edges)
        try:
            return Reference.of(runtime, samples, layout), notes
        except ComputeError:
            return None, notes


def _check_own(runtime: Runtime, own: Samples, given: Path) -> None:
    """Raises `BundleError` where the model rejects one of a person's own items."""
    try:
        for batch in own.batches:
            runtime.predict(batch)
    except ComputeError as error:
        raise BundleError(f"the model fails on the items of {given}: {error}") from error
