"""How far a formula is to be trusted, and the choice of another: structures, units, fronts, repeats."""

from __future__ import annotations

import json
from typing import ClassVar

import numpy as np
import pandas as pd
import pytest
from conftest import Command
from sympy import Symbol

from smoothray import SymbolicDistiller
from smoothray.commands.table import load_table
from smoothray.datasets import parse_spec
from smoothray.datasets.splits import holdout
from smoothray.distillation.attempts import Attempt, attempt_all
from smoothray.distillation.choice import is_monotone, member_of_size, monotone_attempts, of_size
from smoothray.errors import StudentError, StudyError
from smoothray.formulas import parse, structure_of
from smoothray.formulas.dimensions import UnitCheck, check_units, parse_unit
from smoothray.students import STUDENTS, OperonStudent
from smoothray.study.plan import Arm

SYMBOLS = {name: Symbol(name) for name in ("x", "y", "z")}


@pytest.mark.parametrize(
    ("formula", "text", "constants"),
    [
        ("x + 3", "c1*x + c2", (1, 3)),
        ("2*(x + 3)", "c1*x + c2", (2, 6)),
        ("3*x*(2*y + 4)", "c1*(y + c2)*x", (6, 2)),
        ("x/(3*y)", "c1*x/y", (1 / 3,)),
        ("2/(4*x + 1)", "c1/(x + c2)", (0.5, 0.25)),
        ("(3*x)**2", "c1*x**2", (9,)),
        ("sqrt(4*x) + sqrt(-y)", "c1*sqrt(-y) + c2*sqrt(x)", (1, 2)),
        ("abs(-2*x)", "c1*abs(x)", (2,)),
        ("log(2*x + 1)*y - y", "c1*log(c2*x + c3)*y + c4*y", (1, 2, 1, -1)),
        ("max(2*y, x)", "c1*max(c2*x, c3*y)", (1, 1, 2)),
        ("5.5", "c1", (5.5,)),
    ],
)
def test_a_structure_is_what_constants_do_not_change(formula, text, constants):
    structure = structure_of(parse(formula, SYMBOLS))
    assert structure.text == text
    assert structure.constants == pytest.approx(constants)


def test_the_constants_of_a_structure_give_the_formula_back():
    """With its constants filled in, a structure is the formula, whatever its signs and brackets."""
    rows = np.random.default_rng(0).uniform(0.5, 2, (50, 3))
    values = dict(zip("xyz", rows.T, strict=True))
    functions = {"sqrt": np.sqrt, "exp": np.exp, "log": np.log, "tanh": np.tanh, "abs": np.abs}
    for formula in (
        "2*(x + 3*y)*(z - 4)/(5*x + 1)",
        "exp(2*x - 1) + 3*tanh(y*z) - (2*x + 6*y)**2",
        "-sqrt(3*x + y)*abs(-2*z) + log(x*y + 2)**2",
        "(x - 1)**3/(2*y)**2 + 7",
        "x**1.7*y - z**-0.5",
    ):
        structure = structure_of(parse(formula, SYMBOLS))
        constants = {f"c{i}": value for i, value in enumerate(structure.constants, start=1)}
        names = {**values, **functions, **constants}
        assert eval(structure.text, {}, names) == pytest.approx(eval(formula, {}, names)), formula


@pytest.mark.parametrize(
    ("formula", "target", "problem"),
    [
        ("2.5*x + 3.0", "m", ""),
        ("x/y + z", "m/s", ""),
        ("log(0.5*x)*2.0", "kg/m3", ""),
        ("max(2.0*x, y)", "s", ""),
        ("x + y", "m", "are added without a constant between them"),
        ("max(x, y)", "m", "are compared without a constant between them"),
        ("2.0*log(x)", "m", "x in m stands within log, which needs a plain number"),
        ("x*z", "m", "the formula comes to m²/s, and the target is in m"),
    ],
)
def test_units(formula, target, problem):
    units = {"x": parse_unit("m"), "y": parse_unit("s"), "z": parse_unit("m s-1")}
    check = check_units(parse(formula, SYMBOLS), units, parse_unit(target))
    assert check.is_consistent == (not problem)
    assert problem in check.problem


