"""Plays cells on a dask cluster, one at a time in each of its processes. dask is imported when it is asked for."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from concurrent import futures
from dataclasses import dataclass
from typing import Any, ClassVar

from ..errors import Interrupted, UsageError
from .cell import Cell
from .local import Tell, nothing
from .work import Work

_RETRIES = 3  # of a cell whose worker is lost
_SECONDS = 10  # how long to wait for a scheduler
_POLL = 0.5


@dataclass(frozen=True)
class Dask:
    """Plays cells on the cluster of the scheduler at ``address``; None: on ``workers`` processes of this machine."""

    workers: int
    address: str | None = None
    plays: ClassVar[bool] = True

    def __call__(
        self, work: Work, cells: Sequence[Cell], tell: Tell = nothing, stop: Callable[[], bool] = lambda: False
    ) -> None:
        """Play the cells. Raises UsageError where dask is missing or its scheduler cannot be reached."""
        try:
            import distributed
        except ImportError as error:
            raise UsageError(
                "the executor dask needs dask's distributed: python -m pip install 'counterplay[dask]'."
            ) from error
        with contextlib.ExitStack() as after:
            client = after.enter_context(self._client(distributed, after))
            known = {}
            for cell in cells:
                known[client.submit(work, cell, key=f"{cell.name}-{id(client)}", pure=False, retries=_RETRIES)] = cell
            after.enter_context(client.as_current())
            self._follow(distributed, client, work, known, tell, stop)

    def _client(self, distributed: Any, after: contextlib.ExitStack) -> Any:
        if self.address is None:
            here = distributed.LocalCluster(n_workers=self.workers, threads_per_worker=1, dashboard_address=None)
            return distributed.Client(after.enter_context(here), set_as_default=False)
        try:
            return distributed.Client(self.address, timeout=_SECONDS, set_as_default=False)
        except (OSError, ValueError) as error:
            raise UsageError(
                f"no scheduler of dask answers at {self.address} ({error}); start one with dask scheduler, or give its "
                "address."
            ) from error

    def _follow(self, distributed: Any, client: Any, work: Work, left: dict[Any, Cell], tell: Tell, stop: Any) -> None:
        try:
            while left and not stop() and client.status in ("running", "connecting"):
                with contextlib.suppress(distributed.TimeoutError):
                    distributed.wait(list(left), timeout=_POLL, return_when="FIRST_COMPLETED")
                for future in [f for f in left if f.done()]:
                    state = str(future.result()) if future.status == "finished" else "killed"
                    tell(left.pop(future), state)
            if left and not stop():
                raise ConnectionError
            if left:
                client.cancel(list(left), force=True)
        except (OSError, asyncio.CancelledError, futures.CancelledError) as error:
            raise Interrupted("the scheduler of dask is gone, and cells are left; the same command goes on.") from error
