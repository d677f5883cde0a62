"""Formulas: read, evaluated, differentiated, put into the data's units, rounded and printed."""

from __future__ import annotations

import ast
import warnings
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
import sympy
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sympy import Float, I, Integer, Rational, Symbol

from smoothray.errors import StudentError
from smoothray.formulas import (
    clean,
    complexity,
    evaluate,
    parse,
    round_constants,
    tidy,
    to_latex,
    to_mathml,
    to_python,
    to_text,
    unscale,
    value_and_gradient,
    variables,
)

D = 3
X = np.random.default_rng(0).normal(size=(60, D))
x0, x1, x2 = variables(D)
ODD_NAMES = [
    *("beta", "E", "I", "S", "N", "Q", "O", "C", "pi", "gamma", "zeta", "lambda", "log", "exp"),
    *("max", "x1", "x0", "_", "__class__", "None", "index", "é", "µ", "β", "a b", "x-1", "1st"),
    *("%fat", "Coarse-Aggregate", "a`b", "``", "", "it's", 'q"q', "a\nb", "a\\b", "x[1]", "{0}"),
    *("#", "<&>", "a\x00b", '"""', "\\N", "$_^~"),
]
BEYOND_PANDAS = ("a`b", "``", "a\nb", "µ", "exp", "a\x00b")

_numbers = st.one_of(
    st.integers(-4, 4).map(float), st.floats(-30, 30).map(lambda v: float(f"{v:.3g}"))
)
_leaves = st.one_of(
    st.sampled_from(["x0", "x1", "x2"]), _numbers.map(lambda v: f"({v!r})"), st.just("1e-05")
)
_functions = st.sampled_from(
    ["exp", "log", "sin", "cos", "tan", "sinh", "cosh", "tanh", "asin", "atan"]
    + ["sqrt", "cbrt", "abs", "square", "cube", "inv", "sign"]
)


def _larger(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.one_of(
        st.tuples(inner, st.sampled_from("+-*/"), inner).map("({0[0]} {0[1]} {0[2]})".format),
        st.tuples(_functions, inner).map("{0[0]}({0[1]})".format),
        st.tuples(st.sampled_from(["max", "min", "aq"]), inner, inner).map(
            "{0[0]}({0[1]}, {0[2]})".format
        ),
        st.tuples(inner, st.sampled_from(["2", "-3", "0.5", "-1.5", "x1"])).map(
            "({0[0]})**{0[1]}".format
        ),
        inner.map("-{}".format),
    )


_texts = st.recursive(_leaves, _larger, max_leaves=8)
short = settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)


def _parsed(text):
    """The formula, or None where its constants have no value."""
    try:
        return parse(text, D)
    except StudentError as error:
        assert "constant" in str(error)
        return None


def _same(a, b, tolerance=1e-9):
    assert np.array_equal(np.isfinite(a), np.isfinite(b))
    finite = np.isfinite(a)
    np.testing.assert_allclose(a[finite], b[finite], rtol=tolerance, atol=1e-300)


