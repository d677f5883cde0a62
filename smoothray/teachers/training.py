"""Gradient descent for networks that are trained together, each stopped at a time of its own."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from smoothray.errors import TeacherError
from smoothray.penalties import Network, Penalty
from smoothray.teachers.between import Between
from smoothray.teachers.defaults import Training
from smoothray.teachers.evaluate import Evaluator, Parameters
from smoothray.teachers.layers import chain_weights

CHECK_EVERY = 10
"""Steps between looks at the validation loss."""


@dataclass(frozen=True)
class Rows:
    """What a bank learns from, each network its own rows: x is (B, n, d), y and the rows' weights (B, n).

    Weights have a mean of 1; without them all rows count the same.
    """

    x_train: Tensor
    y_train: Tensor
    x_val: Tensor
    y_val: Tensor
    w_train: Tensor | None = None
    w_val: Tensor | None = None

    def chunk(self, part: slice | Tensor) -> Rows:
        weights = (None if w is None else w[part] for w in (self.w_train, self.w_val))
        data = (self.x_train, self.y_train, self.x_val, self.y_val)
        return Rows(*(value[part] for value in data), *weights)


@dataclass(frozen=True)
class Trained:
    """What came of training B networks, each at the step of its best validation loss.

    parameters: parameters and buffers by name, with a leading B. val_loss: (B,) mean squared errors.
    best_step, last_step: (B,). failures: the reason for each network that failed, by its place.
    """

    evaluator: Evaluator
    parameters: Parameters
    val_loss: np.ndarray
    best_step: np.ndarray
    last_step: np.ndarray
    failures: dict[int, str]


def train_together(
    networks: Sequence[nn.Module],
    rows: Rows,
    penalty: Penalty,
    strengths: Sequence[float],
    seeds: Sequence[int],
    training: Training,
) -> Trained:
    """Train networks of one architecture on rows of their own, as one batched program."""
    x = rows.x_train
    evaluator = Evaluator.of(networks[0], x)
    state = _stack_state(networks, x)
    trainable = [name for name, value in networks[0].named_parameters() if value.requires_grad]
    chain = chain_weights(networks[0]) if penalty.needs_layers else None
    matrices = chain or [name for name in trainable if state[name].ndim == 3]
    _forget_constants(networks[0], state, trainable, x)
    run = _Run(state, trainable, training)
    strength = torch.as_tensor(list(strengths), dtype=x.dtype, device=x.device)
    batches = _Batches(rows, training.batch_size, seeds)
    takes_between = penalty.uses_gradients and penalty.gradients_at == "between"
    between = Between(x, seeds) if takes_between else None

    for step in range(training.steps):
        inputs, targets, weights = batches.take()
        if between is not None:
            both = torch.cat([inputs, between.take()], 1)
            outputs, gradients = evaluator.value_and_gradient(run.state, both)
            outputs, gradients = outputs[:, : targets.shape[1]], gradients[:, targets.shape[1] :]
        elif penalty.uses_gradients:
            outputs, gradients = evaluator.value_and_gradient(run.state, inputs)
        else:
            outputs, gradients = evaluator.value(run.state, inputs), None
        error = _mean((outputs - targets).square(), weights)
        layers = tuple(run.state[name] for name in matrices)
        roughness = penalty(Network(outputs, gradients, layers))
        if roughness.shape != error.shape:
            raise TeacherError(
                f"the penalty '{penalty.name}' gave shape {tuple(roughness.shape)} for {len(error)} "
                "networks; it must give one number for each: leave the first axis as it is"
            )
        run.step(error + strength[run.alive] * roughness, step)
        if (step + 1) % CHECK_EVERY == 0 or step + 1 == training.steps:
            with torch.no_grad():
                predicted = evaluator.value(run.state, batches.rows.x_val)
                loss = _mean((predicted - batches.rows.y_val).square(), batches.rows.w_val)
            run.note(loss, step + 1)
            left = run.drop_stopped()
            if left is not None:
                batches.keep(left)
                if between is not None:
                    between.keep(left)
            if run.finished():
                break
    return run.result(evaluator)


@contextmanager
def one_thread() -> Iterator[None]:
    """So that the same seed trains to the same bits however many cores there are; small networks are not
    faster on more.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _mean(values: Tensor, weights: Tensor | None) -> Tensor:
    """Means over the rows: (B, n) -> (B,)."""
    return values.mean(1) if weights is None else (weights * values).mean(1)


def _stack_state(networks: Sequence[nn.Module], like: Tensor) -> Parameters:
    """Parameters and buffers of all networks; floating ones on the device and in the precision of `like`."""
    states = [{**dict(n.named_parameters()), **dict(n.named_buffers())} for n in networks]
    stacked = {}
    for name in states[0]:
        value = torch.stack([state[name].detach() for state in states]).to(like.device)
        stacked[name] = value.to(like.dtype) if value.is_floating_point() else value
    return stacked


def _forget_constants(
    module: nn.Module, state: Parameters, trainable: Sequence[str], x: Tensor
) -> None:
    """Take out the first weights of inputs that are constant on a network's rows x: (B, n, d).

    Standardised, such an input is 0 there, so no gradient reaches them: on rows where it differs they would
    add what chance gave them.
    """
    names = chain_weights(module) or []
    if names and names[0] in trainable and names.count(names[0]) == 1:
        weight = state[names[0]]
        if weight.shape[-1] == x.shape[-1]:
            weight.masked_fill_((x == x[:, :1]).all(1)[:, None], 0.0)


