"""One contract for every penalty, then the values and gradients of each against references."""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from smoothray.penalties import PENALTIES, Network, Penalty
from smoothray.penalties.lipschitz import (
    CEILING,
    log_lipschitz_bound,
    spectral_norm,
    tempered_exp,
)
from smoothray.study.settings import default_strengths

WIDTHS = (3, 5, 4, 1)


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def _norms(network: Network) -> np.ndarray:
    assert network.gradients is not None
    return np.linalg.norm(network.gradients.detach().numpy(), axis=-1)


def _matrices(network: Network) -> list[np.ndarray]:
    return [matrix.detach().numpy() for matrix in network.matrices]


# Every penalty's value from its definition, in plain numpy: a network -> (B,).
CASES: dict[str, Callable[[Network], np.ndarray]] = {
    "none": lambda network: np.zeros(len(network.outputs)),
    "direct": lambda network: np.zeros(len(network.outputs)),
    "jacobian": lambda network: (_norms(network) ** 2).mean(-1),
    "jacobian_between": lambda network: (_norms(network) ** 2).mean(-1),
    "placebo": lambda network: (_norms(network) ** 2).mean(-1),
    "lipschitz": lambda network: np.prod(
        [np.linalg.svd(w, compute_uv=False)[:, 0] for w in _matrices(network)], axis=0
    ),
    "lipschitz_sampled": lambda network: (_norms(network) ** 2).max(-1),
    "weight_decay": lambda network: sum((w**2).sum((1, 2)) for w in _matrices(network)),
}


def _subclasses(family: type) -> set[type]:
    below = set(family.__subclasses__())
    return below.union(*map(_subclasses, below)) if below else below


def test_no_penalty_escapes():
    ours = {p for p in _subclasses(Penalty) if p.__module__.startswith("smoothray.")}
    assert ours == set(PENALTIES.values())
    assert set(CASES) == set(PENALTIES)


def _network(
    matrices: tuple[Tensor, ...], rows: int = 7, *, gradients: bool = True, seed: int = 0
) -> Network:
    """A bank of tanh networks without biases on rows of its own, all by automatic differentiation."""
    generator = torch.Generator().manual_seed(seed)
    first = matrices[0]
    x = torch.randn(first.shape[0], rows, first.shape[2], generator=generator, dtype=first.dtype)
    x.requires_grad_()
    a = x
    for matrix in matrices[:-1]:
        a = torch.tanh(a @ matrix.mT)
    outputs = (a @ matrices[-1].mT).squeeze(-1)
    if not gradients:
        return Network(outputs, None, matrices)
    (gradient,) = torch.autograd.grad(outputs.sum(), x, create_graph=True)
    return Network(outputs, gradient, matrices)


def _weights(bank: int = 4, scale: float = 1.0, dtype=torch.float64, seed: int = 1):
    generator = torch.Generator().manual_seed(seed)
    return tuple(
        (scale * torch.randn(bank, o, i, generator=generator, dtype=dtype)).requires_grad_()
        for i, o in zip(WIDTHS[:-1], WIDTHS[1:], strict=True)
    )


def _seen_by(penalty: Penalty, matrices: tuple[Tensor, ...], **kwargs) -> Network:
    return _network(matrices, gradients=penalty.uses_gradients, **kwargs)


@pytest.fixture(params=sorted(PENALTIES))
def penalty(request) -> Penalty:
    return PENALTIES[request.param]()


def test_says_what_it_is(penalty):
    assert PENALTIES[penalty.name] is type(penalty)
    assert penalty.source
    if penalty.has_strength():
        low, high = penalty.default_range
        assert 0 < low < high < math.inf
        grid = default_strengths(penalty.name)
        assert (grid[0], grid[-1]) == pytest.approx((low, high), rel=1e-2)
        assert list(grid) == sorted(set(grid))


def test_is_its_definition(penalty):
    network = _network(_weights())
    value = penalty(network)
    assert value.shape == (4,) and value.dtype == torch.float64
    np.testing.assert_allclose(value.detach().numpy(), CASES[penalty.name](network), rtol=1e-10)


def test_needs_no_more_than_it_declares(penalty):
    matrices = _weights()
    whole, declared = penalty(_network(matrices)), penalty(_seen_by(penalty, matrices))
    assert torch.equal(whole, declared)


