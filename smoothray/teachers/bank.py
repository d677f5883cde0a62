"""The teacher bank: many small networks trained as one batched program.

Fifty small networks trained one after another spend their time on launches. Here every step is one
batched operation for all of them, each network with its own rows, weights, strength and early stopping.
Networks never mix: every operation acts along the bank's axis element by element, so a network that
diverges is frozen and reported, and its neighbours are unharmed.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn

from smoothray.penalties import Network, Penalty
from smoothray.teachers.evaluate import Evaluator, Parameters
from smoothray.teachers.layers import chain_weights, refuse_unsuitable

CHECK_EVERY = 10
"""Steps between looks at the validation loss."""


@dataclass(frozen=True)
class Training:
    """How a bank is trained. `steps` and `patience` count gradient steps."""

    steps: int = 2000
    learning_rate: float = 5e-3
    patience: int = 400
    batch_size: int = 1024
    """Rows in a step; where the training set is not larger, every step sees all of it."""


@dataclass(frozen=True)
class Rows:
    """What a bank learns from, each network its own rows: x is (B, n, d), y is (B, n)."""

    x_train: Tensor
    y_train: Tensor
    x_val: Tensor
    y_val: Tensor

    def chunk(self, part: slice) -> Rows:
        return Rows(self.x_train[part], self.y_train[part], self.x_val[part], self.y_val[part])


@dataclass(frozen=True)
class Bank:
    """B trained networks, each at the step of its best validation loss.

    val_loss: (B,) mean squared error there. best_step, last_step: (B,) steps.
    failures: the reason for each network that failed, by its place in the bank.
    """

    evaluator: Evaluator
    parameters: Parameters
    val_loss: np.ndarray
    best_step: np.ndarray
    last_step: np.ndarray
    failures: dict[int, str] = field(default_factory=dict)
    seconds: float = 0.0

    def __len__(self) -> int:
        return len(self.val_loss)

    @torch.no_grad()
    def predict(self, x: Tensor) -> Tensor:
        """(B, n, d) -> (B, n)."""
        return self.evaluator.value(self.parameters, x)

    @torch.no_grad()
    def value_and_gradient(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(B, n, d) -> (B, n), (B, n, d)."""
        value, gradient = self.evaluator.value_and_gradient(self.parameters, x)
        return value, gradient.clone()

    def spectral_bounds(self) -> np.ndarray | None:
        """(B,) products of the layers' spectral norms, in float64; None where they bound nothing."""
        names = chain_weights(self.evaluator.module)
        if names is None:
            return None
        log_bound = np.zeros(len(self))
        for name in names:
            norms = torch.linalg.matrix_norm(self.parameters[name].double(), ord=2).cpu().numpy()
            log_bound += np.log(np.maximum(norms, np.finfo(float).tiny))
        with np.errstate(over="ignore"):
            return np.exp(log_bound)

    def module(self, index: int) -> nn.Module:
        """Network `index` as a module of its own."""
        module = self.evaluator.fresh()
        state = {name: value[index].detach() for name, value in self.parameters.items()}
        module.load_state_dict(state, strict=False)
        return module.cpu()


def train_bank(
    factory: Callable[[], nn.Module],
    rows: Rows,
    penalty: Penalty,
    strengths: Sequence[float],
    seeds: Sequence[int],
    training: Training,
    *,
    memory_bytes: int | None = None,
) -> Bank:
    """Train len(seeds) networks at once, on the device and in the precision of `rows`.

    factory: makes one untrained network, (n, d) -> (n,), row by row; seeded by `seeds`.
    strengths: one per network (0 for a penalty that takes none).
    memory_bytes: the bank trains in chunks of so many networks that their activations fit; by default
        into a processor's caches.

    Raises TeacherError for a network that cannot be trained in a bank or under this penalty.
    """
    started = time.perf_counter()
    networks = [_initialised(factory, seed) for seed in seeds]
    refuse_unsuitable(networks[0], penalty, rows.x_train[0, :3].cpu())
    size = chunk_size(networks[0], rows, training.batch_size, memory_bytes)
    chunks = [slice(start, start + size) for start in range(0, len(seeds), size)]
    banks = [
        _train_chunk(
            networks[part], rows.chunk(part), penalty, strengths[part], seeds[part], training
        )
        for part in chunks
    ]
    return _concatenate(banks, chunks, time.perf_counter() - started)


