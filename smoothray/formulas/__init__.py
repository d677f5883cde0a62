"""Formulas as SymPy expressions: read, evaluated, put into the data's units, rounded, printed."""

from smoothray.formulas.functions import VOCABULARY
from smoothray.formulas.latex import to_latex
from smoothray.formulas.mathml import to_mathml
from smoothray.formulas.parsing import names_in, parse
from smoothray.formulas.program import Program, evaluate, value_and_gradient
from smoothray.formulas.rounding import round_constants
from smoothray.formulas.source import to_python
from smoothray.formulas.structure import Structure, structure_of
from smoothray.formulas.text import to_text
from smoothray.formulas.tree import clean, complexity, nesting_of, variables
from smoothray.formulas.units import tidy, unscale

__all__ = [
    "VOCABULARY",
    "Program",
    "Structure",
    "clean",
    "complexity",
    "evaluate",
    "names_in",
    "nesting_of",
    "parse",
    "round_constants",
    "structure_of",
    "tidy",
    "to_latex",
    "to_mathml",
    "to_python",
    "to_text",
    "unscale",
    "value_and_gradient",
    "variables",
]
