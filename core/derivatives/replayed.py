"""The functions of `eager`, replayed: each is traced at its first use, once for each shape."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from ..tracing.trace_context import TraceContext
from ..tracing.traced import Traced, TracedWithMaps, traced, traced_with_maps
from .eager import Eager


@dataclass(frozen=True)
class Replayed:
    """As ``eager``, without the overhead of torch.func, but not to be differentiated again."""

    eager: Eager
    context: TraceContext

    @cached_property
    def field(self) -> Traced:
        """:meth:`Eager.field`."""
        return traced(self.eager.field, self.context)

    @cached_property
    def loss_gradient(self) -> Traced:
        """:meth:`Eager.loss_gradient`."""
        return traced(self.eager.loss_gradient, self.context)

    @cached_property
    def matrix(self) -> Traced:
        """:meth:`Eager.matrix`."""
        return traced(self.eager.matrix, self.context)

    @cached_property
    def v_and_products(self) -> TracedWithMaps:
        """:meth:`Eager.v_and_products` in one program, with J u in forward mode where that can be traced."""
        return traced_with_maps(self.eager.v_and_products_forward, self.eager.v_and_products, self.context)