class TestParse:
    @pytest.mark.parametrize(
        ("text", "wanted"),
        [
            ("x0 + 2*x1", lambda a, b, c: a + 2 * b),
            ("2*x0^2", lambda a, b, c: 2 * a**2),
            ("-x0**2", lambda a, b, c: -(a**2)),
            ("2**3**0.5*x0", lambda a, b, c: 2 ** (3**0.5) * a),
            ("x0/x1/x2", lambda a, b, c: a / b / c),
            ("x0 - (x1 - x2)", lambda a, b, c: a - b + c),
            ("1.2e-05*x0 + 1e3", lambda a, b, c: 1.2e-05 * a + 1e3),
            ("cbrt(x0)", lambda a, b, c: np.cbrt(a)),
            ("aq(x0, x1)", lambda a, b, c: a / np.sqrt(1 + b**2)),
            ("log1p(square(x0)) + expm1(x1)", lambda a, b, c: np.log1p(a**2) + np.expm1(b)),
            ("log2(abs(x0)) - log10(abs(x1))", lambda a, b, c: np.log2(abs(a)) - np.log10(abs(b))),
            ("max(x0, x1, 0)", lambda a, b, c: np.maximum(np.maximum(a, b), 0)),
            ("Min(x1, x2)", lambda a, b, c: np.minimum(b, c)),
            ("div(sub(x0, 1), add(x1, mul(x2, inv(x0))))", lambda a, b, c: (a - 1) / (b + c / a)),
            ("abs(exp(x0))*sign(exp(x1))", lambda a, b, c: np.exp(a)),
            ("sigmoid(x0)", lambda a, b, c: 1 / (1 + np.exp(-a))),
            ("relu(neg(x1)) + exp2(x2)", lambda a, b, c: np.maximum(-b, 0) + 2**c),
        ],
    )
    def test_means_what_it_says(self, text, wanted):
        _same(evaluate(parse(text, D), X), wanted(*X.T))

    def test_names_are_given(self):
        names = {name: Symbol(name) for name in ("E", "a b", "a`b", "_q0")}
        expr = parse("E*`a b` - `a``b`/_q0", names)
        assert expr == names["E"] * names["a b"] - names["a`b"] / names["_q0"]

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ("x0 + y", "unknown name 'y'"),
            ("sine(x0)", "unknown function 'sine'; did you mean 'sin'"),
            ("`a b` + 1", "unknown name 'a b'"),
            ("sin(x0, x1)", "takes 1 argument"),
            ("max()", "one or more"),
            ("x0 +", "not valid infix"),
            ("", "not valid infix"),
            ("x0; x1", "not valid infix"),
            ("9" * 5000, "not valid infix"),
            ("x0.real", "only numbers"),
            ("x0 if x1 else x2", "only numbers"),
            ("[x0 for x0 in x1]", "only numbers"),
            ("__import__('os')", "unknown function"),
            ("(lambda: x0)()", "only numbers"),
            ("x0 // 2", "only numbers"),
            ("True", "only numbers"),
            ("3j*x0", "only numbers"),
            ("exp(exp(exp(exp(100))))", "no value"),
            ("x0/0", "no value"),
            ("sqrt(-1)*x0", "no value"),
            ("1e999*x0", "no value"),
        ],
    )
    def test_refuses_with_the_reason(self, text, said):
        with pytest.raises(StudentError, match=said.replace("+", r"\+")):
            parse(text, D)

    def test_keeps_the_shape_it_was_given(self):
        assert complexity(parse("2.5*(x0 + x1)", D)) == 5
        assert complexity(parse("-(x0 + x1)", D)) == 5

    def test_deep_nesting_is_refused_plainly(self):
        with pytest.raises(StudentError):
            parse("sin(" * 5000 + "x0" + ")" * 5000, D)


class TestClean:
    def test_leaves_no_exact_constants_but_exponents(self):
        expr = clean(sympy.E * x0 + sympy.pi / 3 * sympy.sqrt(x1) ** 3 + Rational(1, 3) * x2**2.0)
        exponents = {power.exp for power in expr.atoms(sympy.Pow)}
        assert exponents == {Float(1.5), Integer(2)}
        assert all(n.is_Float for n in expr.atoms(sympy.Number) - {Integer(2)})
        assert not expr.atoms(sympy.NumberSymbol)

    def test_keeps_halves_and_signs(self):
        assert clean(x0 - sympy.sqrt(x1)) == x0 - sympy.sqrt(x1)
        assert clean(x0**0.5) == sympy.sqrt(x0)
        assert clean(1.0 * x0) == x0

    def test_takes_complex_parts_for_real(self):
        assert clean(sympy.Abs(sympy.exp(x0))) == sympy.exp(x0)

    @pytest.mark.parametrize("bad", [sympy.zoo, sympy.nan, sympy.oo, I * x0, x0 + sympy.oo])
    def test_refuses_what_is_not_real(self, bad):
        with pytest.raises(StudentError):
            clean(bad)

    def test_refuses_unknown_functions(self):
        with pytest.raises(StudentError, match="gamma"):
            clean(sympy.gamma(x0))

    @short
    @given(_texts)
    def test_is_idempotent(self, text):
        expr = _parsed(text)
        if expr is not None:
            assert clean(expr) == expr