def test_units_of_constants():
    units = {"x": parse_unit("kg/m^3"), "y": parse_unit("day")}
    formula = parse("0.1*x + 3.0*exp(-0.2*y) + 4.0", SYMBOLS)
    check = check_units(formula, units, parse_unit("MPa"))
    assert dict(check.constants) == {0.1: "MPa·m³/kg", 3.0: "MPa", -0.2: "1/d", 4.0: "MPa"}


@pytest.mark.parametrize("text", ["kg/m3", "kg m-3", "kg/m^3", "kg*m**-3"])
def test_one_unit_written_in_many_ways(text):
    assert parse_unit(text) == parse_unit("kilogram / meter ** 3")


def test_what_is_no_unit():
    with pytest.raises(StudyError, match="'banana' is no unit"):
        parse_unit("banana")


class Asked(OperonStudent):
    """Operon, were it to take units; what it was given stands in `given`."""

    takes_units = True
    given: ClassVar[list[object]] = []

    def _search(self, X, y, seed, units=None):
        self.given.append(units)
        return super()._search(X, y, seed)


def test_units_of_a_fit(monkeypatch, tmp_path):
    X, y = data()
    hints = {"units": {"a": "km", "b": "1/s^2"}, "target_unit": "m/s^2"}
    settings = {**QUICK, **hints, "operators": ["add", "mul"], "shorten": False}
    model = SymbolicDistiller("none", **settings).fit(X, y - 1)
    assert isinstance(model.check_units(), UnitCheck)
    assert model.check_units() == check_units(
        model.sympy(), {"a": parse_unit("km"), "b": parse_unit("1/s^2")}, parse_unit("m/s^2")
    )
    assert SymbolicDistiller.load(model.save(tmp_path)).check_units() == model.check_units()
    # A student that takes units gets them in SI's base units, in the columns' order, and others do not.
    Asked.given.clear()
    monkeypatch.setitem(STUDENTS, "asked", Asked)
    SymbolicDistiller("none", student="asked", **settings).fit(X, y)
    SymbolicDistiller("none", student="asked", **QUICK).fit(X, y)
    assert Asked.given == [(("m", "s^-2", "1"), "m*s^-2"), None]
    for wrong, told in (({"d": "m"}, "units names the column 'd'"), ({"a": "banana"}, "no unit")):
        with pytest.raises(ValueError, match=told):
            SymbolicDistiller("none", **{**QUICK, "units": wrong}).fit(X, y)
    with pytest.raises(ValueError, match="units is None"):
        SymbolicDistiller("direct", **QUICK).fit(X, y).check_units()


def attempt(*formulas: str, chosen: int = -1) -> Attempt:
    """An attempt whose front has these formulas, ever larger and better."""
    front = [
        {
            **{
                "complexity": 3 * i + 1,
                "complexity_standard": 3 * i + 2,
                "formula": formula,
                "chosen": False,
            },
            **{f"r2_{part}": 0.1 * i for part in ("train", "val", "test")},
            **{f"fidelity_{part}": 0.1 * i for part in ("train", "val", "test")},
            **{"val_loss_accuracy": 1 - 0.1 * i, "val_error_accuracy": 0.01},
            **{"val_loss_fidelity": 1 - 0.1 * i, "val_error_fidelity": 0.01},
            **{"jacobian": 1.0, "gradient_max": 2.0},
        }
        for i, formula in enumerate(formulas)
    ]
    front[chosen]["chosen"] = True
    return Attempt(Arm("none"), None, {"front": front, "teacher_jacobian": 2.0, "alignment": 0.0})


