"""Tensors that are made when they are asked for, whichever way a dictionary is asked."""

from bonsai_mlx.weights.source import _Lazy


def test_every_way_to_a_tensor_makes_it() -> None:
    lazy = _Lazy({"a": lambda: 1, "b": 2})
    assert (lazy["a"], lazy.items(), lazy.values()) == (1, [("a", 1), ("b", 2)], [1, 2])
    assert (lazy.pop("a"), lazy.pop("a", 3)) == (1, 3)