class _Batches:
    """Each network's rows for each step; a network's order depends on its own seed alone."""

    def __init__(self, rows: Rows, size: int, seeds: Sequence[int]) -> None:
        self.rows = rows
        self.n, self.size = rows.x_train.shape[1], size
        self.orders = [np.random.default_rng([seed, 1]) for seed in seeds]
        self.queue: list[Tensor] = []

    def take(self) -> tuple[Tensor, Tensor, Tensor | None]:
        """Inputs (B, b, d), targets (B, b) and weights of the next step."""
        x, y, w = self.rows.x_train, self.rows.y_train, self.rows.w_train
        if self.n <= self.size:
            return x, y, w
        if not self.queue:
            epoch = np.stack([order.permutation(self.n) for order in self.orders])
            places = torch.as_tensor(epoch, device=x.device)
            self.queue = list(places[:, : self.n // self.size * self.size].split(self.size, dim=1))
        chosen = self.queue.pop()
        some = None if w is None else w.take_along_dim(chosen, 1)
        return x.take_along_dim(chosen.unsqueeze(2), 1), y.take_along_dim(chosen, 1), some

    def keep(self, places: Tensor) -> None:
        """Go on with the networks at these places of the present ones."""
        self.rows = self.rows.chunk(places)
        self.orders = [self.orders[place] for place in places.tolist()]
        self.queue = [chosen[places] for chosen in self.queue]


class _Run:
    """The state of one chunk's training: Adam (Kingma & Ba 2015), best weights, who is still alive.

    `alive` holds the places of the networks still in training; once half of them have stopped, the
    stopped ones leave the batched program.
    """

    def __init__(self, state: Parameters, trainable: Sequence[str], training: Training) -> None:
        self.training = training
        self.state = state
        self.trainable = list(trainable)
        for name in trainable:
            state[name].requires_grad_()
        first = state[self.trainable[0]]
        count = first.shape[0]
        self.alive = torch.arange(count, device=first.device)
        self.training_on = torch.ones(count, dtype=torch.bool, device=first.device)
        self.all_on = True
        self.mean, self.square, self.scratch = (
            {name: torch.zeros_like(state[name]).requires_grad_(False) for name in trainable}
            for _ in range(3)
        )
        self.best = {name: value.detach().clone() for name, value in state.items()}
        self.best_loss = torch.full((count,), math.inf, dtype=first.dtype, device=first.device)
        self.best_step = torch.zeros(count, dtype=torch.long, device=first.device)
        self.last_step = torch.zeros(count, dtype=torch.long, device=first.device)
        self.diverged = torch.full((count,), -1, dtype=torch.long, device=first.device)

    def step(self, losses: Tensor, step: int) -> None:
        values = [self.state[name] for name in self.trainable]
        gradients: Sequence[Tensor] = torch.autograd.grad(
            losses.sum(), values, allow_unused=True, materialize_grads=True
        )
        with torch.no_grad():
            # Norms rather than sums: where the square of a gradient overflows, Adam would stand still.
            total = torch.stack([losses.sum(), *torch._foreach_norm(list(gradients))])
            if not bool(torch.isfinite(total).all()):
                self._freeze_diverged(losses, gradients, step)
            if not self.all_on:
                gradients = self._masked(gradients)
            self._adam(gradients, step)

    def _freeze_diverged(self, losses: Tensor, gradients: Sequence[Tensor], step: int) -> None:
        healthy = torch.isfinite(losses)
        for gradient in gradients:
            healthy &= torch.isfinite(gradient.flatten(1).norm(dim=1))
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
        # torch.optim's functional Adam is no faster and rounds otherwise: old records would not repeat.
        values, slopes = [self.state[name] for name in self.trainable], list(gradients)
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
        if self.training.keep == "last":
            better = self.training_on & torch.isfinite(losses)
        improved = places[better]
        self.best_loss[improved] = losses[better]
        self.best_step[improved] = step
        for name in self.trainable:
            self.best[name][improved] = self.state[name][better]
        self.last_step[places[self.training_on]] = step
        self.training_on &= step - self.best_step[places] < self.training.patience
        self.all_on = bool(self.training_on.all())

    def drop_stopped(self) -> Tensor | None:
        """Once half of the networks have stopped, leave them out; returns the places of those left."""
        if 2 * int(self.training_on.sum()) > len(self.alive):
            return None
        left = self.training_on.nonzero().squeeze(1)
        self.alive = self.alive[left]
        self.training_on = self.training_on[left]
        self.all_on = True
        for family in (self.state, self.mean, self.square, self.scratch):
            for name, value in family.items():
                family[name] = value.detach()[left]
        for name in self.trainable:
            self.state[name].requires_grad_()
        return left

    def finished(self) -> bool:
        return len(self.alive) == 0

    def result(self, evaluator: Evaluator) -> Trained:
        failures = {
            place: f"the teacher diverged at step {step}"
            for place, step in enumerate(self.diverged.tolist())
            if step >= 0
        }
        for place, loss in enumerate(self.best_loss.tolist()):
            if not math.isfinite(loss):
                failures.setdefault(place, "the teacher's validation loss was never finite")
        return Trained(
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