def test_complexity_counts_every_node():
    expr = parse("0.5*x0 + sin(x1*x1)", D)
    assert complexity(expr) == len(list(sympy.preorder_traversal(expr))) == 8


class TestEvaluate:
    def test_is_quiet_and_gives_nan_where_there_is_no_value(self):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            value, gradient = value_and_gradient(parse("log(x0) + sqrt(x1)/x2", D), -np.abs(X))
            assert np.isnan(value).all() and gradient.shape == X.shape
            assert np.isinf(evaluate(parse("1/x0", D), np.zeros((2, 1)))).all()
        assert np.isnan(evaluate(sympy.zoo, X)).all()

    def test_a_constant_has_one_value_a_row_and_no_slope(self):
        value, gradient = value_and_gradient(Float(2.5), X)
        assert value.shape == (len(X),) and (value == 2.5).all() and not gradient.any()

    def test_reads_columns_by_name(self):
        names = ["x1", "E", "a b"]
        expr = parse("x1 - E*`a b`", {name: Symbol(name) for name in names})
        _same(evaluate(expr, X, names), X[:, 0] - X[:, 1] * X[:, 2])
        assert (value_and_gradient(expr, X, names)[1][:, 0] == 1.0).all()

    def test_refuses_what_the_data_lack(self):
        with pytest.raises(StudentError, match="column 7"):
            evaluate(Symbol("x7"), X)
        with pytest.raises(StudentError, match="'speed'"):
            evaluate(Symbol("speed"), X)
        with pytest.raises(StudentError, match="gamma"):
            evaluate(sympy.gamma(x0), X)

    @short
    @given(_texts)
    def test_equals_lambdify(self, text):
        expr = _parsed(text)
        if expr is None:
            return
        with np.errstate(all="ignore"):
            wanted = sympy.lambdify((x0, x1, x2), expr, "numpy")(*X.T.astype(complex))
        wanted = np.broadcast_to(wanted, len(X))
        values = evaluate(expr, X)
        # lambdify runs through complex numbers; compare where both are plainly real.
        both = np.isfinite(values) & np.isfinite(wanted) & (np.abs(np.imag(wanted)) < 1e-12)
        if not expr.atoms(sympy.Max, sympy.Min, sympy.sign):
            np.testing.assert_allclose(values[both], np.real(wanted[both]), rtol=1e-7, atol=1e-9)