def chunk_size(module: nn.Module, rows: Rows, batch_size: int, memory_bytes: int | None) -> int:
    """How many networks to train at once.

    On a CPU beyond what the caches hold every elementwise operation waits for main memory. It depends
    on shapes alone, so that the same bank is always cut in the same places and trains to the same bits.
    """
    if memory_bytes is None:
        memory_bytes = CPU_CHUNK_BYTES
    n = min(rows.x_train.shape[1], batch_size)
    width = sum(value.shape[0] for name, value in module.named_parameters() if value.ndim == 2)
    per_network = n * max(width, 1) * rows.x_train.element_size() * LIVE_COPIES
    return max(1, int(memory_bytes // per_network))


LIVE_COPIES = 8
"""Activation-sized tensors alive at the peak of one step."""
CPU_CHUNK_BYTES = 24 * 2**20


def _initialised(factory: Callable[[], nn.Module], seed: int) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return factory()


def _train_chunk(
    networks: Sequence[nn.Module],
    rows: Rows,
    penalty: Penalty,
    strengths: Sequence[float],
    seeds: Sequence[int],
    training: Training,
) -> Bank:
    x, y = rows.x_train, rows.y_train
    evaluator = Evaluator.of(networks[0], x)
    parameters = {
        name: torch.stack([dict(network.named_parameters())[name].detach() for network in networks])
        .to(x.device, x.dtype)
        .requires_grad_()
        for name, _ in networks[0].named_parameters()
    }
    chain = chain_weights(networks[0]) if penalty.needs_layers else None
    matrices = chain or [name for name, value in parameters.items() if value.ndim == 3]
    run = _Run(parameters, training)
    strength = torch.as_tensor(list(strengths), dtype=x.dtype, device=x.device)
    batches = _Batches(x.shape[1], training.batch_size, seeds, x.device)

    for step in range(training.steps):
        xb, yb = batches.take(run.alive, x, y)
        if penalty.uses_gradients:
            outputs, gradients = evaluator.value_and_gradient(run.parameters, xb)
        else:
            outputs, gradients = evaluator.value(run.parameters, xb), None
        error = (outputs - yb).square().mean(1)
        weights = tuple(run.parameters[name] for name in matrices)
        roughness = penalty(Network(outputs, gradients, weights))
        run.step(error + strength[run.alive] * roughness, step)
        if (step + 1) % CHECK_EVERY == 0 or step + 1 == training.steps:
            with torch.no_grad():
                predicted = evaluator.value(run.parameters, rows.x_val[run.alive])
                loss = (predicted - rows.y_val[run.alive]).square().mean(1)
            run.note(loss, step + 1)
            if run.finished():
                break
    return run.result(evaluator)


class _Batches:
    """Each network's rows for each step; a network's order depends on its own seed alone."""

    def __init__(self, n: int, size: int, seeds: Sequence[int], device: torch.device) -> None:
        self.n, self.size, self.device = n, size, device
        self.orders = [np.random.default_rng([seed, 1]) for seed in seeds]
        self.queue: list[np.ndarray] = []

    def take(self, alive: Tensor, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        if self.n <= self.size:
            if len(alive) == len(x):
                return x, y
            return x[alive], y[alive]
        if not self.queue:
            epoch = np.stack([order.permutation(self.n) for order in self.orders])
            count = self.n // self.size
            self.queue = [epoch[:, i * self.size : (i + 1) * self.size] for i in range(count)]
        rows = torch.as_tensor(self.queue.pop(), device=self.device)[alive]
        return x[alive.unsqueeze(1), rows], y[alive.unsqueeze(1), rows]


class _Run:
    """The state of one chunk's training: Adam (Kingma & Ba 2015), best weights, who is still alive.

    `alive` holds the places of the networks still in training; once half of them have stopped, the
    stopped ones leave the batched program.
    """

    def __init__(self, parameters: Parameters, training: Training) -> None:
        self.training = training
        self.parameters = parameters
        first = next(iter(parameters.values()))
        count = first.shape[0]
        self.alive = torch.arange(count, device=first.device)
        self.training_on = torch.ones(count, dtype=torch.bool, device=first.device)
        self.all_on = True
        self.mean = {name: torch.zeros_like(value) for name, value in parameters.items()}
        self.square = {name: torch.zeros_like(value) for name, value in parameters.items()}
        self.scratch = {name: torch.empty_like(value) for name, value in parameters.items()}
        self.best = {name: value.detach().clone() for name, value in parameters.items()}
        self.best_loss = torch.full((count,), math.inf, dtype=first.dtype, device=first.device)
        self.best_step = torch.zeros(count, dtype=torch.long, device=first.device)
        self.last_step = torch.zeros(count, dtype=torch.long, device=first.device)
        self.diverged = torch.full((count,), -1, dtype=torch.long, device=first.device)

    def step(self, losses: Tensor, step: int) -> None:
        values = list(self.parameters.values())
        gradients: Sequence[Tensor] = torch.autograd.grad(losses.sum(), values)
        with torch.no_grad():
            total = torch.stack([losses.sum(), *(gradient.sum() for gradient in gradients)])
            if not bool(torch.isfinite(total).all()):
                self._freeze_diverged(losses, gradients, step)
            if not self.all_on:
                gradients = self._masked(gradients)
            self._adam(gradients, step)

    def _freeze_diverged(self, losses: Tensor, gradients: Sequence[Tensor], step: int) -> None:
        healthy = torch.isfinite(losses)
        for gradient in gradients:
            healthy &= torch.isfinite(gradient.flatten(1)).all(1)
        newly = self.training_on & ~healthy
        self.diverged[self.alive] = torch.where(newly, step + 1, self.diverged[self.alive])
        self.training_on &= healthy
        self.all_on = bool(self.training_on.all())

    def _masked(self, gradients: Sequence[Tensor]) -> list[Tensor]:
        """Gradients with those of stopped networks at zero, whatever they hold (0 · nan is nan)."""
        return [
            torch.where(self.training_on.view(-1, *[1] * (g.ndim - 1)), g, 0.0) for g in gradients
        ]

    def _adam(self, gradients: Sequence[Tensor], step: int) -> None:
        values, slopes = list(self.parameters.values()), list(gradients)
        mean, square = list(self.mean.values()), list(self.square.values())
        torch._foreach_lerp_(mean, slopes, 1 - BETA_1)
        torch._foreach_mul_(square, BETA_2)
        torch._foreach_addcmul_(square, slopes, slopes, 1 - BETA_2)
        rate = self.training.learning_rate * schedule(step, self.training.steps)
        denominator = list(self.scratch.values())
        torch._foreach_copy_(denominator, square)
        torch._foreach_sqrt_(denominator)
        torch._foreach_mul_(denominator, 1 / math.sqrt(1 - BETA_2 ** (step + 1)))
        torch._foreach_add_(denominator, 1e-8)
        torch._foreach_addcdiv_(values, mean, denominator, -rate / (1 - BETA_1 ** (step + 1)))

    @torch.no_grad()
    def note(self, losses: Tensor, step: int) -> None:
        """Keep what is better, and stop the networks whose patience has run out."""
        places = self.alive
        better = self.training_on & (losses < self.best_loss[places])
        improved = places[better]
        self.best_loss[improved] = losses[better]
        self.best_step[improved] = step
        for name, value in self.parameters.items():
            self.best[name][improved] = value[better]
        self.last_step[places[self.training_on]] = step
        self.training_on &= step - self.best_step[places] < self.training.patience
        on = int(self.training_on.sum())
        if 2 * on <= len(places):
            self._compact()
        self.all_on = on == len(self.alive)

    def _compact(self) -> None:
        keep = self.training_on.nonzero().squeeze(1)
        self.alive = self.alive[keep]
        self.training_on = self.training_on[keep]
        for family in (self.parameters, self.mean, self.square, self.scratch):
            for name, value in family.items():
                family[name] = value.detach()[keep]
        for value in self.parameters.values():
            value.requires_grad_()

    def finished(self) -> bool:
        return len(self.alive) == 0

    def result(self, evaluator: Evaluator) -> Bank:
        failures = {
            place: f"the teacher diverged at step {step}"
            for place, step in enumerate(self.diverged.tolist())
            if step >= 0
        }
        for place, loss in enumerate(self.best_loss.tolist()):
            if not math.isfinite(loss):
                failures.setdefault(place, "the teacher's validation loss was never finite")
        return Bank(
            evaluator,
            self.best,
            self.best_loss.double().cpu().numpy(),
            self.best_step.cpu().numpy(),
            self.last_step.cpu().numpy(),
            failures,
        )


BETA_1, BETA_2 = 0.9, 0.999


def schedule(step: int, steps: int) -> float:
    """Cosine decay of the learning rate to a hundredth (Loshchilov & Hutter 2017, without restarts)."""
    return 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * step / steps))


def _concatenate(banks: Sequence[Bank], chunks: Sequence[slice], seconds: float) -> Bank:
    first = banks[0]
    return Bank(
        first.evaluator,
        {name: torch.cat([bank.parameters[name] for bank in banks]) for name in first.parameters},
        np.concatenate([bank.val_loss for bank in banks]),
        np.concatenate([bank.best_step for bank in banks]),
        np.concatenate([bank.last_step for bank in banks]),
        {
            chunk.start + place: reason
            for bank, chunk in zip(banks, chunks, strict=True)
            for place, reason in bank.failures.items()
        },
        seconds,
    )
