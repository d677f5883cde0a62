"""Measuring and making smooth: any module, any expression, a network that is trained already."""

from __future__ import annotations

import copy

import numpy as np
import pandas as pd
import pytest
import sympy
import torch
from torch import nn

from smoothray import measure_smoothness, smooth_finetune
from smoothray.errors import SmoothrayError, TeacherError
from smoothray.teachers.fitted import Teacher
from smoothray.teachers.mlp import MLP


def data(n: int = 200) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    X = rng.normal([2, 0.1], [1.5, 0.5], (n, 2))
    return X, 3 * np.sin(X[:, 0]) + 5 * X[:, 1] + rng.normal(0, 0.5, n)


def test_an_expression_and_a_module_of_the_same_function_measure_the_same():
    X = np.random.default_rng(0).normal(size=(50, 2))
    line = nn.Linear(2, 1)
    with torch.no_grad():
        line.weight.copy_(torch.tensor([[3.0, -4.0]]))
    a, b = sympy.symbols("a b")
    found = measure_smoothness(3 * a - 4 * b, pd.DataFrame(X, columns=["a", "b"]))
    assert found == {"jacobian": 25.0, "gradient_max": 5.0, "undefined": 0}
    assert measure_smoothness(line, X) == pytest.approx(found)


def test_a_network_is_measured_whole_whatever_it_calls_its_parts():
    class Tenfold(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.module = nn.Linear(2, 1)

        def forward(self, x):
            return 10 * self.module(x)

    network, X = Tenfold(), np.random.default_rng(0).normal(size=(20, 2))
    inner = measure_smoothness(network.module, X)
    assert measure_smoothness(network, X)["jacobian"] == pytest.approx(100 * inner["jacobian"])


def test_a_teacher_is_measured_as_it_predicts():
    network, X = nn.Linear(2, 3), np.random.default_rng(0).normal(size=(20, 2))
    for output in range(3):
        expected = measure_smoothness(network, X, output)
        assert measure_smoothness(Teacher(network, output, 3), X) == expected
    with pytest.raises(TeacherError, match="no torch module, so it has no gradients"):
        measure_smoothness(Teacher(lambda rows: rows[:, 0]), X)


def test_rows_without_a_gradient_are_counted():
    x0 = sympy.Symbol("x0")
    found = measure_smoothness(sympy.log(x0), [[1.0], [2.0], [0.0]])
    assert found == {"jacobian": pytest.approx(0.625), "gradient_max": 1.0, "undefined": 1}


def test_where_the_formula_has_no_value_it_has_no_slope():
    found = measure_smoothness(sympy.log(sympy.Symbol("x0")), [[-1.0], [2.0]])
    assert found == {"jacobian": 0.25, "gradient_max": 0.5, "undefined": 1}


def test_measuring_leaves_a_module_as_it_was():
    network = nn.Sequential(nn.BatchNorm1d(2), nn.Linear(2, 1))
    network.train()
    network[0].eval()
    measure_smoothness(network, np.random.default_rng(0).normal(size=(5, 2)))
    assert [part.training for part in network.modules()] == [True, False, True]


def test_a_module_that_hides_its_gradient_is_not_called_smooth():
    class Hidden(nn.Linear):
        def forward(self, x):
            return super().forward(x).detach()

    with pytest.raises(TeacherError, match="have no gradient"):
        measure_smoothness(Hidden(2, 1), np.zeros((4, 2)))


@pytest.mark.parametrize("penalty", ["jacobian", "lipschitz"])
def test_fine_tuning_does_not_depend_on_units(penalty):
    X, y = data()
    network = rough("chain", X, y)
    unit, shift = np.array([1000.0, 0.01]), np.array([5000.0, -3.0])
    other = copy.deepcopy(network)
    with torch.no_grad():
        other[0].weight.div_(torch.tensor(unit, dtype=torch.float32))
        other[0].bias.sub_(other[0].weight @ torch.tensor(shift, dtype=torch.float32))
    one = smooth_finetune(network.double(), X, y, penalty, 0.05, steps=100)
    two = smooth_finetune(other.double(), X * unit + shift, y, penalty, 0.05, steps=100)
    a = one(torch.tensor(X)).detach().numpy()
    b = two(torch.tensor(X * unit + shift)).detach().numpy()
    np.testing.assert_allclose(a, b, atol=0.05 * y.std())


def test_one_output_of_several():
    network = nn.Linear(3, 2)
    X = np.random.default_rng(0).normal(size=(10, 3))
    for output in (0, 1):
        expected = float(network.weight[output].detach().square().sum())
        assert measure_smoothness(network, X, output)["jacobian"] == pytest.approx(expected)


def test_what_cannot_be_measured():
    X = np.zeros((4, 2))
    with pytest.raises(
        SmoothrayError, match="a torch module or a SymPy expression, not of function"
    ):
        measure_smoothness(lambda x: x, X)
    with pytest.raises(SmoothrayError, match="the variable 'z'"):
        measure_smoothness(sympy.Symbol("z"), X)
    with pytest.raises(TeacherError, match="cannot take these rows"):
        measure_smoothness(nn.Linear(3, 1), X)
    with pytest.raises(SmoothrayError, match="at least one row"):
        measure_smoothness(sympy.Symbol("x0"), np.zeros((0, 2)))


def rough(kind: str, X: np.ndarray, y: np.ndarray) -> nn.Module:
    """A network that follows the noise, in the data's own units."""
    torch.manual_seed(0)
    inner = MLP(2, (40, 40))
    layers = [nn.Linear(2, 40), nn.Tanh(), nn.Linear(40, 40), nn.Tanh(), nn.Linear(40, 1)]
    network = inner if kind == "mlp" else nn.Sequential(*layers)
    x = torch.as_tensor(X, dtype=torch.float32)
    t = torch.as_tensor(y, dtype=torch.float32)
    optimizer = torch.optim.Adam(network.parameters(), lr=3e-3)
    for _ in range(1500):
        optimizer.zero_grad()
        (network(x).reshape(-1) - t).square().mean().backward()
        optimizer.step()
    return network


@pytest.mark.parametrize("kind", ["mlp", "chain"])
@pytest.mark.parametrize("penalty", ["jacobian", "lipschitz", "weight_decay"])
def test_fine_tuning_makes_a_network_smoother(kind, penalty):
    X, y = data()
    network = rough(kind, X, y)
    before = copy.deepcopy(network.state_dict())
    scale = X.std(0)

    def jacobian(module: nn.Module) -> float:
        from smoothray.metrics.smoothness import gradients_of

        return float(((gradients_of(module, X)[1] * scale / y.std()) ** 2).sum(1).mean())

    def error(module: nn.Module) -> float:
        found = module(torch.as_tensor(X, dtype=torch.float32)).detach().numpy().reshape(-1)
        return float(np.mean((found - y) ** 2) / y.var())

    strength = {"jacobian": 0.1, "lipschitz": 0.03, "weight_decay": 0.03}[penalty]
    smoother = smooth_finetune(network, X, y, penalty, strength, steps=300)
    assert type(smoother) is type(network)
    assert all(torch.equal(before[k], v) for k, v in network.state_dict().items())
    assert jacobian(smoother) < (0.98 if penalty == "weight_decay" else 0.92) * jacobian(network)
    assert error(smoother) < 0.5, error(network)
    kept = smooth_finetune(network, X, y, penalty, 0.0, steps=10, learning_rate=1e-6)
    assert jacobian(kept) == pytest.approx(jacobian(network), rel=0.05)


def test_fine_tuning_refuses():
    X, y = data(40)
    with pytest.raises(TeacherError, match="the penalty is 'none'; use one of"):
        smooth_finetune(nn.Linear(2, 1), X, y, "none")
    with pytest.raises(TeacherError, match="the strength is -1"):
        smooth_finetune(nn.Linear(2, 1), X, y, strength=-1)
    with pytest.raises(TeacherError, match="or take 2 inputs"):
        smooth_finetune(nn.Linear(3, 1), X, y)
    with pytest.raises(TeacherError, match="not finite"):
        smooth_finetune(nn.Linear(2, 1), X * np.nan, y)
    with pytest.raises(TeacherError, match="X must be"):
        smooth_finetune(nn.Linear(2, 1), X, y[:-1])
    with pytest.raises(TeacherError, match="mixes rows"):
        smooth_finetune(nn.Sequential(nn.BatchNorm1d(2), nn.Linear(2, 1)), X, y)
    with pytest.raises(TeacherError, match="must map"):
        smooth_finetune(nn.Linear(2, 2), X, y)
    with pytest.raises(TeacherError, match="steps is 0"):
        smooth_finetune(nn.Linear(2, 1), X, y, steps=0)
    with pytest.raises(TeacherError, match="begins and ends with a linear layer"):
        chain = nn.Sequential(nn.Tanh(), nn.Linear(2, 1))
        smooth_finetune(chain, X, y, "lipschitz")
    with pytest.raises(TeacherError, match="smaller learning_rate"):
        smooth_finetune(nn.Linear(2, 1), X, y, learning_rate=1e30)
