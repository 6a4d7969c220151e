"""A batch in pieces, on one thread or more, is the batch."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

torch = pytest.importorskip("torch")

from seedling.model import networks  # noqa: E402
from seedling.model.pieces import _settle, backward, evaluated, imitated, in_pieces  # noqa: E402


@pytest.fixture(params=[1, 3])
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    """So many threads for torch, and afterwards what it had."""
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


def test_gradients_of_pieces_are_those_of_the_whole(threads: int) -> None:
    torch.manual_seed(0)
    inputs, target = (torch.randn(7, 5), torch.randn(7, 3)), torch.randn(7, 2)
    layer = torch.nn.Linear(8, 2)
    found = []
    for piece in (None, 2, 3, 7, 100):
        layer.zero_grad()
        (loss,) = backward(imitated(lambda *part: layer(torch.cat(part, 1))), piece, target, *inputs)
        found.append((loss, layer.weight.grad.clone()))
    for loss, gradient in found[1:]:
        torch.testing.assert_close(loss, found[0][0], rtol=2e-2, atol=0)
        torch.testing.assert_close(gradient, found[0][1], rtol=2e-2, atol=1e-3)


def test_what_else_is_measured_is_averaged_over_samples(threads: int) -> None:
    weight = torch.ones((), requires_grad=True)
    values = torch.tensor([1.0, 2.0, 3.0, 4.0, 100.0])
    loss, mean = backward(lambda x: torch.stack([weight * x.mean(), x.mean() / 2]), 2, values)
    assert (loss.item(), mean.item(), weight.grad.item()) == (22.0, 11.0, 22.0)


def test_results_come_in_order_from_one_core_each(threads: int) -> None:
    def compute(x: torch.Tensor) -> tuple[list[float], int, str]:
        return x.tolist(), torch.get_num_threads(), threading.current_thread().name

    found = in_pieces(compute, 1, torch.arange(6.0))
    assert [values for values, _, _ in found] == [[float(index)] for index in range(6)]
    assert {count for _, count, _ in found} == {1}
    assert all(name.startswith("piece") == (threads > 1) for _, _, name in found)
    assert torch.get_num_threads() == threads


def test_a_thread_keeps_to_one_core_whatever_is_set_before_its_first_work() -> None:
    before = torch.get_num_threads()
    with ThreadPoolExecutor(1, initializer=_settle) as pool:
        pool.submit(threading.get_ident).result()
        torch.set_num_threads(3)
        assert pool.submit(torch.get_num_threads).result() == 1
    torch.set_num_threads(before)


@pytest.mark.parametrize(("capability", "dtype"), [("AVX2", "float32"), ("AVX512", "bfloat16")])
def test_what_cannot_compute_in_bfloat16_does_not(capability: str, dtype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    [out] = in_pieces(torch.nn.Linear(4, 2), None, torch.randn(5, 4))
    assert out.dtype is getattr(torch, dtype)


def test_evaluating_keeps_no_graph_and_computes_in_the_dtype_of_the_device(threads: int) -> None:
    layer = torch.nn.Linear(4, 2)
    out = evaluated(layer, 2)(torch.randn(5, 4))
    assert not out.requires_grad
    assert (out.shape, out.dtype) == ((5, 2), networks.compute_dtype())
    assert torch.is_grad_enabled()


def test_what_goes_wrong_in_a_piece_is_told(threads: int) -> None:
    def compute(x: torch.Tensor) -> None:
        raise ValueError(f"{len(x)} samples")

    with pytest.raises(ValueError, match="2 samples"):
        in_pieces(compute, 2, torch.zeros(4))


def test_few_samples_are_shared_out_over_the_cores(threads: int) -> None:
    def sizes(count: int, piece: int | None) -> list[int]:
        return in_pieces(len, piece, torch.zeros(count))

    assert sizes(9, 4) == ([4, 4, 1] if threads == 1 else [3, 3, 3])
    assert sizes(3, 4) == ([3] if threads == 1 else [2, 1])
    assert sizes(24, 4) == [4] * 6
    assert sizes(9, None) == [9]


def test_the_first_call_of_a_kind_is_made_by_one_thread_at_a_time() -> None:
    """It compiles; two threads that do so at once have crashed."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    networks._calls.clear()
    try:
        alone, both = threading.Barrier(2), threading.Barrier(2)
        with pytest.raises(threading.BrokenBarrierError):
            in_pieces(lambda _: alone.wait(timeout=0.2), 2, torch.zeros(4, 9))
        in_pieces(lambda _: both.wait(timeout=30), 2, torch.zeros(4, 9))
    finally:
        torch.set_num_threads(before)
