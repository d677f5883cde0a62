"""How much faster a bank trains 50 teachers than a loop that trains them one at a time.

Both train the same networks on the same rows with the same Jacobian penalty, optimiser and schedule, and
in double precision they must give the same networks. The loop is PyTorch as one would write it:
`nn.Module`, `torch.optim.Adam`, and the penalty by double backward. Printed are the ratio of their times,
taken in turn within one run, and the largest difference between the two sets of predictions.

    python benchmarks/teacher_bank.py [--steps 100] [--rounds 3]
"""

from __future__ import annotations

import argparse
import statistics
import time

import torch

from smoothray.penalties import PENALTIES
from smoothray.teachers.bank import train_bank
from smoothray.teachers.defaults import Training
from smoothray.teachers.mlp import MLP
from smoothray.teachers.training import Rows, schedule

FEATURES, NETWORKS, STRENGTH = 8, 50, 0.1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rows", type=int, nargs="+", default=[64, 150, 1000])
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    print(
        f"{NETWORKS} networks 64-64 tanh, {FEATURES} features, {options.steps} steps, "
        f"{torch.get_num_threads()} threads, {options.device}"
    )
    print(f"{'rows':>6} {'loop s':>8} {'bank s':>8} {'ratio':>7}  largest difference (float64)")
    for n in options.rows:
        training = Training(steps=options.steps, patience=options.steps)
        difference = compare(make_rows(n, torch.float64, options.device), Training(20, patience=20))
        rows = make_rows(n, torch.float32, options.device)
        times = [
            (timed(loop, rows, training), timed(bank, rows, training))
            for _ in range(options.rounds)
        ]
        slow, fast = (statistics.median(column) for column in zip(*times, strict=True))
        ratio = statistics.median(a / b for a, b in times)
        print(f"{n:>6} {slow:>8.2f} {fast:>8.2f} {ratio:>6.1f}×  {difference:.1e}")


def make_rows(n: int, dtype: torch.dtype, device: str) -> Rows:
    generator = torch.Generator().manual_seed(n)
    x = torch.randn(NETWORKS, n + n // 4, FEATURES, generator=generator, dtype=torch.float64)
    y = torch.sin(2 * x[..., 0]) + x[..., 1] * x[..., 2]
    x, y = x.to(device, dtype), y.to(device, dtype)
    return Rows(x[:, :n], y[:, :n], x[:, n:], y[:, n:])


def bank(rows: Rows, training: Training) -> torch.Tensor:
    trained = train_bank(
        lambda: MLP(FEATURES),
        rows,
        PENALTIES["jacobian"](),
        [STRENGTH] * NETWORKS,
        list(range(NETWORKS)),
        training,
    )
    return trained.predict(rows.x_val)


def loop(rows: Rows, training: Training) -> torch.Tensor:
    return torch.stack([train_one(rows, index, training) for index in range(NETWORKS)])


def train_one(rows: Rows, index: int, training: Training) -> torch.Tensor:
    torch.manual_seed(index)
    network = MLP(FEATURES).to(rows.x_train.device, rows.x_train.dtype)
    x, y = rows.x_train[index].clone().requires_grad_(), rows.y_train[index]
    optimiser = torch.optim.Adam(network.parameters(), lr=training.learning_rate)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda s: schedule(s, training.steps))
    best_loss, best = float("inf"), torch.empty(0)
    for step in range(training.steps):
        optimiser.zero_grad()
        output = network(x)
        (gradient,) = torch.autograd.grad(output.sum(), x, create_graph=True)
        loss = (output - y).square().mean() + STRENGTH * gradient.square().sum(-1).mean()
        loss.backward(inputs=list(network.parameters()))
        optimiser.step()
        scheduler.step()
        if (step + 1) % 10 == 0:
            with torch.no_grad():
                predicted = network(rows.x_val[index])
                val_loss = (predicted - rows.y_val[index]).square().mean().item()
            if val_loss < best_loss:
                best_loss, best = val_loss, predicted
    return best


def compare(rows: Rows, training: Training) -> float:
    return (bank(rows, training) - loop(rows, training)).abs().max().item()


def timed(train, rows: Rows, training: Training) -> float:  # type: ignore[no-untyped-def]
    started = time.perf_counter()
    train(rows, training)
    if rows.x_train.device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
