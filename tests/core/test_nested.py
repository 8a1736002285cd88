"""Walks over nested dictionaries, lists and tuples: order, names, and which classes count."""

from __future__ import annotations

from collections import UserDict, namedtuple

from counterplay.core.nested import items, leaves, paths

Pair = namedtuple("Pair", "first second")


def test_leaves_stand_in_order_each_with_its_path() -> None:
    x = {"b": [1, {"c": None}], "a": (2, Pair(3, ())), 7: UserDict({"d": "text"}), "empty": {}}
    expected = [("b/0", 1), ("b/1/c", None), ("a/0", 2), ("a/1/0", 3), ("7/d", "text")]
    assert list(paths(x)) == expected
    assert list(leaves(x)) == [leaf for _, leaf in expected]


def test_what_is_no_container_is_its_own_leaf() -> None:
    assert items("text") is None and list(leaves(1.5)) == [1.5] and list(paths({1, 2})) == [("", {1, 2})]