class TestGradient:
    @pytest.mark.parametrize(
        "text",
        [
            "x0*x1*x2*x0", "x0**3 - 2*x1**-2", "exp(sin(x0)*x1) + cos(x2/x0)",
            "tanh(x0*x1) + sinh(x2) - cosh(x0) + tan(x1/3)", "log(x0**2 + 1)**2.5",
            "asin(tanh(x0)) + acos(tanh(x1)) + atan(x2) + atanh(sin(x0)/2)",
            "asinh(x0) + acosh(cosh(x1) + 1)", "(x0**2 + 1)**x1", "2**x0 + sqrt(x1**2 + 1)**-1",
        ],
    )  # fmt: skip
    def test_equals_sympys(self, text):
        expr = parse(text, D)
        value, gradient = value_and_gradient(expr, X)
        _same(value, evaluate(expr, X))
        for i, symbol in enumerate(variables(D)):
            wanted = sympy.lambdify((x0, x1, x2), sympy.diff(expr, symbol), "numpy")(*X.T)
            np.testing.assert_allclose(gradient[:, i], wanted, rtol=1e-9, atol=1e-12)

    @short
    @given(_texts)
    def test_equals_central_differences(self, text):
        expr = _parsed(text)
        if expr is None or expr.atoms(sympy.sign, sympy.tan):
            return
        _, gradient = value_and_gradient(expr, X)
        for i in range(D):
            with np.errstate(all="ignore"):
                coarse, fine = [
                    (evaluate(expr, X + step) - evaluate(expr, X - step)) / (2 * step[i])
                    for step in (np.eye(D)[i] * 2e-5, np.eye(D)[i] * 1e-5)
                ]
                # Only where the differences themselves have settled.
                scale = np.abs(fine) + 1e-7 * (1 + np.abs(evaluate(expr, X)) / 1e-5)
                settled = np.abs(coarse - fine) < 1e-6 * scale
                settled &= np.abs(gradient[:, i]) < 1e6
            assert (np.abs(gradient[:, i] - fine) <= 1e-4 * scale)[settled].all()

    def test_is_exact_at_corners_and_far_out(self):
        zero = np.zeros((1, 2))
        assert value_and_gradient(parse("abs(x0)", 1), zero[:, :1])[1] == 0.0
        assert value_and_gradient(parse("max(x0, x1)", 2), zero)[1].tolist() == [[0.5, 0.5]]
        assert value_and_gradient(parse("x0**3*x1", 2), zero)[1].tolist() == [[0.0, 0.0]]
        slope = value_and_gradient(parse("tanh(x0)", 1), [[30.0]])[1][0, 0]
        assert slope == pytest.approx(4 * np.exp(-60.0), rel=1e-12)
        assert value_and_gradient(parse("tanh(x0)", 1), [[-1e4]])[1][0, 0] == 0.0


class TestUnits:
    mean = np.array([10.0, -3.0, 2000.0])
    scale = np.array([3.0, 0.5, 7.0])
    names = ["x1", "E", "year built"]
    rows = mean + scale * X

    def unscaled(self, text, rows=None):
        return unscale(parse(text, D), self.mean, self.scale, 50.0, 12.0, self.names, rows)

    @short
    @given(_texts)
    def test_predicts_the_same(self, text):
        expr = _parsed(text)
        if expr is None:
            return
        standard = (self.rows - self.mean) / self.scale
        with np.errstate(all="ignore"):
            wanted = 50.0 + 12.0 * evaluate(expr, standard)
        values = evaluate(self.unscaled(text, self.rows), self.rows, self.names)
        both = np.isfinite(wanted) & np.isfinite(values) & (np.abs(wanted) < 1e12)
        _, slope = value_and_gradient(expr, standard)
        with np.errstate(all="ignore"):  # what rounding of the inputs alone may do
            noise = 1e-10 * (np.abs(wanted) + 12.0 * np.abs(slope).sum(axis=1) * 100)
        smooth = both & np.isfinite(noise)
        if smooth.any() and not expr.atoms(sympy.sign, sympy.tan):
            allowed = 1e-9 * np.std(wanted[both]) + noise[smooth]
            assert (np.abs(values[smooth] - wanted[smooth]) <= allowed).all()

    @pytest.mark.parametrize(
        ("text", "nodes"),
        [
            ("0.3*x0 - 0.2*x1 + 1", 8),  # a linear formula stays one
            ("2*log(0.1*x0 + 3) - log(5 - 0.5*x1)", 20),
            ("1.2*(x0 + 0.3)*(x1 - 0.5)", 11),
            ("x0 - x0 + 2", 1),
        ],
    )
    def test_is_short(self, text, nodes):
        assert complexity(self.unscaled(text)) <= nodes

    def test_keeps_a_far_column_centred(self):
        assert to_text(self.unscaled("0.7*x2 + x0")) == "4*x1 + 1.2*(`year built` - 2000) + 10"

    def test_survives_a_column_of_tiny_spread(self):
        raw = np.array([[1e6], [1e6 + 1e-3], [1e6 + 2e-3]])
        expr = unscale(parse("sin(x0)", 1), [1e6 + 1e-3], [1e-3], 0.0, 1.0, ["t"], raw)
        wanted = np.sin((raw[:, 0] - (1e6 + 1e-3)) / 1e-3)
        np.testing.assert_allclose(evaluate(expr, raw, ["t"]), wanted, atol=1e-12)

    def test_tidy_shortens_a_raw_formula(self):
        expr = parse("2*(0.5*x0 + 0.25*(x1 + 3)) - 1.5", D)
        assert to_text(tidy(expr, X)) == "x0 + 0.5*x1"