def test_networks_do_not_see_each_other(penalty):
    matrices = _weights()
    together = penalty(_seen_by(penalty, matrices))
    if together.requires_grad:
        gradients = torch.autograd.grad(together[1], matrices)
        for gradient in gradients:
            assert gradient[1].abs().max() > 0
            assert not gradient[[0, 2, 3]].any()
    network = _network(matrices)
    for b in range(4):
        one = slice(b, b + 1)
        alone = Network(
            network.outputs[one], network.gradients[one], tuple(m[one] for m in matrices)
        )
        torch.testing.assert_close(penalty(alone)[0], together[b], rtol=1e-12, atol=0)


def test_gradient_is_that_of_finite_differences(penalty):
    matrices = _weights(bank=2)
    if not penalty(_seen_by(penalty, matrices)).requires_grad:
        pytest.skip("a constant")
    assert torch.autograd.gradcheck(lambda *m: penalty(_seen_by(penalty, m, rows=3)), matrices)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("scale", [0.0, 1e-30, 1e-6, 1.0, 1e4])
def test_finite_and_differentiable_for_finite_weights(penalty, scale, dtype):
    matrices = _weights(scale=scale, dtype=dtype)
    value = penalty(_seen_by(penalty, matrices))
    assert value.dtype == dtype
    assert torch.isfinite(value).all() and (value >= 0).all()
    if value.requires_grad:
        gradients = torch.autograd.grad(value.sum(), matrices, allow_unused=True)
        assert all(torch.isfinite(g).all() for g in gradients if g is not None)


def test_repeats_itself(penalty):
    network = _seen_by(penalty, _weights())
    assert torch.equal(penalty(network), type(penalty)()(network))


def test_baselines_add_nothing_and_only_direct_has_no_teacher():
    assert [p.name for p in PENALTIES.values() if not p.has_teacher] == ["direct"]
    assert {n for n, p in PENALTIES.items() if not p.has_strength()} == {
        "none", "direct", "placebo",
    }  # fmt: skip


def test_values_by_hand():
    gradients = torch.tensor([[[3.0, 4.0], [0.0, 1.0]], [[0.0, 0.0], [2.0, 0.0]]])
    matrices = (
        torch.tensor([[[3.0, 0.0], [0.0, 2.0]], [[1.0, 0.0], [0.0, 0.0]]]),
        torch.tensor([[[0.5, 0.0]], [[3.0, 4.0]]]),
    )
    network = Network(torch.zeros(2, 2), gradients, matrices)
    expected = {
        "jacobian": [13.0, 2.0],
        "lipschitz_sampled": [25.0, 4.0],
        "weight_decay": [13.25, 26.0],
        "lipschitz": [1.5, 5.0],
    }
    for name, values in expected.items():
        torch.testing.assert_close(PENALTIES[name]()(network), torch.tensor(values))


