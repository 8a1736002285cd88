"""The device that a run is asked to use: whether this machine has it, and what to say if not."""

from __future__ import annotations

import re

import torch

from ..errors import UsageError

_KNOWN = re.compile(r"cpu(?::0)?|cuda(?::(0|[1-9][0-9]{0,3}))?")
_SINGLE = ("mps", "xpu", "hpu", "xla", "npu", "mtia", "privateuseone", "vulkan", "opencl", "directml")


def require_device(name: str, option: str = "device") -> None:
    """Raise UsageError, which names the ``option``, unless ``name`` is cpu, cuda or cuda:N and this machine has it."""
    found = _KNOWN.fullmatch(name)
    if found is None:
        expected = "expected cpu, cuda or cuda:N"
        if name.partition(":")[0] in _SINGLE:
            expected += "; others have no double precision, or lack operations that derivatives of derivatives need"
        raise UsageError(f"{option} {name:.40}: {expected}.")
    if not name.startswith("cuda"):
        return
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if int(found[1] or 0) >= count:
        has = "no CUDA device" if not count else "only cuda:0" if count == 1 else f"only cuda:0 to cuda:{count - 1}"
        use = f"Use {option} {'cuda:0' if count else 'cpu'}"
        raise UsageError(f"{option} {name}: torch {torch.__version__} finds {has} here. {use}.")
