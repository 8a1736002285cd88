"""The algebra of joint strategies, with and without members."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import counterplay as cp
from counterplay.core.game.tree import (  # fmt: skip
    add,
    dot,
    leaves,
    like,
    names,
    neg,
    norm,
    option_per_player,
    ravel,
    scale,
    sub,
    tmap,
    unravel,
    zeros_like,
)

from ..support.cases import F64, identical, member, property_test, random

SHAPES = st.lists(st.lists(st.sampled_from([(), (1,), (3,), (2, 2)]), min_size=1, max_size=3), min_size=1, max_size=3)


def params(shapes, seed, members=None):
    lead = () if members is None else (members,)
    return {
        f"p{i}": {f"w{k}": random(*lead, *s, seed=seed + 10 * i + k) for k, s in enumerate(tree)}
        for i, tree in enumerate(shapes)
    }


@property_test
@given(SHAPES, st.sampled_from([None, 1, 3]))
def test_a_vector_and_a_tree_are_the_same_thing(shapes, members):
    x = params(shapes, 0, members)
    vector = ravel(x, members is not None)
    count = sum(torch.Size(s).numel() for tree in shapes for s in tree)
    assert tuple(vector.shape) == ((count,) if members is None else (members, count))
    assert identical(unravel(vector, x), x)
    assert identical(like(x, leaves(x)), x)
    assert len(names(x, members is not None)) == vector.shape[-1] == len(set(names(x, members is not None)))


@property_test
@given(SHAPES, st.sampled_from([None, 1, 3]))
def test_algebra_is_that_of_the_vectors(shapes, members):
    many = members is not None
    x, y = params(shapes, 1, members), params(shapes, 2, members)
    a, b = ravel(x, many), ravel(y, many)
    for found, expected in [
        (add(x, y), a + b), (sub(x, y), a - b), (neg(x), -a), (scale(x, 2.5), 2.5 * a), (zeros_like(x), 0 * a),
        (tmap(torch.mul, x, y), a * b),
    ]:  # fmt: skip
        assert torch.equal(ravel(found, many), expected)
    torch.testing.assert_close(dot(x, y, many), (a * b).sum(-1))
    torch.testing.assert_close(norm(x, many), a.norm(dim=-1))
    assert tuple(dot(x, y, many).shape) == tuple(norm(x, many).shape) == (() if members is None else (members,))


def test_an_inner_product_of_members_is_each_member_s_own():
    x, y = params([[(3,), (2, 2)], [()]], 3, 4), params([[(3,), (2, 2)], [()]], 4, 4)
    for m in range(4):
        torch.testing.assert_close(dot(x, y, True)[m], dot(member(x, m), member(y, m)), rtol=1e-14, atol=1e-14)


def test_scale_takes_a_number_for_each_member_and_each_player():
    x = params([[(3,)], [(2, 2)]], 5, 2)
    s = torch.tensor([2.0, -1.0], dtype=F64)
    for m in range(2):
        assert torch.equal(scale(x, s)["p1"]["w0"][m], s[m] * x["p1"]["w0"][m])
    by_player = scale(x, {"p0": 3.0, "p1": s})
    assert torch.equal(by_player["p0"]["w0"], 3 * x["p0"]["w0"])
    assert torch.equal(by_player["p1"]["w0"], s[:, None, None] * x["p1"]["w0"])


def test_a_setting_is_resolved_for_each_player():
    x = torch.zeros((), dtype=F64)
    assert option_per_player(0.1, ("a", "b"), x) == {"a": 0.1, "b": 0.1}
    assert option_per_player({"b": 2, "a": 1}, ("a", "b"), x) == {"a": 1.0, "b": 2.0}
    part = option_per_player([1.0, 2.0, 3.0], ("a",), x, members=2, among=(1, 3))["a"]
    assert isinstance(part, torch.Tensor) and part.tolist() == [2.0, 3.0]
    with pytest.raises(cp.UserError, match="lists 2 numbers, one per member, but this run has 3 members"):
        option_per_player([1.0, 2.0], ("a",), x, members=2, among=(1, 3))
    found = option_per_player({"a": [1.0, 2.0], "b": 3.0}, ("a", "b"), x, members=2)
    assert torch.equal(torch.as_tensor(found["a"]), torch.tensor([1.0, 2.0], dtype=F64)) and found["b"] == 3.0


@pytest.mark.parametrize(
    ("value", "members", "words"),
    [
        ({"a": 1.0}, None, "none for b"),
        ({"a": 1.0, "b": 1.0, "c": 1.0}, None, "one for c"),
        ([1.0, 2.0], None, "no members"),
        ([1.0, 2.0], 3, "3 members"),
    ],
)
def test_a_setting_that_does_not_fit_is_a_sentence(value, members, words):
    with pytest.raises(cp.UsageError, match=words):
        option_per_player(value, ("a", "b"), torch.zeros(()), members)


def test_names_say_where_a_number_stands():
    assert names({"x": {"value": torch.zeros(1)}, "y": {"w": torch.zeros(2)}}) == ["x/value", "y/w[0]", "y/w[1]"]
    assert names({"y": {"w": torch.zeros(5, 2)}}, ensemble=True) == ["y/w[0]", "y/w[1]"]