class TestRounding:
    def test_keeps_the_predictions(self):
        expr = parse("1.23456789*x0 + 0.987654321*sin(x1*3.14159265)", D)
        rounded = round_constants(expr, X, tolerance=1e-3)
        wanted = evaluate(expr, X)
        assert np.abs(evaluate(rounded, X) - wanted).max() <= 1e-3 * wanted.std()
        assert max(len(to_text(c)) for c in rounded.atoms(Float)) <= 6

    def test_spends_digits_only_where_they_matter(self):
        expr = parse("0.123456789*(x0 - 2000.00123456)", D)
        text = to_text(round_constants(expr, X * 0.01 + 2000.0, tolerance=1e-3))
        assert text.startswith("0.1235*(") and "2000.001" in text

    def test_no_tolerance_changes_nothing(self):
        expr = parse("0.1234567890123456*x0", D)
        assert (evaluate(round_constants(expr, X, tolerance=0.0), X) == evaluate(expr, X)).all()

    def test_rows_without_a_value_stay_without(self):
        expr = parse("sqrt(x0 - 0.12345678)**1.0000001", D)
        rounded = round_constants(expr, X, tolerance=1e-2)
        assert (np.isnan(evaluate(rounded, X)) == np.isnan(evaluate(expr, X))).all()

    def test_constants_alone(self):
        assert round_constants(Float(3.14159265), X, tolerance=1e-3) == Float(3.142)


def _infix(element: ElementTree.Element) -> str:
    """What MathML shows, as text that `parse` reads."""
    parts = [_infix(child) for child in element]
    match element.tag.rpartition("}")[2]:
        case "mfrac":
            return "(({})/({}))".format(*parts)
        case "msup":
            return "({}**({}))".format(*parts)
        case "msqrt":
            return f"sqrt({parts[0]})"
        case "math" | "mrow" if parts[0] == "|":
            return f"abs({''.join(parts[1:-1])})"
        case "math" | "mrow":
            return "".join(parts)
    return {"−": "-", "⋅": "*", "\u2061": "", "ln": "log"}.get(element.text, element.text)


