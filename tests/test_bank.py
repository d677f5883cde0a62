"""The teacher bank: many networks trained at once are what each is alone."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call

from smoothray.datasets import Dataset
from smoothray.datasets.augment import near_neighbours
from smoothray.distillation.teaching import teach
from smoothray.distillation.trial import TeacherOutputs, Trial
from smoothray.errors import Failure, TeacherError
from smoothray.penalties import PENALTIES, Network
from smoothray.study.settings import TeacherSettings
from smoothray.teachers.bank import Bank, train_bank
from smoothray.teachers.between import Between
from smoothray.teachers.defaults import Training
from smoothray.teachers.device import choose_device
from smoothray.teachers.layers import chain_weights
from smoothray.teachers.mlp import ACTIVATIONS, MLP, Workspace
from smoothray.teachers.training import Rows

D = 3
PENALISED = ("none", "jacobian", "lipschitz", "lipschitz_sampled", "weight_decay")


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


class Skip(nn.Module):
    """A network of another kind: normalised by row, with a skip, evaluated through vmap."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(D, 6)
        self.norm = nn.LayerNorm(6)
        self.outer = nn.Linear(6, 1)
        self.slope = nn.Parameter(torch.randn(D))

    def forward(self, x: Tensor) -> Tensor:
        return self.outer(torch.tanh(self.norm(self.inner(x)))).squeeze(-1) + x @ self.slope


def mlp() -> nn.Module:
    return MLP(D, (6, 5))


def chain() -> nn.Module:
    return nn.Sequential(nn.Linear(D, 6), nn.ReLU(), nn.Linear(6, 1), nn.Flatten(0))


def make_rows(bank: int, n: int = 30, n_val: int = 12, dtype=torch.float64) -> Rows:
    """Each network's rows depend on its place alone."""
    x = torch.stack([
        torch.randn(n + n_val, D, generator=torch.Generator().manual_seed(b)) for b in range(bank)
    ]).to(dtype)  # fmt: skip
    noise = torch.stack([
        torch.randn(n + n_val, generator=torch.Generator().manual_seed(100 + b))
        for b in range(bank)
    ]).to(dtype)  # fmt: skip
    y = torch.sin(2 * x[..., 0]) + 0.5 * x[..., 1] + 0.3 * noise
    return Rows(x[:, :n], y[:, :n], x[:, n:], y[:, n:])


def parts(rows: Rows) -> list[Tensor]:
    return [part for part in vars(rows).values() if part is not None]


def train(
    factory: Callable[[], nn.Module],
    rows: Rows,
    penalty: str,
    training: Training,
    strengths: Sequence[float] | None = None,
    first_seed: int = 0,
    **options,
) -> Bank:
    count = len(rows.x_train)
    strengths = [0.01] * count if strengths is None else strengths
    seeds = list(range(first_seed, first_seed + count))
    return train_bank(factory, rows, PENALTIES[penalty](), strengths, seeds, training, **options)


def assert_same(bank: Bank, part: slice, alone: Bank, rtol: float = 1e-7) -> None:
    np.testing.assert_allclose(bank.val_loss[part], alone.val_loss, rtol=rtol)
    np.testing.assert_array_equal(bank.best_step[part], alone.best_step)
    np.testing.assert_array_equal(bank.last_step[part], alone.last_step)
    for name, value in alone.parameters.items():
        torch.testing.assert_close(bank.parameters[name][part], value, rtol=rtol, atol=rtol)


def assert_same_bits(one: Bank, other: Bank, part: slice | list[int] = slice(None)) -> None:
    np.testing.assert_array_equal(one.val_loss[part], other.val_loss[part])
    np.testing.assert_array_equal(one.best_step[part], other.best_step[part])
    for name, value in one.parameters.items():
        assert torch.equal(value[part], other.parameters[name][part]), name


def test_an_input_that_is_constant_on_a_networks_rows_moves_nothing_elsewhere():
    rows = make_rows(2)
    rows.x_train[0, :, 1] = 0
    for factory in (mlp, chain):
        bank = train(factory, rows, "none", Training(steps=30))
        moved = rows.x_val.clone()
        moved[..., 1] += 1
        same = (bank.predict(moved) == bank.predict(rows.x_val)).all(1)
        assert same.tolist() == [True, False]


# A network in a bank is the network alone