def test_a_member_of_a_size():
    given = attempt("x", "x*y", "x*y + z")
    assert of_size(given, None) is given
    assert of_size(given, 5).fields["formula"] == "x*y"
    assert [m["chosen"] for m in of_size(given, 5).fields["front"]] == [False, True, False]
    assert of_size(given, 0).fields["formula"] == "x"
    assert given.fields["front"][2]["chosen"]
    assert of_size(given, 5).fields["complexity_standard"] == 5
    # One that is unsafe only where all of the size are.
    unsafe = [{**m, "unsafe": m["complexity"] > 1} for m in given.fields["front"]]
    assert [member_of_size(unsafe, most) for most in (5, 99)] == [0, 0]
    assert member_of_size([{**m, "unsafe": True} for m in unsafe], 5) == 1
    with pytest.raises(StudyError, match="at most 0 nodes; the shortest has 1"):
        member_of_size(given.fields["front"], 0)
    # The loss, which knows of weights, goes before R²; older models have this alone.
    front = [{**m, "val_loss_accuracy": m["complexity"]} for m in given.fields["front"]]
    assert member_of_size(front, 99) == 0
    assert (
        member_of_size([{"complexity": m["complexity"], "r2_val": m["r2_val"]} for m in front], 99)
        == 2
    )


def test_the_next_best_that_is_monotone():
    X = np.random.default_rng(0).uniform(-1, 1, (100, 3))
    assert is_monotone("x + 0*y", "xyz", X, {"x": 1, "y": 1, "z": -1})
    assert not is_monotone("x**2", "xyz", X, {"x": 1})
    given = [attempt("y", "x", "x - x**2"), attempt("-x"), attempt("2*x", "x + y")]
    assert not is_monotone(
        "3/(x - 0.51)", "xyz", X, {"x": -1}
    )  # falls everywhere, but for its pole
    # Slopes are looked at between the rows, too.
    ends = np.array([[-1.0, 0, 0], [1.0, 0, 0]])
    assert not is_monotone("x**3 - 2*x", "xyz", ends, {"x": 1})
    kept, first_holds = monotone_attempts(given, "xyz", X, {"x": 1}, "accuracy")
    assert not first_holds
    # What breaks the sign is not there to be picked.
    assert [m["formula"] for m in kept[0].fields["front"]] == ["y", "x"]
    assert of_size(kept[0], 99).fields["formula"] == "x"
    assert [each.fields.get("formula", "x + y") for each in kept] == ["x", "x + y"]
    with pytest.raises(StudentError, match=r"monotone as asked \(x:-\)"):
        monotone_attempts(given[2:], "xyz", X, {"x": -1}, "accuracy")


def test_a_split_without_any_formula_is_one_that_failed(monkeypatch):
    X, y = data()
    model = SymbolicDistiller("none", monotone={"a": 1}, **QUICK)

    def but_the_first(trials, *settings, **options):
        return [[], *attempt_all(trials[1:], *settings, **options)]

    monkeypatch.setattr("smoothray.distillation.distiller.attempt_all", but_the_first)
    stability = model.stability(X, y, repeats=2)
    assert (stability.failed, stability.repeats["seed"].tolist()) == (1, [1])


def test_a_row_of_units_with_gaps_brackets_and_an_empty_end(tmp_path):
    rows = [f"{i},{i % 7},{'uv'[i % 2]},{2 * i}," for i in range(40)]
    (tmp_path / "a.csv").write_text("\n".join(["T,p,kind,y,", "[K],bar,,mol,", *rows]))
    spec = parse_spec({"file": str(tmp_path / "a.csv"), "target": "y"})
    table = load_table(spec, units="row")
    assert table.units == {"T": "K", "p": "bar", "kind": "", "y": "mol"}
    assert len(table.dataset.y) == 40


def test_test_rows_hang_on_the_seed_alone():
    training, test = holdout(100, 3)
    assert len(test) == 25 and set(training) | set(test) == set(range(100))
    assert np.array_equal(holdout(100, 3)[1], test)
    assert not np.array_equal(holdout(100, 4)[1], test)
    assert len(holdout(100, 3, 0.1)[1]) == 10


def data(rows: int = 60) -> tuple[pd.DataFrame, np.ndarray]:
    X = pd.DataFrame(np.random.default_rng(0).uniform(1, 2, (rows, 3)), columns=["a", "b", "c"])
    return X, (2 * X["a"] * X["b"] + 1).to_numpy()


QUICK = {
    "budget": "quick", "random_state": 0, "student_options": {"generations": 40},
    "teacher_options": {"steps": 100},
}  # fmt: skip