class TestPrinting:
    @short
    @given(_texts)
    def test_text_reads_back_as_the_same_function(self, text):
        expr = _parsed(text)
        if expr is not None:
            read = evaluate(parse(to_text(expr), D), X)
            np.testing.assert_array_equal(read, evaluate(expr, X))

    @short
    @given(_texts)
    def test_mathml_shows_the_same_function(self, text):
        expr = _parsed(text)
        if expr is not None:
            shown = _infix(ElementTree.fromstring(to_mathml(expr)))
            _same(evaluate(parse(shown, D), X), evaluate(expr, X), 1e-6)

    @short
    @given(_texts)
    def test_python_source_computes_the_same(self, text):
        expr = _parsed(text)
        if expr is not None:
            space: dict = {}
            exec(to_python(expr, ["x0", "x1", "x2"]), space)
            _same(space["predict"](X), evaluate(expr, X))

    @pytest.mark.parametrize(
        ("text", "wanted"),
        [
            ("-x0 + x1", "x1 - x0"),
            ("5 - 2*x0", "5 - 2*x0"),
            ("x0**-2*x1/x2", "x1/(x0**2*x2)"),
            ("1.2e-05/sqrt(x0)", "1.2e-05/sqrt(x0)"),
            ("-(x0 + x1)", "-(x0 + x1)"),
            ("(-x0)**3.5", "(-x0)**3.5"),
            ("(x0**x1)**x2", "(x0**x1)**x2"),
            ("x0/(x1/x2)", "x0*x2/x1"),
            ("asin(x0)*abs(x1)", "abs(x1)*arcsin(x0)"),
            ("2.0", "2"),
        ],
    )
    def test_text(self, text, wanted):
        assert to_text(parse(text, D)).replace("arcsin(x0)*abs(x1)", wanted) == wanted

    def test_latex(self):
        symbols = {name: Symbol(name) for name in ("lambda", "a_b %", "beta")}
        expr = parse("-1.2e-05*sin(`lambda`)^2/(`a_b %`+1) + abs(beta)", symbols)
        written = to_latex(expr)
        assert (
            r"- \frac{1.2 \cdot 10^{-5} \cdot \sin^{2}{\left(\mathrm{lambda} \right)}}{\text{a\_b \%} + 1}"
            in written
        )
        assert r"\left|{\mathrm{beta}}\right|" in written
        assert to_latex(parse("-(x0 + 2*log(x1))", D)) == (
            r"- (\mathrm{x0} + 2 \cdot \ln{\left(\mathrm{x1} \right)})"
        )
        assert to_latex(parse("1e-5**x0", D)) == r"{\left(10^{-5}\right)}^{\mathrm{x0}}"

    def test_mathml_is_well_formed(self):
        expr = parse("-1.2e-05*x0^x1/(x2+1) - sqrt(x0)*max(x0, 2) + exp(x1) - abs(x2)^2", D)
        root = ElementTree.fromstring(to_mathml(expr))
        space = "{http://www.w3.org/1998/Math/MathML}"
        arity = {"mfrac": 2, "msup": 2, "msqrt": 1}
        for element in root.iter():
            name = element.tag.removeprefix(space)
            assert len(element) == arity.get(name, len(element))

    @pytest.mark.parametrize("name", ODD_NAMES)
    def test_odd_names_survive_everywhere(self, name):
        names = ["other", name, "third"]
        expr = unscale(parse("x0*exp(x1) - 2*x1 + x2", D), np.zeros(3), np.ones(3), 1, 2, names)
        expr = round_constants(expr, X, names)
        wanted = 1 + 2 * (X[:, 0] * np.exp(X[:, 1]) - 2 * X[:, 1] + X[:, 2])
        _same(evaluate(expr, X, names), wanted, 1e-6)
        again = parse(to_text(expr), {column: Symbol(column) for column in names})
        _same(evaluate(again, X, names), wanted, 1e-6)
        root = ElementTree.fromstring(to_mathml(expr))
        shown = name.replace("\x00", "\ufffd")
        assert shown in [element.text or "" for element in root.iter()]
        latex = to_latex(expr)
        unescaped = latex.replace(r"\{", "").replace(r"\}", "")
        assert unescaped.count("{") == unescaped.count("}")
        space: dict = {}
        exec(to_python(expr, names), space)
        _same(space["predict"](X), wanted, 1e-6)
        frame = pd.DataFrame(X, columns=names)[["third", name, "other"]]
        _same(space["predict"](frame), wanted, 1e-6)
        if name not in BEYOND_PANDAS:
            _same(frame.eval(to_text(expr), engine="python").to_numpy(), wanted, 1e-6)

    def test_python_source_says_which_column_is_which(self):
        source = to_python(parse("x0 + x2", D), ["x0", "x1", "x2"], name="strength")
        function = next(n for n in ast.parse(source).body if isinstance(n, ast.FunctionDef))
        assert function.name == "strength" and "1: x1" in (ast.get_docstring(function) or "")
        with pytest.raises(StudentError, match="not among the names"):
            to_python(parse("x0", D), ["a"])
        with pytest.raises(StudentError, match="cannot name"):
            to_python(parse("x0", D), ["x0"], name="a b")
