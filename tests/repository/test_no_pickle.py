"""Nothing that is read or written can run code: no pickle, under none of its names, in the source of any package."""

from __future__ import annotations

import ast
from collections.abc import Iterator

import pytest

from ..support import wheel

MODULES = set("pickle _pickle cPickle cloudpickle dill joblib shelve marshal jsonpickle copyreg".split())
CALLS = {  # of these modules, by the names they go by
    "torch": {"load", "save", "package", "jit", "hub"},
    "np": {"save", "savez", "savez_compressed"},
    "numpy": {"save", "savez", "savez_compressed"},
}
# A network in TorchScript that the user names as a metric's extractor: a language of its own, which reaches no Python.
ALLOWED = {"plugins/metrics/network_files.py": ["torch.jit"]}
METHODS = {"read_pickle", "to_pickle", "__reduce__", "__reduce_ex__"}


def found(source: str) -> Iterator[str]:
    """What of it stands in ``source``."""
    tree = ast.parse(source)
    safe = {n.func for n in ast.walk(tree) if isinstance(n, ast.Call) and any(map(_refuses, n.keywords))}
    safe |= {n.value for n in ast.walk(tree) if isinstance(n, ast.Attribute) and n.attr == "ScriptModule"}  # a class
    for node in ast.walk(tree):
        if node in safe or _refuses(node):
            continue
        if isinstance(node, ast.Import):
            yield from (a.name for a in node.names if a.name.split(".")[0] in MODULES)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            module = (node.module or "").split(".")
            yield from ([node.module or ""] if module[0] in MODULES else [])
            banned = CALLS.get(module[0], set())
            yield from (f"{node.module}.{a.name}" for a in node.names if a.name in banned or set(module) & banned)
        elif isinstance(node, ast.Attribute):
            owner = node.value.id if isinstance(node.value, ast.Name) else ""
            if node.attr in METHODS or node.attr in CALLS.get(owner, ()):
                yield f"{owner}.{node.attr}"
        elif isinstance(node, ast.keyword) and node.arg == "allow_pickle":
            yield "allow_pickle"
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value in MODULES:
            yield repr(node.value)  # import_module("pickle")


def _refuses(node: ast.AST) -> bool:
    """allow_pickle=False: objects are an error there; weights_only=True: all but tensors are."""
    return isinstance(node, ast.keyword) and (node.arg, ast.unparse(node.value)) in (
        ("allow_pickle", "False"), ("weights_only", "True"),
    )  # fmt: skip


def test_the_source_has_none() -> None:
    files = wheel.files()
    assert len(files) > 100
    for path in files:
        seen = list(found((wheel.ROOT / path).read_text(encoding="utf-8")))
        assert seen == ALLOWED.get(path.as_posix(), []), path


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "import os, joblib.numpy_pickle as x",
        "from dill import loads",
        "def f():\n    import marshal",
        "import_module('shelve')",
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "x = torch.save",
        "from torch import load",
        "from torch.hub import anything",
        "torch.jit.load(path)",
        "np.load(path, allow_pickle=True)",
        "np.save(path, x)",
        "from numpy import savez",
        "frame.to_pickle(path)",
        "class A:\n    def f(self): return super().__reduce__()",
    ],
)
def test_what_it_finds(source: str) -> None:
    assert list(found(source))


def test_what_it_lets_pass() -> None:
    assert not list(found("from safetensors.torch import load, save\nimport numpy as np\nnp.load(path)\nself.save(x)"))
    assert not list(found("np.savez(path, x=1, allow_pickle=False)"))
    assert not list(found("torch.load(path, weights_only=True)"))