FULL = Training(steps=80, learning_rate=0.02, patience=1000)
BATCHES = Training(steps=80, learning_rate=0.02, patience=1000, batch_size=8)
STOPPING = Training(steps=160, learning_rate=0.1, patience=30)
STOPPING_IN_BATCHES = Training(steps=160, learning_rate=0.1, patience=30, batch_size=8)
TRAININGS = [FULL, BATCHES, STOPPING, STOPPING_IN_BATCHES]
IDS = ["full", "batches", "stopping", "stopping-in-batches"]


@pytest.mark.parametrize("factory, penalty, training", [
    *[(mlp, name, training) for name in (*PENALISED, "jacobian_between")
      for training in (FULL, STOPPING_IN_BATCHES)],
    (Skip, "jacobian_between", BATCHES),
    *[(factory, "jacobian", training) for factory in (mlp, Skip) for training in (BATCHES, STOPPING)],
    (Skip, "none", FULL), (Skip, "jacobian", STOPPING_IN_BATCHES), (chain, "lipschitz", FULL),
])  # fmt: skip
def test_a_network_in_a_bank_is_that_network_alone(factory, penalty, training):
    rows = make_rows(5)
    bank = train(factory, rows, penalty, training)
    assert not bank.failures and len(bank) == 5
    for b in (0, 3):
        part = slice(b, b + 1)
        alone = train(factory, rows.chunk(part), penalty, training, first_seed=b)
        assert_same(bank, part, alone)


@pytest.mark.parametrize("training", [STOPPING, STOPPING_IN_BATCHES], ids=IDS[2:])
def test_the_case_above_stops_early_at_different_steps(training):
    # Otherwise it would not show that networks may leave a bank while others stay.
    bank = train(mlp, make_rows(5), "none", training)
    assert len(set(bank.last_step.tolist())) >= 3
    assert bank.last_step.min() < training.steps / 2
    # Each stopped at the first look after its patience had run out.
    stopped = bank.last_step < training.steps
    assert (bank.last_step - bank.best_step)[stopped].tolist() == [30] * stopped.sum()


def _plain_training(
    module: nn.Module, rows: Rows, penalty: str, strength: float, training: Training
) -> tuple[float, int, int, dict[str, Tensor]]:
    """One network trained the plain way: torch's Adam, automatic differentiation, a Python loop."""
    module = module.to(rows.x_train.dtype)
    x, y, x_val, y_val = rows.x_train[0], rows.y_train[0], rows.x_val[0], rows.y_val[0]
    adam = torch.optim.Adam(module.parameters(), training.learning_rate)
    decay = torch.optim.lr_scheduler.CosineAnnealingLR(
        adam, training.steps, eta_min=0.01 * training.learning_rate
    )
    best = (math.inf, 0, {})
    step = 0
    while step < training.steps and step - best[1] < training.patience:
        for _ in range(10):
            inputs = x.clone().requires_grad_()
            outputs = module(inputs)
            (gradient,) = torch.autograd.grad(outputs.sum(), inputs, create_graph=True)
            matrices = tuple(p.unsqueeze(0) for p in module.parameters() if p.ndim == 2)
            network = Network(outputs.unsqueeze(0), gradient.unsqueeze(0), matrices)
            loss = (outputs - y).square().mean() + strength * PENALTIES[penalty]()(network)[0]
            adam.zero_grad()
            loss.backward()
            adam.step()
            decay.step()
            step += 1
        with torch.no_grad():
            val_loss = float((module(x_val) - y_val).square().mean())
        if val_loss < best[0]:
            best = (val_loss, step, {n: p.detach().clone() for n, p in module.named_parameters()})
    return best[0], best[1], step, best[2]