@pytest.mark.parametrize("shape", [(1, 5), (5, 1), (4, 4), (7, 3), (3, 7), (64, 64)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_spectral_norm_and_its_gradient_are_those_of_the_svd(shape, dtype):
    torch.manual_seed(0)
    matrix = torch.randn(3, *shape, dtype=dtype).requires_grad_()
    norm = spectral_norm(matrix)
    (gradient,) = torch.autograd.grad(norm.sum(), matrix)
    u, s, vh = torch.linalg.svd(matrix.detach().double())
    tolerance = {torch.float32: 1e-3, torch.float64: 1e-9}[dtype]
    torch.testing.assert_close(norm.double(), s[:, 0], rtol=tolerance / 100, atol=0)
    outer = u[:, :, :1] @ vh[:, :1]
    torch.testing.assert_close(gradient.double(), outer, rtol=0, atol=tolerance)


@pytest.mark.parametrize("shape", [(4, 4), (6, 4), (4, 6)])
def test_repeated_singular_values_have_a_gradient_u_v(shape):
    # All singular values are 2: every u vᵀ with u = W v / 2 is a subgradient.
    generator = torch.Generator().manual_seed(0)
    random = torch.randn(max(shape), min(shape), generator=generator, dtype=torch.float64)
    tall, _ = torch.linalg.qr(random)
    matrix = (2 * (tall if shape[0] >= shape[1] else tall.mT)).unsqueeze(0).requires_grad_()
    norm = spectral_norm(matrix)
    (gradient,) = torch.autograd.grad(norm.sum(), matrix)
    assert norm.item() == pytest.approx(2, rel=1e-12)
    assert torch.linalg.matrix_rank(gradient[0], rtol=1e-9) == 1
    assert gradient.square().sum().item() == pytest.approx(1)
    # σ is convex, so a subgradient G has σ(V) >= σ(W) + <G, V - W> for every V.
    for seed in range(20):
        other = torch.randn(matrix.shape, generator=torch.Generator().manual_seed(seed)).double()
        bound = norm + (gradient * (other - matrix)).sum()
        assert torch.linalg.svdvals(other)[0, 0] >= bound - 1e-9


def test_identity_and_orthogonal_matrices_in_float32():
    matrix = torch.eye(32).repeat(2, 1, 1).requires_grad_()
    norm = spectral_norm(matrix)
    (gradient,) = torch.autograd.grad(norm.sum(), matrix)
    torch.testing.assert_close(norm, torch.ones(2))
    assert torch.isfinite(gradient).all()
    torch.testing.assert_close(gradient.square().sum((1, 2)), torch.ones(2))


def test_zero_matrix_has_norm_zero_and_no_gradient():
    matrix = torch.zeros(2, 5, 3, requires_grad=True)
    norm = spectral_norm(matrix)
    (gradient,) = torch.autograd.grad(norm.sum(), matrix)
    assert not norm.any() and not gradient.any()


@pytest.mark.parametrize("scale", [1e-36, 1e-25, 1e-12, 1e15, 1e30, 1e36])
def test_spectral_norm_of_tiny_and_huge_matrices_in_float32(scale):
    # Their Gram matrices are beyond single precision.
    base = torch.randn(2, 6, 4, generator=torch.Generator().manual_seed(0))
    matrix = (scale * base).requires_grad_()
    norm = spectral_norm(matrix)
    (gradient,) = torch.autograd.grad(norm.sum(), matrix)
    expected = torch.linalg.svdvals(matrix.detach().double())[:, 0]
    torch.testing.assert_close(norm.double(), expected, rtol=1e-5, atol=0)
    torch.testing.assert_close(gradient.square().sum((1, 2)), torch.ones(2))


@pytest.mark.parametrize("scale, depth", [(10.0, 200), (1e30, 6), (1e-3, 200), (1e-30, 6)])
def test_deep_products_neither_overflow_nor_die(scale, depth):
    generator = torch.Generator().manual_seed(0)
    matrices = tuple(
        (scale * torch.randn(2, 4, 4, generator=generator)).requires_grad_() for _ in range(depth)
    )
    log_bound = log_lipschitz_bound(matrices)
    norms = [torch.linalg.svdvals(m.detach().double())[:, 0].clamp_min(1e-12) for m in matrices]
    exact = torch.stack(norms).log().sum(0)
    torch.testing.assert_close(log_bound.double(), exact, rtol=1e-4, atol=0)
    value = PENALTIES["lipschitz"]()(Network(torch.zeros(2, 1), None, matrices))
    gradients = torch.autograd.grad(value.sum(), matrices)
    assert torch.isfinite(value).all()
    assert all(torch.isfinite(g).all() for g in gradients)
    if scale > 1:
        # The square of each gradient is a number too, so Adam keeps moving.
        assert all(torch.isfinite(g.square()).all() for g in gradients)
        if scale < 1e30:
            assert all(g.abs().max() > 1 for g in gradients)


def test_tempered_exp_is_exp_below_its_ceiling_and_once_continuously_differentiable():
    limit = math.log(CEILING)
    below = torch.linspace(-50, limit - 1e-9, 100, dtype=torch.float64)
    torch.testing.assert_close(tempered_exp(below), below.exp(), rtol=1e-12, atol=0)

    points = torch.linspace(limit - 2, limit + 2, 4001, dtype=torch.float64)
    points = torch.cat([points, torch.tensor([limit], dtype=torch.float64)]).sort().values
    points.requires_grad_()
    values = tempered_exp(points)
    (slopes,) = torch.autograd.grad(values.sum(), points)
    assert (values.diff() >= 0).all() and (values.diff() <= 1.1e-3 * CEILING).all()
    # The slope is exp up to the ceiling and stays at the ceiling, at the joint too.
    expected = points.detach().exp().clamp(max=CEILING)
    torch.testing.assert_close(slopes, expected, rtol=1e-9, atol=0)


def test_tempered_exp_takes_another_ceiling_and_stays_finite():
    x = torch.tensor([-1000.0, 0.0, 2.0, 1e6], requires_grad=True)
    value = tempered_exp(x, ceiling=2.0)
    (slope,) = torch.autograd.grad(value.sum(), x)
    assert torch.isfinite(value).all() and torch.isfinite(slope).all()
    expected = torch.tensor([0.0, 1.0, 2 * (1 + 2 - math.log(2)), 2 * (1 + 1e6 - math.log(2))])
    torch.testing.assert_close(value.detach(), expected)
    torch.testing.assert_close(slope, torch.tensor([0.0, 1.0, 2.0, 2.0]))


def test_penalties_are_read_without_torch():
    code = (
        "import smoothray.penalties, smoothray.study.study, sys; assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
