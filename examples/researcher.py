"""One's own network and one's own penalty: a teacher that leans on few inputs.

python examples/researcher.py
"""

from __future__ import annotations

import torch
from sklearn.datasets import make_friedman1
from torch import nn

import smoothray
from smoothray import SymbolicDistiller, measure_smoothness, smooth_finetune


class FewInputs(smoothray.Penalty):
    """Sum over the inputs of the root mean squared derivative: the group lasso of the gradient."""

    name = "few_inputs"
    source = (
        "Yuan and Lin, Model selection and estimation in regression with grouped variables, 2006"
    )
    default_range = (1e-3, 0.3)
    uses_gradients = True

    def __call__(self, network: smoothray.Network) -> torch.Tensor:
        assert network.gradients is not None
        return (network.gradients.square().mean(1) + 1e-8).sqrt().sum(1)


smoothray.PENALTIES["few_inputs"] = FewInputs


class WithSkip(nn.Module):
    """A perceptron beside a linear layer: (n, d) -> (n, 1)."""

    def __init__(self, d: int) -> None:
        super().__init__()
        self.bend = nn.Sequential(nn.Linear(d, 48), nn.Tanh(), nn.Linear(48, 48), nn.Tanh())
        self.out = nn.Linear(48, 1)
        self.line = nn.Linear(d, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.out(self.bend(x)) + self.line(x)


def main() -> None:
    # Five of the ten inputs matter.
    X, y = make_friedman1(300, n_features=10, noise=1.0, random_state=0)
    for penalty, strength in (("none", "auto"), ("few_inputs", 0.1)):
        model = SymbolicDistiller(
            penalty, strength, teacher=WithSkip, budget="quick", random_state=0, augment=2
        )
        model.fit(X, y)
        slopes = (model.teacher_.gradients(X) ** 2).mean(0) ** 0.5
        print(f"\n{penalty}: {model.formula_}")
        print(f"inputs in the formula: {len(model.sympy().free_symbols)}")
        print(f"root mean squared slopes of the teacher: {slopes.round(1)}")

    # A network that is trained already is distilled as it is, or made smoother first.
    network = model.teacher_.module
    smoother = smooth_finetune(network, X, y, "jacobian", 1.0, steps=300)
    for name, each in (("as it is", network), ("smoother", smoother)):
        copied = SymbolicDistiller(teacher=each, prefit=True, budget="quick", random_state=0)
        fidelity = copied.fit(X, y).strengths_["fidelity_val"].item()
        jacobian = measure_smoothness(each, X)["jacobian"]
        print(f"{name}: mean squared Jacobian {jacobian:.0f}, fidelity {fidelity:.3f}")


if __name__ == "__main__":
    main()
