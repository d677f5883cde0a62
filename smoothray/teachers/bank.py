"""The teacher bank: many small networks trained as one batched program.

Fifty small networks trained one after another spend their time on launches. Here every step is one
batched operation for all of them, each network with its own rows, weights, strength and early stopping.
Networks never mix: every operation acts along the bank's axis element by element, so a network that
diverges is frozen and reported, and its neighbours are unharmed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from smoothray.penalties import Penalty
from smoothray.teachers.defaults import Training
from smoothray.teachers.evaluate import Parameters
from smoothray.teachers.layers import chain_weights, refuse_unsuitable
from smoothray.teachers.training import Rows, Trained, train_together


@dataclass(frozen=True)
class Bank(Trained):
    """Trained networks, evaluated together. seconds: what their training took.

    memory_bytes: evaluated as many at a time as this holds.
    """

    seconds: float = 0.0
    memory_bytes: int | None = None

    def __len__(self) -> int:
        return len(self.val_loss)

    @torch.no_grad()
    def predict(self, x: Tensor) -> Tensor:
        """(B, n, d) -> (B, n)."""
        return torch.cat([self.evaluator.value(*part) for part in self._parts(x)])

    @torch.no_grad()
    def value_and_gradient(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(B, n, d) -> (B, n), (B, n, d)."""
        pairs = []
        for part in self._parts(x):
            value, gradient = self.evaluator.value_and_gradient(*part)
            pairs.append((value, gradient.clone()))
        values, gradients = zip(*pairs, strict=True)
        return torch.cat(values), torch.cat(gradients)

    def _parts(self, x: Tensor) -> Iterator[tuple[Parameters, Tensor]]:
        size = chunk_size(self.evaluator.module, x, self.memory_bytes)
        for start in range(0, len(x), size):
            part = slice(start, start + size)
            yield {name: value[part] for name, value in self.parameters.items()}, x[part]

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
    step_rows = rows.x_train[:, : training.batch_size]
    size = chunk_size(networks[0], step_rows, memory_bytes)
    chunks = [slice(start, start + size) for start in range(0, len(seeds), size)]
    trained = [
        train_together(
            networks[part], rows.chunk(part), penalty, strengths[part], seeds[part], training
        )
        for part in chunks
    ]
    return _concatenate(trained, chunks, time.perf_counter() - started, memory_bytes)


def chunk_size(module: nn.Module, x: Tensor, memory_bytes: int | None) -> int:
    """How many networks to train or evaluate at once on rows x: (B, n, d).

    On a CPU beyond what the caches hold every elementwise operation waits for main memory. By default
    it depends on shapes alone, so that the same bank is always cut in the same places and trains to the
    same bits.
    """
    if memory_bytes is None:
        memory_bytes = GPU_CHUNK_BYTES if x.device.type == "cuda" else CPU_CHUNK_BYTES
    width = sum(value.shape[0] for name, value in module.named_parameters() if value.ndim == 2)
    per_network = x.shape[1] * max(width, 1) * x.element_size() * LIVE_COPIES
    return max(1, int(memory_bytes // per_network))


LIVE_COPIES = 8
"""Activation-sized tensors alive at the peak of one step."""
CPU_CHUNK_BYTES = 24 * 2**20
GPU_CHUNK_BYTES = 2 * 2**30


def _initialised(factory: Callable[[], nn.Module], seed: int) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return factory()


def _concatenate(
    parts: Sequence[Trained], chunks: Sequence[slice], seconds: float, memory_bytes: int | None
) -> Bank:
    first = parts[0]
    return Bank(
        first.evaluator,
        {name: torch.cat([part.parameters[name] for part in parts]) for name in first.parameters},
        np.concatenate([part.val_loss for part in parts]),
        np.concatenate([part.best_step for part in parts]),
        np.concatenate([part.last_step for part in parts]),
        {
            chunk.start + place: reason
            for part, chunk in zip(parts, chunks, strict=True)
            for place, reason in part.failures.items()
        },
        seconds,
        memory_bytes,
    )