def test_stability_and_another_member(tmp_path):
    X, y = data()
    model = SymbolicDistiller("jacobian", 0.001, monotone={"a": 1}, **QUICK)
    stability = model.stability(X, y, repeats=2)
    assert not hasattr(model, "formula_")
    assert stability.repeats["seed"].tolist() == [0, 1]
    assert stability.scores.loc["r2_test", "lowest"] == stability.repeats["r2_test"].min() > 0.9
    assert stability.columns[["a", "b"]].tolist() == [1.0, 1.0]
    assert stability.structures["count"].sum() == 2
    # The first repeat is what `fit` gives on its rows.
    training, test = holdout(len(y), 0)
    model.fit(X.iloc[training], y[training])
    assert model.score(X.iloc[test], y[test]) == pytest.approx(
        stability.repeats["r2_test"][0], abs=0.02
    )

    short = model.select(model.complexity_ - 1)
    assert short.complexity_ < model.complexity_
    front = short.pareto_front_
    assert front[front["chosen"]]["formula"].tolist() == [short.formula_]
    assert short.sympy() == parse(short.formula_, {n: Symbol(n) for n in X})
    assert np.allclose(short.predict(X), pd.DataFrame(X).eval(short.formula_))
    assert model.pareto_front_["chosen"].sum() == 1 and model.formula_ != short.formula_
    loaded = SymbolicDistiller.load(short.save(tmp_path))
    assert np.array_equal(loaded.predict(X), short.predict(X)) and loaded.monotone == {"a": 1}
    assert loaded.select(99).formula_ == front.sort_values("r2_val")["formula"].iloc[-1]
    with pytest.raises(ValueError, match="no formula has at most 0 nodes"):
        model.select(0)
    with pytest.raises(ValueError, match="column 'd', which the data do not have"):
        SymbolicDistiller(monotone={"d": 1}, **QUICK).fit(X, y)


def test_the_command(tmp_path, main: Command):
    X, y = data()
    table = X.assign(y=y, b2=X["b"])
    for name in ("one", "two"):
        units = pd.DataFrame([["m", "m/s", "", "m2/s", "1"]], columns=table.columns)
        pd.concat([units, table]).to_csv(tmp_path / f"{name}.csv", index=False)
    asked = [
        "--target", "y", "--penalty", "none", "--budget", "quick", "--repeats", 2, "--units", "row",
        "--operators", "add,mul", "--exclude", "b2", "--exclude", "c", "--monotone", "a:+",
        "--pick", 8, "--json",
    ]  # fmt: skip
    results = [
        json.loads(main("distill", tmp_path / f"{n}.csv", *asked).stdout) for n in ("one", "two")
    ]
    # The file's name decides nothing.
    assert results[0] == results[1]
    result = results[0]
    assert result["features"] == ["a", "b"]
    assert result["complexity"] <= 8
    assert result["units"]["problem"] == ""
    assert [repeat["seed"] for repeat in result["repeats"]] == [0, 1]
    assert result["repeats"][0]["formula"] == result["formula"]
    assert set(result["columns_in_formulas"]) == {"a", "b"}
    assert sum(each["count"] for each in result["structures"]) == 2


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--only", "aa"], "--only names the column 'aa', which the table does not have"),
        (["--exclude", "y"], "--exclude names the target 'y'"),
        (["--monotone", "a"], "--monotone 'a': write COLUMN:+"),
        (["--monotone", "q:+"], "column 'q', which the data do not have"),
        (["--units", "a"], "'a' is no COLUMN=UNIT"),
        (["--units", "a=banana"], "'banana' is no unit"),
        (["--units", "q=m"], "--units names the column 'q'"),
        (["--operators", "add,plus"], "plus"),
        (["--repeats", "0"], "--repeats"),
    ],
)
def test_options_that_are_refused(tmp_path, main: Command, options, told):
    X, y = data()
    X.assign(y=y).to_csv(tmp_path / "mine.csv", index=False)
    ended = main("distill", tmp_path / "mine.csv", "--target", "y", *options)
    assert ended.returncode == 2
    assert told in ended.stderr and "Traceback" not in ended.stderr
    assert ended.stdout == ""