@pytest.mark.parametrize("training", [FULL, STOPPING], ids=["full", "stopping"])
@pytest.mark.parametrize("factory, penalty", [
    *[(mlp, name) for name in PENALISED], (Skip, "jacobian"), (chain, "lipschitz"),
])  # fmt: skip
def test_a_bank_trains_as_a_plain_loop_does(factory, penalty, training):
    rows = make_rows(2)
    bank = train(factory, rows, penalty, training, strengths=[0.003, 0.03])
    for b, strength in enumerate([0.003, 0.03]):
        torch.manual_seed(b)
        val_loss, best_step, last_step, parameters = _plain_training(
            factory(), rows.chunk(slice(b, b + 1)), penalty, strength, training
        )
        assert bank.val_loss[b] == pytest.approx(val_loss, rel=1e-6)
        assert (bank.best_step[b], bank.last_step[b]) == (best_step, last_step)
        for name, value in parameters.items():
            torch.testing.assert_close(bank.parameters[name][b], value, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("training", TRAININGS, ids=IDS)
def test_same_seeds_give_the_same_bits_in_float32(training):
    rows = make_rows(4, dtype=torch.float32)
    for penalty in ("jacobian", "lipschitz"):
        first, second = (train(mlp, rows, penalty, training) for _ in range(2))
        assert first.parameters["layers.0.weight"].dtype == torch.float32
        assert_same_bits(first, second)


def test_training_leaves_torchs_own_seed_alone():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    train(mlp, make_rows(2), "none", Training(steps=10))
    assert torch.equal(torch.rand(3), expected)


def test_seeds_and_strengths_belong_to_their_networks():
    rows = make_rows(1)
    same = Rows(*(part.expand(3, *part.shape[1:]) for part in parts(rows)))
    bank = train_bank(mlp, same, PENALTIES["jacobian"](), [0.0, 0.0, 1.0], [7, 8, 7], FULL)
    assert bank.val_loss[0] != bank.val_loss[1]
    jacobians = bank.value_and_gradient(same.x_val)[1].square().sum(-1).mean(-1)
    assert jacobians[2] < 0.5 * jacobians[0]


@pytest.mark.parametrize("penalty", ["jacobian", "lipschitz", "lipschitz_sampled", "weight_decay"])
def test_a_penalty_makes_what_it_measures_smaller(penalty):
    rows = make_rows(1)
    same = Rows(*(part.expand(3, *part.shape[1:]) for part in parts(rows)))
    strengths = [0.0, 0.01, 0.3]
    bank = train_bank(mlp, same, PENALTIES[penalty](), strengths, [1, 1, 1], FULL)
    outputs, gradients = bank.value_and_gradient(same.x_train)
    matrices = tuple(bank.parameters[f"layers.{i}.weight"] for i in (0, 2, 4))
    values = PENALTIES[penalty]()(Network(outputs, gradients, matrices))
    assert values[0] > values[1] > values[2]


@pytest.mark.parametrize("factory, training", [
    (mlp, FULL), (mlp, BATCHES), (mlp, STOPPING), (Skip, STOPPING_IN_BATCHES)
])  # fmt: skip
def test_chunks_give_the_same_results(factory, training):
    rows = make_rows(5)
    whole = train(factory, rows, "jacobian", training, memory_bytes=2**40)
    per_network = 30 * 12 * 8 * 8
    for memory in (1, 3 * per_network):
        chunked = train(factory, rows, "jacobian", training, memory_bytes=memory)
        assert_same(whole, slice(None), chunked)


def test_failures_keep_their_places_over_chunks():
    rows = make_rows(5)
    rows.y_train[3, 0] = math.nan
    bank = train(mlp, rows, "none", Training(steps=20), memory_bytes=1)
    assert list(bank.failures) == [3]


# Best weights


@pytest.mark.parametrize("training", TRAININGS, ids=IDS)
def test_the_weights_kept_are_those_of_the_best_validation_loss(training):
    rows = make_rows(4)
    bank = train(mlp, rows, "none", training)
    recomputed = (bank.predict(rows.x_val) - rows.y_val).square().mean(1)
    np.testing.assert_allclose(bank.val_loss, recomputed, rtol=1e-10)
    assert (bank.best_step <= bank.last_step).all() and (bank.best_step > 0).all()
    assert not any(value.requires_grad for value in bank.parameters.values())


def test_overfitted_networks_go_back_to_their_best():
    rows = make_rows(3, n=15)
    rows.y_train[:] = torch.randn(rows.y_train.shape, generator=torch.Generator().manual_seed(9))
    training = Training(steps=400, learning_rate=0.05, patience=10_000)
    bank = train(lambda: MLP(D, (24,)), rows, "none", training)
    assert (bank.last_step == 400).all() and (bank.best_step < 400).all()
    trained = (bank.predict(rows.x_train) - rows.y_train).square().mean(1)
    assert (trained > 0.1).all(), "the weights kept are the last, not the best"


def test_to_the_end_the_last_weights_are_kept():
    rows = make_rows(3, n=15)
    whole = TeacherSettings(steps=160, learning_rate=0.05, patience=10, stopping="none").training
    bank = train(lambda: MLP(D, (24,)), rows, "none", whole)
    assert (bank.last_step == 160).all() and (bank.best_step == 160).all()
    early = train(lambda: MLP(D, (24,)), rows, "none", TeacherSettings(
        steps=160, learning_rate=0.05, patience=10).training)  # fmt: skip
    assert (early.last_step < 160).all()
    trained, stopped = (b.predict(rows.x_train) - rows.y_train for b in (bank, early))
    assert (trained.square().mean(1) < stopped.square().mean(1)).all()


# Between rows


def test_points_lie_between_a_row_and_a_neighbour_and_are_others_each_time():
    x = make_rows(2, n=40).x_train
    between = Between(x, [3, 4])
    points = between.take()
    assert points.shape == (2, 40, D)
    for b in range(2):
        near = near_neighbours(x[b].numpy())
        starts, ends = np.repeat(np.arange(40), near.shape[1]), near.reshape(-1)
        begin, end = x[b].numpy()[starts], x[b].numpy()[ends]
        for point in points[b].numpy():
            span = end - begin
            place = np.clip(((point - begin) * span).sum(1) / (span**2).sum(1), 0, 1)
            off = np.linalg.norm(begin + place[:, None] * span - point, axis=1)
            assert off.min() < 1e-9
    assert not torch.equal(points, between.take())
    assert torch.equal(points, Between(x, [3, 4]).take())


def test_between_rows_a_network_is_smoother_where_the_penalty_looks_there():
    """Few rows and a strong penalty: at the rows alone a network turns flat there and steep elsewhere."""
    rows = make_rows(6, n=25, n_val=200)
    training = TeacherSettings(steps=400, learning_rate=0.02, stopping="none").training
    steepness = {}
    for penalty in ("jacobian", "jacobian_between"):
        bank = train(lambda: MLP(D, (32,)), rows, penalty, training, strengths=[0.1] * 6)
        gradients = bank.value_and_gradient(rows.x_val)[1]
        steepness[penalty] = float(gradients.square().sum(-1).mean(-1).median())
    assert steepness["jacobian_between"] < steepness["jacobian"]


# Divergence


def _poisoned(kind: str, dtype: torch.dtype) -> tuple[Rows, list[float]]:
    rows, strengths = make_rows(5, dtype=dtype), [0.01] * 5
    if kind == "strength":
        strengths[2] = math.inf
    else:
        getattr(rows, kind)[2].view(-1)[0] = math.nan
    return rows, strengths


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("kind", ["y_train", "x_train", "strength"])
@pytest.mark.parametrize("factory, penalty", [
    (mlp, "jacobian"), (mlp, "lipschitz"), (mlp, "weight_decay"), (Skip, "jacobian"),
])  # fmt: skip
def test_a_diverging_network_is_reported_and_its_neighbours_are_unharmed(
    factory, penalty, kind, dtype
):
    rows, strengths = _poisoned(kind, dtype)
    training = Training(steps=30, learning_rate=0.02, patience=1000)
    bank = train(factory, rows, penalty, training, strengths)
    healthy = train(factory, make_rows(5, dtype=dtype), penalty, training)
    assert bank.failures == {2: "the teacher diverged at step 1"}
    assert not healthy.failures
    assert_same_bits(bank, healthy, [0, 1, 3, 4])
    assert (bank.last_step[[0, 1, 3, 4]] == 30).all()


def test_a_nan_row_in_one_batch_only_is_found_when_it_comes():
    rows = make_rows(5)
    rows.y_train[2, 0] = math.nan
    training = Training(steps=60, learning_rate=0.02, patience=1000, batch_size=6)
    bank = train(mlp, rows, "none", training)
    healthy = train(mlp, make_rows(5), "none", training)
    assert list(bank.failures) == [2] and "diverged at step" in bank.failures[2]
    assert_same_bits(bank, healthy, [0, 1, 3, 4])


def test_a_validation_loss_that_is_never_finite_is_a_failure():
    rows = make_rows(3)
    rows.y_val[1, 0] = math.nan
    bank = train(mlp, rows, "jacobian", Training(steps=60, patience=1000))
    assert bank.failures == {1: "the teacher's validation loss was never finite"}
    healthy = train(mlp, make_rows(3), "jacobian", Training(steps=60, patience=1000))
    assert_same_bits(bank, healthy, [0, 2])


@pytest.mark.parametrize("penalty", ["none", "jacobian", "lipschitz"])
def test_a_bank_that_diverges_as_a_whole_is_reported_network_by_network(penalty):
    rows = make_rows(3, dtype=torch.float32)
    bank = train(mlp, rows, penalty, Training(steps=60, learning_rate=1e30))
    assert sorted(bank.failures) == [0, 1, 2]
    assert all("diverged at step" in reason for reason in bank.failures.values())
    assert bank.spectral_bounds().shape == (3,)


# The perceptron's hand-written passes


@pytest.mark.parametrize("hidden", [(), (5,), (5, 4), (4, 6, 5)], ids=str)
@pytest.mark.parametrize("activation", sorted(ACTIVATIONS))
@pytest.mark.parametrize("with_workspace", [False, True])
def test_the_hand_written_passes_are_automatic_differentiation(activation, hidden, with_workspace):
    bank, n = 3, 7
    networks = []
    for seed in range(bank):
        torch.manual_seed(seed)
        networks.append(MLP(D, hidden, activation).double())
    stacked = {
        name: torch.stack([dict(net.named_parameters())[name].detach() for net in networks])
        .requires_grad_()
        for name, _ in networks[0].named_parameters()
    }  # fmt: skip
    workspace = Workspace() if with_workspace else None
    # The second call finds the first one's buffers.
    for seed in range(2):
        generator = torch.Generator().manual_seed(seed)
        x, c = (torch.randn(bank, n, D, generator=generator).double() for _ in range(2))
        value, gradient = networks[0].stacked_value_and_gradient(stacked, x, workspace)
        loss = (value * c[..., 0]).sum() + (gradient * c).sum() + gradient.pow(2).sum()
        found = [g.clone() for g in torch.autograd.grad(loss, list(stacked.values()))]
        copies = value.detach().clone(), gradient.detach().clone()
        only_value = networks[0].stacked_value(stacked, x, workspace)
        torch.testing.assert_close(only_value, copies[0], rtol=1e-12, atol=1e-12)
        by_value = torch.autograd.grad((only_value * c[..., 0]).sum(), list(stacked.values()))

        for b, network in enumerate(networks):
            inputs = x[b].clone().requires_grad_()
            expected = network(inputs)
            (slope,) = torch.autograd.grad(expected.sum(), inputs, create_graph=True)
            torch.testing.assert_close(copies[0][b], expected.detach(), rtol=1e-10, atol=1e-12)
            torch.testing.assert_close(copies[1][b], slope.detach(), rtol=1e-10, atol=1e-12)
            first = (expected * c[b, :, 0]).sum()
            whole = first + (slope * c[b]).sum() + slope.pow(2).sum()
            for total, hand in ((first, by_value), (whole, found)):
                automatic = torch.autograd.grad(
                    total, list(network.parameters()), retain_graph=True, materialize_grads=True
                )
                for ours, theirs in zip(hand, automatic, strict=True):
                    torch.testing.assert_close(ours[b], theirs, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("activation", sorted(ACTIVATIONS))
def test_activations_are_exact_far_from_zero(activation):
    z = torch.tensor([-800.0, -60.0, -5.0, -1e-9, 0.0, 1e-9, 5.0, 25.0, 60.0, 800.0]).double()
    ours = ACTIVATIONS[activation].apply(z.clone())
    # torch's own softplus is the identity above 20, which is 2e-9 off.
    torch.testing.assert_close(ours, ACTIVATIONS[activation].module()(z), rtol=1e-8, atol=1e-12)
    network = MLP(1, (1,), activation).double()
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            parameter.fill_(float(name.endswith("weight")))
    stacked = {n: p.detach().unsqueeze(0) for n, p in network.named_parameters()}
    inputs = z[:, None].clone().requires_grad_()
    (slope,) = torch.autograd.grad(network(inputs).sum(), inputs)
    _, gradient = network.stacked_value_and_gradient(stacked, z[None, :, None])
    torch.testing.assert_close(gradient[0], slope, rtol=1e-8, atol=1e-12)


def test_depth_does_not_break_the_hand_written_passes():
    rows = make_rows(2)
    bank = train(lambda: MLP(D, (4, 4, 4, 4, 4)), rows, "lipschitz", Training(steps=30))
    assert not bank.failures


# Evaluation


@pytest.mark.parametrize("factory", [mlp, Skip, chain])
def test_bank_and_its_modules_agree(factory):
    rows = make_rows(3)
    bank = train(factory, rows, "none", Training(steps=40))
    values, gradients = bank.value_and_gradient(rows.x_val)
    torch.testing.assert_close(values, bank.predict(rows.x_val), rtol=1e-12, atol=1e-12)
    kept = values.clone(), gradients.clone()
    bank.value_and_gradient(rows.x_val + 1)
    assert torch.equal(values, kept[0]) and torch.equal(gradients, kept[1])
    for b in range(3):
        module = bank.module(b)
        x = rows.x_val[b].clone().requires_grad_()
        outputs = module(x)
        (gradient,) = torch.autograd.grad(outputs.sum(), x)
        torch.testing.assert_close(values[b], outputs.detach(), rtol=1e-9, atol=1e-12)
        torch.testing.assert_close(gradients[b], gradient, rtol=1e-9, atol=1e-12)


def test_a_subclass_with_a_forward_of_its_own_is_trained_as_it_is():
    class Tilted(MLP):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x) + 5 * x.sum(1)

    rows = make_rows(2)
    bank = train(lambda: Tilted(D, (4,)), rows, "jacobian", Training(steps=20))
    state = {name: value[0] for name, value in bank.parameters.items()}
    expected = functional_call(Tilted(D, (4,)).double(), state, (rows.x_val[0],))
    torch.testing.assert_close(bank.predict(rows.x_val)[0], expected)
    assert bank.spectral_bounds() is None


# Spectral bound


class Doubling(nn.Sequential):
    def forward(self, x: Tensor) -> Tensor:
        return 2 * super().forward(x)


def _shared() -> nn.Module:
    """Two layers with one weight matrix, which counts twice."""
    first, second, last = nn.Linear(D, D), nn.Linear(D, D), nn.Linear(D, 1)
    with torch.no_grad():
        second.weight.mul_(5)
    first.weight = second.weight
    return nn.Sequential(first, nn.LeakyReLU(), second, nn.LeakyReLU(), last, nn.Flatten(0))


@pytest.mark.parametrize("factory", [
    mlp,
    lambda: MLP(D, ()),
    lambda: MLP(D, (4,), "relu"),
    lambda: MLP(D, (4, 4), "softplus"),
    chain,
    lambda: nn.Sequential(
        nn.Sequential(nn.Linear(D, 5), nn.Softsign()), nn.Identity(), nn.Linear(5, 4),
        nn.Hardtanh(), nn.Linear(4, 1), nn.Flatten(0),
    ),
    _shared,
])  # fmt: skip
def test_the_spectral_bound_of_a_chain_bounds_its_gradients(factory):
    rows = make_rows(3)
    bank = train(factory, rows, "none", Training(steps=60, learning_rate=0.05))
    bounds = bank.spectral_bounds()
    assert bounds.shape == (3,) and bounds.dtype == np.float64
    x = 3 * torch.randn(3, 500, D, generator=torch.Generator().manual_seed(0)).double()
    steepest = bank.value_and_gradient(x)[1].norm(dim=-1).amax(-1).numpy()
    assert (steepest <= bounds * (1 + 1e-9)).all() and (steepest > 0.01 * bounds).all()
    for b in range(3):
        product = 1.0
        for name in chain_weights(bank.module(b)):
            product *= float(torch.linalg.svdvals(bank.parameters[name][b])[0])
        assert bounds[b] == pytest.approx(product, rel=1e-10)


def test_the_spectral_bound_of_a_linear_network_is_its_slope():
    bank = train(lambda: MLP(D, ()), make_rows(2), "none", Training(steps=30))
    slopes = bank.parameters["layers.0.weight"].norm(dim=(1, 2))
    np.testing.assert_allclose(bank.spectral_bounds(), slopes, rtol=1e-12)


@pytest.mark.parametrize("factory", [
    Skip,
    lambda: nn.Sequential(nn.Linear(D, 4), nn.LayerNorm(4), nn.Linear(4, 1), nn.Flatten(0)),
    lambda: nn.Sequential(nn.Linear(D, 4), nn.GELU(), nn.Linear(4, 1), nn.Flatten(0)),
    lambda: nn.Sequential(
        nn.Linear(D, 4), nn.LeakyReLU(3.0), nn.Linear(4, 1), nn.Flatten(0)
    ),
    lambda: nn.Sequential(nn.Linear(D, 4), nn.PReLU(), nn.Linear(4, 1), nn.Flatten(0)),
    lambda: Doubling(nn.Linear(D, 1), nn.Flatten(0)),
    lambda: nn.Sequential(Doubling(nn.Linear(D, 1)), nn.Flatten(0)),
])  # fmt: skip
def test_no_bound_where_layers_bound_nothing_and_then_no_lipschitz_penalty(factory):
    rows = make_rows(2)
    bank = train(factory, rows, "jacobian", Training(steps=10))
    assert bank.spectral_bounds() is None
    with pytest.raises(TeacherError, match="lipschitz_sampled"):
        train(factory, rows, "lipschitz", Training(steps=10))


# What is refused


class MixesRows(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(D, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x - x.mean(0)).squeeze(-1)


class Squeezes(MixesRows):
    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x).squeeze()


class DropsOut(MixesRows):
    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.dropout(self.linear(x), training=self.training).squeeze(-1)


class NoParameters(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.sum(1)


def _with(layer: nn.Module) -> Callable[[], nn.Module]:
    return lambda: nn.Sequential(nn.Linear(D, 4), layer, nn.Linear(4, 1), nn.Flatten(0))


@pytest.mark.parametrize("factory, reason", [
    (_with(nn.BatchNorm1d(4)), r"layer '1' \(BatchNorm1d\) mixes rows.*LayerNorm"),
    (_with(nn.Dropout(0.1)), r"layer '1' \(Dropout\) is random"),
    (_with(nn.AlphaDropout(0.1)), r"\(AlphaDropout\) is random"),
    (MixesRows, "changes with the other rows"),
    (DropsOut, "changes with the other rows"),
    (lambda: nn.Linear(D, 1), r"\(n, d\) to \(n,\), but mapped \(3, 3\) to \(3, 1\).*Flatten"),
    (Squeezes, r"mapped \(1, 3\) to \(\)"),
    (lambda: MLP(D + 1, (4,)), r"cannot take inputs of shape \(3, 3\)"),
    (NoParameters, "no parameters"),
])  # fmt: skip
def test_unsuitable_networks_are_refused_with_the_reason(factory, reason):
    with pytest.raises(TeacherError, match=reason):
        train(factory, make_rows(2), "none", Training(steps=10))


def test_devices():
    assert choose_device("cpu").type == "cpu"
    if not torch.cuda.is_available():
        assert choose_device("auto").type == "cpu"
        with pytest.raises(TeacherError, match="no GPU"):
            choose_device("cuda")


# Teachers' outputs


def test_a_study_trains_as_the_bank_does_by_default():
    settings, training, network = TeacherSettings(), Training(), MLP(D)
    for name in ("steps", "learning_rate", "patience", "batch_size"):
        assert getattr(settings, name) == getattr(training, name)
    named = MLP(D, settings.hidden, settings.activation)
    assert repr(named) == repr(network) and named.activation == network.activation


SETTINGS = TeacherSettings(hidden=(6,), steps=60, patience=60, learning_rate=0.02, device="cpu")


@pytest.fixture(scope="module")
def trials() -> list[Trial]:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(48, 2)) * [1, 20] + [0, 7]
    y = 100 + 30 * np.sin(X[:, 0]) + X[:, 1]
    dataset = Dataset("made", X, y, ("a", "b"), "y")
    return [Trial.of(dataset, number, seed=0) for number in range(3)]


@pytest.mark.parametrize("penalty", ["none", "lipschitz"])
def test_lessons_are_what_the_teacher_says(trials, penalty):
    all_outputs = teach(trials, penalty, [0.01] * 3, 1, [0, 2], SETTINGS)
    for trial, outputs in zip(trials, all_outputs, strict=True):
        assert isinstance(outputs, TeacherOutputs)
        assert {k: v.shape for k, v in outputs.outputs.items()} == {
            part: (len(trial.y[part]),) for part in ("train", "val", "test")
        }
        assert list(outputs.new) == [2] and outputs.new[2].shape == (2 * len(trial.y["train"]),)
        assert all(values.dtype == np.float64 for values in outputs.outputs.values())
        assert 0 < outputs.jacobian <= outputs.gradient_max**2 <= outputs.spectral**2 * (1 + 1e-5)
        assert np.corrcoef(outputs.outputs["train"], trial.y["train"])[0, 1] > 0.5
        assert outputs.seconds > 0


def test_an_ensemble_is_the_mean_of_its_members(trials):
    (together,) = teach(trials[:1], "jacobian", [0.01], 3, [1], SETTINGS)
    # The same seeds one by one: member m of an ensemble has the m-th seed.
    trial = trials[0]
    seeds = trial.teacher_seeds(3)
    assert seeds[:1] == trial.teacher_seeds(1) and len(set(seeds)) == 3

    def rows(part: str) -> tuple[Tensor, Tensor]:
        x, y = (torch.tensor(getattr(trial, axis)[part], dtype=torch.float32) for axis in "xy")
        return x.expand(3, -1, -1), y.expand(3, -1)

    members = train_bank(
        lambda: MLP(2, (6,)), Rows(*rows("train"), *rows("val")), PENALTIES["jacobian"](),
        [0.01] * 3, seeds, Training(60, 0.02, 60),
    )  # fmt: skip
    assert len(set(members.val_loss.tolist())) == 3
    for part in ("train", "val", "test"):
        expected = members.predict(rows(part)[0]).double().mean(0).numpy()
        np.testing.assert_allclose(together.outputs[part], expected, atol=1e-6)
    new = torch.tensor(trial.new_points(1), dtype=torch.float32).expand(3, -1, -1)
    np.testing.assert_allclose(together.new[1], members.predict(new).mean(0), atol=1e-6)
    # Smoothness is that of the mean function, not the mean of the members' smoothness.
    gradients = members.value_and_gradient(rows("test")[0])[1].double().mean(0).numpy()
    assert together.jacobian == pytest.approx((gradients**2).sum(1).mean(), rel=1e-5)
    assert together.gradient_max == pytest.approx(np.linalg.norm(gradients, axis=1).max(), rel=1e-5)
    assert together.spectral == pytest.approx(members.spectral_bounds().mean(), rel=1e-5)


def test_a_failed_teacher_is_a_reason_and_the_other_trials_have_their_lessons(trials):
    all_outputs = teach(trials, "jacobian", [0.01, math.inf, 0.01], 2, [0], SETTINGS)
    assert all_outputs[1] == Failure("the teacher diverged at step 1")
    healthy = teach(trials, "jacobian", [0.01] * 3, 2, [0], SETTINGS)
    for place in (0, 2):
        for part, values in healthy[place].outputs.items():
            np.testing.assert_array_equal(all_outputs[place].outputs[part], values)


class _Features(nn.Module):
    """Random Fourier features in a buffer, a frozen scale, and a parameter that nothing uses."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("waves", torch.randn(2, 8))
        self.scale = nn.Parameter(torch.tensor(0.5), requires_grad=False)
        self.unused = nn.Parameter(torch.zeros(3))
        self.last = nn.Linear(8, 1)

    def forward(self, x):
        return self.last(torch.sin(self.scale * (x @ self.waves))).squeeze(-1)


def _made_rows(networks: int) -> Rows:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(networks, 50, 2, generator=generator, dtype=torch.float64)
    y = torch.sin(x[..., 0]) * x[..., 1]
    return Rows(x[:, :40], y[:, :40], x[:, 40:], y[:, 40:])


def test_buffers_and_frozen_parameters_are_each_networks_own() -> None:
    rows, training = _made_rows(3), Training(steps=60)
    together = train_bank(_Features, rows, PENALTIES["none"](), [0.0] * 3, [1, 2, 3], training)
    for place in range(3):
        part = rows.chunk(slice(place, place + 1))
        alone = train_bank(_Features, part, PENALTIES["none"](), [0.0], [place + 1], training)
        assert torch.allclose(
            together.predict(rows.x_val)[place], alone.predict(part.x_val)[0], atol=1e-10
        )
        module = together.module(place)
        assert module.scale.item() == 0.5
        assert torch.allclose(module(part.x_val[0]), alone.predict(part.x_val)[0], atol=1e-10)


@pytest.mark.parametrize("strength", [1e21, 1e36])
def test_a_strength_that_stalls_the_optimiser_is_a_divergence(strength) -> None:
    rows = _made_rows(2)
    rows = Rows(*(part.float() for part in parts(rows)))
    bank = train_bank(
        lambda: MLP(2, (8,)), rows, PENALTIES["jacobian"](), [0.0, strength], [1, 2], Training(20)
    )
    assert list(bank.failures) == [1] and "diverged at step 1" in bank.failures[1]


def test_a_module_that_branches_on_its_input_is_refused() -> None:
    class Branching(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(2, 1)

        def forward(self, x):
            out = self.layer(x).squeeze(-1)
            return out if (out > -1e9).all() else out * 0

    with pytest.raises(TeacherError, match="cannot be batched by torch.vmap"):
        train_bank(Branching, _made_rows(2), PENALTIES["none"](), [0, 0], [1, 2], Training(20))
