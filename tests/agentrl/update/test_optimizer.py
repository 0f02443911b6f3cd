"""Schedules by hand, and the optimiser against torch's own."""

import copy
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.nn import Module, Parameter, ParameterList

from agentrl.errors import DivergedError
from agentrl.update.optimizer import Kind, Optimizer, cosine, linear
from tests.agentrl.engines.tiny import build


def test_linear_schedule() -> None:
    rates = [linear(step, 6, 1.0, 2, 0.2) for step in range(8)]
    assert rates == pytest.approx([0.5, 1.0, 1.0, 0.8, 0.6, 0.4, 0.2, 0.2])
    assert [linear(step, 10, 0.3, 0, 1.0) for step in (0, 5, 9)] == pytest.approx([0.3] * 3)


def test_cosine_schedule() -> None:
    rates = [cosine(step, 6, 2.0, 2, 0.1) for step in range(8)]
    half = 0.5 * (1 + math.cos(math.pi / 4))
    assert rates == pytest.approx([1.0, 2.0, 2.0, 0.2 + 1.8 * half, 1.1, 0.2 + 1.8 * (1 - half), 0.2, 0.2])


@pytest.mark.parametrize("schedule", [linear, cosine])
def test_a_warm_up_as_long_as_the_run(schedule: Callable[..., float]) -> None:
    assert schedule(3, 4, 1.0, 4, 0.0) == 1.0
    assert schedule(4, 4, 1.0, 4, 0.5) == 1.0, "nothing is left to go down in"


def of(*parameters: Parameter, **options: Any) -> Optimizer:
    """Return an optimiser of loose parameters."""
    return Optimizer(ParameterList(parameters), **options)


def test_matrices_decay_and_vectors_do_not() -> None:
    matrix, vector = (Parameter(torch.ones(shape)) for shape in ((2, 2), (2,)))
    frozen = Parameter(torch.ones(2), requires_grad=False)
    optimizer = of(matrix, vector, frozen, weight_decay=0.5)
    for parameter in (matrix, vector):
        parameter.grad = torch.zeros_like(parameter)
    assert optimizer.step(0.1) == 0
    assert matrix.tolist() == [[pytest.approx(0.95)] * 2] * 2
    assert vector.tolist() == [1, 1]
    assert [id(parameter) for parameter in optimizer.parameters] == [id(matrix), id(vector)]


def test_gradients_are_clipped_together_and_cleared() -> None:
    ours, theirs = (Parameter(torch.zeros(2, 1)) for _ in range(2))
    optimizer = of(ours, max_grad_norm=1.0)
    plain = torch.optim.AdamW([theirs], lr=0.1, betas=(0.9, 0.95), weight_decay=0.0)
    for scale in (1.0, 10.0):
        ours.grad = torch.tensor([[3.0], [4.0]]) * scale
        theirs.grad = torch.tensor([[0.6], [0.8]])
        assert optimizer.step(0.1) == pytest.approx(5.0 * scale)
        plain.step()
        assert ours.grad is None
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-6)


def test_a_gradient_that_is_not_finite_leaves_the_weights() -> None:
    parameter = Parameter(torch.ones(2))
    optimizer = of(parameter)
    parameter.grad = torch.tensor([1.0, math.nan])
    with pytest.raises(DivergedError, match=r"^the norm of the gradient is nan: "):
        optimizer.step(0.1)
    assert parameter.tolist() == [1, 1] and parameter.grad is None
    parameter.grad = torch.ones(2)
    optimizer.step(0.1)
    assert all(0.8 < value < 1 for value in parameter.tolist()), "the averages are still finite"


@pytest.mark.parametrize("lr", [1e38, math.inf, math.nan])
def test_weights_that_leave_the_numbers(lr: float) -> None:
    """1e38 still is a number in float32, of which no product is."""
    parameter = Parameter(torch.ones(2))
    parameter.grad = torch.ones(2)
    with pytest.raises(DivergedError, match=r"^the norm of the weights is (inf|nan) after lr (1e.38|inf|nan): "):
        of(parameter).step(lr)


def with_gradients(model: Module, scale: float) -> Module:
    for number, parameter in enumerate(model.parameters(), 1):
        parameter.grad = torch.linspace(-scale, scale * number, parameter.numel()).view_as(parameter)
    return model


def test_muon_turns_hidden_matrices_and_nothing_else() -> None:
    """The update of a hidden matrix is orthogonal; embeddings, head and norms move as under AdamW."""
    muon, adamw = (with_gradients(build("qwen3"), 1.0) for _ in range(2))
    before = {name: parameter.detach().clone() for name, parameter in muon.named_parameters()}
    Optimizer(muon, kind="muon").step(0.01)
    Optimizer(adamw, kind="adamw").step(0.01)
    others = dict(adamw.named_parameters())
    for name, parameter in muon.named_parameters():
        is_hidden = "proj" in name
        assert parameter.equal(others[name]) is not is_hidden, name
        if is_hidden:
            step = (parameter - before[name]).detach() / (0.01 * 0.2 * math.sqrt(max(parameter.shape)))
            assert float(torch.linalg.matrix_norm(step, 2)) < 1.3, "Newton-Schulz brings singular values near 1"


@pytest.mark.parametrize("kind", ["adamw", "muon"])
def test_a_restored_state_goes_on_the_same(kind: Kind) -> None:
    one = with_gradients(build("qwen3"), 1.0)
    first = Optimizer(one, kind=kind)
    first.step(0.01)
    other = build("qwen3")
    other.load_state_dict(one.state_dict())
    second = Optimizer(other, kind=kind)
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    for model, optimizer in ((one, first), (other, second)):
        with_gradients(model, -0.5)
        optimizer.step(0.01)
    assert all(a.equal(b) for a, b in zip(one.parameters(), other.parameters(), strict=True))
