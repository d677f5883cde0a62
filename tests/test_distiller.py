"""SymbolicDistiller as scikit-learn's users use it, with every kind of teacher."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import time
import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_diabetes
from sklearn.ensemble import GradientBoostingRegressor
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import check_random_state
from sklearn.utils.estimator_checks import parametrize_with_checks
from sympy import Float, Symbol
from torch import nn

import smoothray
from smoothray import SymbolicDistiller
from smoothray.errors import TeacherError
from smoothray.formulas import Program, parse
from smoothray.formulas.module import FormulaModule
from smoothray.students import STUDENTS, OperonStudent, RawFormula, Student, select

SMALL = {
    "budget": "quick",
    "student_options": {"population_size": 200, "generations": 20},
    "teacher_options": {"hidden": (16,), "steps": 300},
    "random_state": 0,
}

TINY = {"population_size": 50, "generations": 4}

NOT_EQUIVALENT = {
    "check_sample_weight_equivalence_on_dense_data": "a row of weight 0 still takes a place in the random "
    "split, and the student sees it labelled by the teacher"
}


class Plane(Student):
    """Least squares, at once: the checks are of what is around a student."""

    name = "plane"
    packages = ("numpy",)
    budgets = {"quick": {}, "standard": {}, "thorough": {}}
    operators = ("add", "mul")
    vocabulary = {"add": "+", "mul": "*"}

    def _search(self, X, y, seed):
        rows = np.column_stack([np.ones(len(X)), X])
        weights = np.linalg.lstsq(rows, y)[0]
        terms = [Float(w) * Symbol(f"x{i}") for i, w in enumerate(weights[1:])]
        yield RawFormula(lambda: sum(terms, Float(weights[0])), rows @ weights)


def checked(*arguments, **changes):
    """All of scikit-learn's checks of an estimator."""
    return parametrize_with_checks(
        [SymbolicDistiller("jacobian", 0.01, *arguments, **{**SMALL, **changes})],
        expected_failed_checks=lambda estimator: NOT_EQUIVALENT,
    )


@checked(
    "test_distiller:Plane",
    max_size=60,
    student_options={},
    teacher_options={"hidden": (16,), "steps": 150},
)
def test_scikit_learns_checks(estimator, check):
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".* rows are few")
        check(estimator)


@pytest.mark.slow
@checked()
def test_scikit_learns_checks_with_operon(estimator, check):
    test_scikit_learns_checks(estimator, check)


def small(*arguments, **changes) -> SymbolicDistiller:
    return SymbolicDistiller(*arguments, **{**SMALL, **changes})


def table(n: int = 120, seed: int = 0) -> tuple[pd.DataFrame, pd.Series]:
    rng = np.random.default_rng(seed)
    X = pd.DataFrame(rng.uniform(1, 3, (n, 3)), columns=["mass kg", "x-1", "E"])
    return X, pd.Series(2 * X["mass kg"] * X["x-1"] + 0.5 * X["E"], name="force")


@pytest.fixture(scope="module")
def fitted() -> SymbolicDistiller:
    return small("jacobian", [0.001, 0.1]).fit(*table())


def exported(source: str):
    module: dict = {}
    exec(source, module)
    return module["predict"]


def test_all_that_a_fit_leaves(fitted):
    X, y = table(seed=1)
    assert fitted.score(X, y) > 0.9
    assert fitted.feature_names_in_.tolist() == list(X.columns)
    assert {str(symbol) for symbol in fitted.sympy().free_symbols} <= set(X.columns)
    assert fitted.latex() and fitted.formula_
    front = fitted.pareto_front_
    chosen = front[front["chosen"]]
    assert chosen["formula"].tolist() == [fitted.formula_]
    assert chosen["complexity"].tolist() == [fitted.complexity_]
    assert front["complexity"].is_monotonic_increasing
    curve = fitted.strengths_
    assert curve["strength"].tolist() == [0.001, 0.1] and set(curve["penalty"]) == {"jacobian"}
    assert curve.loc[curve["chosen"], "strength"].tolist() == [fitted.strength_]
    assert front["fidelity_train"].is_monotonic_increasing
    assert curve.loc[curve["chosen"], "r2_val"].item() == curve["r2_val"].max()
    assert (np.diff(curve["teacher_jacobian"]) < 0).all()
    assert fitted.smoothness_["teacher_jacobian"] > 0
    assert np.corrcoef(fitted.teacher_.predict(X), y)[0, 1] > 0.97


def test_exports_are_predictions(fitted):
    X, _ = table(500, seed=2)
    predicted = fitted.predict(X)
    np.testing.assert_allclose(exported(fitted.to_python())(X), predicted, rtol=1e-6)
    rows = torch.tensor(X.to_numpy())
    np.testing.assert_allclose(fitted.to_torch()(rows).detach(), predicted, rtol=1e-6)


def test_the_formula_as_a_module_has_gradients(fitted):
    X, _ = table(20, seed=2)
    module = fitted.to_torch()
    rows = torch.tensor(X.to_numpy(), dtype=torch.float64).requires_grad_()
    (found,) = torch.autograd.grad(module(rows).sum(), rows)
    for column in range(3):
        step = np.zeros(3)
        step[column] = 1e-5
        slope = (fitted.predict(X + step) - fitted.predict(X - step)) / 2e-5
        np.testing.assert_allclose(found[:, column], slope, rtol=1e-4, atol=1e-6)
    assert torch.equal(pickle.loads(pickle.dumps(module))(rows), module(rows))


def test_gradients_of_the_teacher_are_its_slopes(fitted):
    X, _ = table(5, seed=2)
    rows = X.to_numpy()
    gradients = fitted.teacher_.gradients(rows)
    step = np.array([0.0, 1e-2, 0.0])
    slope = (fitted.teacher_.predict(rows + step) - fitted.teacher_.predict(rows - step)) / 2e-2
    np.testing.assert_allclose(gradients[:, 1], slope, rtol=1e-2)


def test_the_same_seed_gives_the_same_formula_whatever_runs_beside(fitted):
    X, y = table()
    again = clone(fitted).set_params(n_jobs=2).fit(X, y)
    assert again.formula_ == fitted.formula_
    assert again.strengths_.equals(fitted.strengths_)
    kept = pickle.loads(pickle.dumps(fitted))
    assert (kept.predict(X) == fitted.predict(X)).all()
    assert (kept.teacher_.predict(X) == fitted.teacher_.predict(X)).all()


def test_in_a_pipeline_a_search_and_a_cross_validation():
    X, y = load_diabetes(return_X_y=True, as_frame=True)
    pipeline = make_pipeline(StandardScaler().set_output(transform="pandas"), small("none"))
    assert np.mean(cross_val_score(pipeline, X, y, cv=3)) > 0.2
    pipeline.fit(X, y)
    assert {s.name for s in pipeline[-1].sympy().free_symbols} <= set(X.columns)
    grid = {"penalty": ["jacobian", "lipschitz"], "strength": [0.001, 0.1]}
    search = GridSearchCV(small(), grid, cv=2).fit(X[:150], y[:150])
    assert len(search.cv_results_["mean_test_score"]) == 4
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    assert search.best_params_["penalty"] in grid["penalty"]


def test_several_outputs_give_a_formula_each():
    X, y = table()
    both = np.column_stack([y, X["E"] ** 2])
    model = small("jacobian", 0.001).fit(X, both)
    assert len(model.formula_) == len(model.teacher_) == len(model.smoothness_) == 2
    assert model.predict(X).shape == (120, 2)
    assert model.score(X, both) > 0.9
    alone = small("jacobian", 0.001).fit(X, y)
    # In a bank of another size the last bits differ, and with them what a search comes to.
    told = model.teacher_[0].predict(X)
    np.testing.assert_allclose(alone.teacher_.predict(X), told, rtol=1e-4)
    assert np.corrcoef(alone.predict(X), model.predict(X)[:, 0])[0, 1] > 0.99
    for place, source in enumerate(model.to_python()):
        np.testing.assert_allclose(exported(source)(X), model.predict(X)[:, place])


class Own(nn.Module):
    """A network with a skip, as no chain is."""

    def __init__(self, d: int) -> None:
        super().__init__()
        self.inner = nn.Sequential(nn.Linear(d, 16), nn.Tanh(), nn.Linear(16, 1))
        self.skip = nn.Linear(d, 1)

    def forward(self, x):
        return self.inner(x) + self.skip(x)


@pytest.mark.parametrize(
    "teacher", [Own, lambda: Own(3), Own(3), nn.Sequential(nn.Linear(3, 9), nn.Tanh(), nn.Linear(9, 1))],
    ids=["class", "factory", "module", "chain"],
)  # fmt: skip
def test_ones_own_network_is_trained_smooth(teacher):
    X, y = table()
    rough, smooth = (
        small("jacobian", strength, teacher=teacher).fit(X, y) for strength in (0.0, 1.0)
    )
    assert rough.score(X, y) > 0.9
    assert smooth.smoothness_["teacher_jacobian"] < 0.8 * rough.smoothness_["teacher_jacobian"]
    assert "own" in repr(smooth.teacher_.module).lower() or "Linear" in repr(smooth.teacher_.module)


def test_a_trained_network_is_left_as_it_is_and_distilled():
    X, y = table()
    torch.manual_seed(0)
    network = Own(3)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    with torch.no_grad():
        told = network(torch.tensor(X.to_numpy(), dtype=torch.float32)).squeeze(1).numpy()
    model = small(teacher=network, prefit=True, selection="fidelity").fit(X, y)
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())
    np.testing.assert_allclose(model.teacher_.predict(X), told, rtol=1e-5)
    assert np.corrcoef(model.predict(X), told)[0, 1] > 0.99
    assert model.penalty_ is None and model.smoothness_["teacher_jacobian"] > 0


def test_any_function_of_arrays_is_distilled():
    X, y = table()
    model = small(teacher=lambda rows: 3 * rows[:, 0] - rows[:, 2], prefit=True).fit(X, y)
    assert model.strengths_["fidelity_val"].item() > 0.99
    assert np.isnan(model.smoothness_["teacher_jacobian"])
    trees = GradientBoostingRegressor(random_state=0).fit(X.to_numpy(), y)
    model = small(teacher=trees, prefit=True).fit(X, y)
    assert (model.teacher_.predict(X) == trees.predict(X.to_numpy())).all()


def test_a_fitted_teacher_survives_cloning_and_takes_frames():
    X, y = table()
    pick = ColumnTransformer([("some", "passthrough", ["mass kg", "x-1"])])
    fitted = make_pipeline(pick, GradientBoostingRegressor(random_state=0)).fit(X, y)
    model = small(teacher=fitted, prefit=True)
    assert clone(model).teacher is fitted
    assert np.mean(cross_val_score(model, X, y, cv=2)) > 0.7
    assert (model.fit(X, y).teacher_.predict(X) == fitted.predict(X)).all()


def test_a_module_without_gradients_is_distilled_but_not_by_them():
    class Detached(Own):
        def forward(self, x):
            return super().forward(x).detach()

    X, y = table()
    model = small(teacher=Detached(3), prefit=True).fit(X, y)
    assert np.isnan(model.smoothness_["teacher_jacobian"])
    with pytest.raises(ValueError, match="compares gradients"):
        small(teacher=Detached(3), prefit=True, selection="sobolev").fit(X, y)


def test_strengths_that_fail_are_told():
    X, y = table()
    with pytest.warns(UserWarning, match="not all was tried; jacobian λ=1e\\+38"):
        model = small("jacobian", np.array([0.01, 1e38])).fit(X, y)
    assert model.strengths_["strength"].tolist() == [0.01]


def test_a_network_that_is_no_chain_has_a_penalty_that_suits_it():
    X, y = table()
    short = {"teacher": Own, "teacher_options": {"steps": 50}, "student_options": TINY}
    told = "'lipschitz' is for a plain chain of layers.*'lipschitz_sampled'"
    with pytest.warns(UserWarning, match=told):
        model = small("lipschitz", 0.1, **short).fit(X, y)
    assert model.penalty_ == "lipschitz_sampled" and model.penalty == "lipschitz"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        named = small("lipschitz_sampled", 0.1, **short).fit(X, y)
        chain = nn.Sequential(nn.Linear(3, 9), nn.Tanh(), nn.Linear(9, 1))
        plain = small("lipschitz", 0.1, **{**short, "teacher": chain}).fit(X, y)
    assert model.formula_ == named.formula_ and plain.penalty_ == "lipschitz"
    with pytest.warns(UserWarning, match=told):
        model = small("auto", **short).fit(X, y)
    assert set(model.strengths_["penalty"]) == {"none", "jacobian_between", "lipschitz_sampled"}


@pytest.fixture
def watched(monkeypatch, tmp_path):
    """Students that note their process, and never come back where a file says so."""

    class Watched(OperonStudent):
        def _search(self, X, y, seed):
            with (tmp_path / "processes").open("a") as file:
                file.write(f"{os.getpid()}\n")
            hang = tmp_path / "hang"
            if hang.exists():
                (tmp_path / "hung").write_text(str(os.getpid()))
                if hang.read_text() == "once":
                    hang.unlink()
                time.sleep(600)
            return super()._search(X, y, seed)

    class Apart(Watched):
        name = "apart"
        needs_own_process = True

    monkeypatch.setitem(STUDENTS, "operon", Watched)
    monkeypatch.setitem(STUDENTS, "apart", Apart)
    return tmp_path


def processes(folder) -> list[int]:
    return list(map(int, (folder / "processes").read_text().split()))


@pytest.mark.parametrize("n_jobs", [None, 2])
def test_a_fit_past_its_time_limit_is_ended_and_told(watched, n_jobs):
    X, y = table()
    model = small("jacobian", [0.001, 0.1], n_jobs=n_jobs, timeout=5, student_options=TINY)
    (watched / "hang").write_text("once")
    with pytest.warns(UserWarning, match="λ=.*: the fit passed its time limit of 5 s"):
        model.fit(X, y)
    assert len(model.strengths_) == 1
    assert not os.path.exists(f"/proc/{(watched / 'hung').read_text()}")
    (watched / "hang").write_text("always")
    told = "no formula came of it; jacobian λ=0.1: the fit passed its time limit of 0.5 s"
    with pytest.raises(ValueError, match=told):
        clone(model).set_params(strength=0.1, timeout=0.5).fit(X, y)
    assert not os.path.exists(f"/proc/{(watched / 'hung').read_text()}")


@pytest.mark.parametrize(
    "how", [{"timeout": 60}, {"student": "apart"}], ids=["limit", "own process"]
)
def test_processes_stay_warm_from_fit_to_fit(watched, how):
    X, y = table()
    for strength in (0.001, 0.1):
        small("jacobian", [strength, 2 * strength], student_options=TINY, **how).fit(X, y)
    used = processes(watched)
    assert len(used) == 4 and len(set(used)) == 1 and os.getpid() not in used
    os.kill(used[0], signal.SIGKILL)  # one that dies while it waits costs nothing
    while os.path.exists(f"/proc/{used[0]}"):
        time.sleep(0.01)
    small("jacobian", 0.001, student_options=TINY, **how).fit(X, y)
    assert len(set(processes(watched))) == 2


def test_a_process_that_dies_is_told(monkeypatch):
    class Crashing(OperonStudent):
        def _search(self, X, y, seed):
            os._exit(3)

    monkeypatch.setitem(STUDENTS, "operon", Crashing)
    with pytest.raises(ValueError, match="jacobian λ=0.1: the student's process died"):
        small("jacobian", 0.1, timeout=60).fit(*table())


ENDING = """
import numpy as np
from smoothray import SymbolicDistiller
X = np.random.default_rng(0).uniform(1, 2, (60, 2))
small = {"population_size": 50, "generations": 5}
model = SymbolicDistiller("none", budget="quick", student_options=small, timeout=60, random_state=0)
print(model.fit(X, X[:, 0]).formula_)
"""


def test_warm_processes_end_with_their_parent_and_without_a_word():
    ended = subprocess.run(
        [sys.executable, "-c", ENDING], capture_output=True, text=True, timeout=120
    )
    assert (ended.returncode, ended.stderr) == (0, "") and ended.stdout


def test_a_penalty_must_give_a_number_a_network(monkeypatch):
    class Scalar(smoothray.Penalty):
        name = "scalar"
        source = "a slip"
        default_range = (1e-2, 1.0)
        uses_gradients = True

        def __call__(self, network):
            return network.gradients.square().sum(2).mean()

    monkeypatch.setitem(smoothray.PENALTIES, "scalar", Scalar)
    with pytest.raises(ValueError, match="'scalar' gave shape .* for 2 networks") as told:
        small("scalar", [0.01, 0.1]).fit(*table())
    assert str(told.value).count("leave the first axis") == 1


def test_frames_without_names_are_taken_by_position():
    X, y = table()
    plain = pd.DataFrame(X.to_numpy())
    model = small("direct").fit(plain, y)
    np.testing.assert_allclose(exported(model.to_python())(plain), model.predict(plain))
    np.testing.assert_allclose(exported(model.to_python())(X), model.predict(plain))


@pytest.mark.parametrize("own", [False, True], ids=["trained here", "prefit"])
def test_a_student_that_matches_slopes_is_given_the_teachers(monkeypatch, own):
    given = []

    class Matching(OperonStudent):
        matches_slopes = True

        def _search_matching(self, X, y, seed, slopes):
            given.append((X, slopes))
            yield RawFormula(lambda: Float(0.2) * Symbol("x0"), 0.2 * X[:, 0])

    monkeypatch.setitem(STUDENTS, "operon", Matching)
    X, y = table()
    teacher = {"teacher": Own(3), "prefit": True} if own else {}
    model = small("jacobian", 0.01, selection="sobolev", augment=2, **teacher).fit(X, y)
    ((inputs, slopes),) = given
    seed = check_random_state(0).randint(2**31 - 1)
    trial = model._trial(X.to_numpy(), y.to_numpy(), None, seed)
    x_scaler, y_scaler = trial.x_scaler, trial.y_scaler
    assert len(inputs) == 3 * len(trial.x["train"])
    expected = model.teacher_.gradients(x_scaler.inverse(inputs)) * x_scaler.scale / y_scaler.scale
    np.testing.assert_allclose(slopes, expected, rtol=1e-3, atol=1e-4)
    if not own:  # of which a column alone says little
        # Its constants stay as they were fitted, and its size is that in the data's units.
        last = model.pareto_front_.iloc[-1]
        slope = parse(last["formula"], {"mass kg": Symbol("a")}).diff(Symbol("a"))
        assert float(slope) == pytest.approx(0.2 * y_scaler.scale / x_scaler.scale[0], rel=1e-3)
        assert last[["complexity", "complexity_standard"]].tolist() == [5, 3] and not last["unsafe"]
    given.clear()
    small("jacobian", 0.01, selection="fidelity", **teacher).fit(X, y)
    assert not given


def test_rows_without_weight_are_left_out():
    X, y = table()
    weights = np.r_[np.ones(60), np.zeros(60)]
    model = small("none").fit(X, np.r_[y[:60], np.full(60, 1e6)], sample_weight=weights)
    assert model.score(X[:60], y[:60]) > 0.8
    with pytest.raises(ValueError, match="fewer than 2 rows have a weight"):
        small("none").fit(X, y, sample_weight=np.eye(120)[0])


def test_constants_of_a_module_are_its_own_each():
    x0, x1 = Symbol("x0"), Symbol("x1")
    module = FormulaModule(2.0 * x0 + 2.0 * x1 + x0**2, ["x0", "x1"])
    assert module.constants.tolist() == [2.0, 2.0]
    with torch.no_grad():
        module.constants[0] = 3.0
    found = module(torch.tensor([[1.0, 0.0], [0.0, 1.0]])).tolist()
    assert sorted(found) in ([2.0, 4.0], [3.0, 3.0])


def test_columns_of_a_prefit_function_are_outputs():
    X, y = table()
    both = np.column_stack([y, -y])
    model = small(teacher=lambda rows: np.column_stack([rows[:, 0], rows[:, 1] ** 2]), prefit=True)
    model.fit(X, both)
    assert "x-1" in model.formula_[1] and "mass kg" in model.formula_[0]


def test_sample_weights_move_the_teacher():
    rng = np.random.default_rng(0)
    X = rng.uniform(-1, 1, (300, 1))
    good = rng.random(300) < 0.5
    y = np.where(good, X[:, 0], 5.0)
    weighted = small("none").fit(X, y, sample_weight=good.astype(float))
    plain = small("none").fit(X, y)
    error = [np.abs(model.predict(X[good]) - X[good, 0]).mean() for model in (weighted, plain)]
    assert error[0] < 0.2 < 1 < error[1]


def test_choosing_by_gradients_takes_a_formula_of_the_front():
    X, y = table()
    by = {s: small("none", selection=s).fit(X, y) for s in ("fidelity", "sobolev")}
    fronts = [model.pareto_front_["formula"].tolist() for model in by.values()]
    assert fronts[0] == fronts[1]
    front = by["sobolev"].pareto_front_
    # The choice by its definition: slopes by differences, on the validation rows.
    model = by["sobolev"]
    seed = check_random_state(0).randint(2**31 - 1)
    trial = model._trial(X.to_numpy(), y.to_numpy(), None, seed)
    rows, scale = trial.raw["val"], trial.x_scaler.scale
    slopes = model.teacher_.gradients(rows) * scale
    told = model.teacher_.predict(rows)
    losses, errors = [], []
    for formula in front["formula"]:
        program = Program(parse(formula, {name: Symbol(name) for name in X}), list(X))
        found = np.column_stack(
            [
                (program.values(rows + step) - program.values(rows - step)) / 2e-6
                for step in np.diag(scale) * 1e-6
            ]
        )
        each = (program.values(rows) - told) ** 2 / told.var()
        each += ((found - slopes) ** 2).sum(1) / (slopes**2).sum(1).mean()
        losses.append(each.mean())
        errors.append(each.std(ddof=1) / np.sqrt(len(each)))
    expected = select(losses, front["complexity"], errors)
    assert front.index[front["chosen"]].tolist() == [expected]
    with pytest.raises(ValueError, match="compares gradients, and this teacher has none"):
        small(teacher=lambda rows: rows[:, 0], prefit=True, selection="sobolev").fit(X, y)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"penalty": "jacobi"}, "unknown penalty 'jacobi'.*did you mean 'jacobian'"),
        ({"penalty": "none", "strength": 0.1}, "takes no strength"),
        ({"strength": -1}, "the strength is -1"),
        ({"strength": "much"}, "the strength is 'much'"),
        ({"strength": []}, "there is no strength"),
        ({"student": "operonn"}, "did you mean 'operon'"),
        ({"budget": "fast"}, "has no budget 'fast'"),
        ({"selection": "acuracy"}, "the selection is 'acuracy'.*did you mean 'accuracy'"),
        ({"validation_fraction": 1.5}, "validation_fraction is 1.5"),
        ({"augment": -1}, "augment is -1"),
        ({"prefit": True}, "prefit=True needs a teacher"),
        ({"teacher": 3, "prefit": True}, "the teacher is 3"),
        ({"teacher": lambda: 3}, "gave int, not a torch module"),
        ({"teacher": nn.Linear(7, 1)}, "or take 3 inputs: RuntimeError"),
        ({"teacher": lambda rows: rows, "prefit": True}, "the teacher must map"),
        ({"teacher": lambda rows: rows[:, 0] * np.nan, "prefit": True}, "are not finite"),
        ({"teacher_options": {"hiden": [3]}}, "no 'hiden'.*did you mean 'hidden'"),
        ({"n_jobs": 0}, "n_jobs is 0"),
        ({"teacher_options": {"ensemble": [1, 2]}}, "one ensemble size"),
        ({"student_options": {"generation": 3}}, "generation"),
        ({"operators": ["ad"]}, "has no operator 'ad'"),
        ({"teacher": nn.Sequential(nn.Linear(3, 1), nn.BatchNorm1d(1))}, "mixes rows"),
        ({"timeout": 0}, "timeout"),
        ({"timeout": "soon"}, "timeout"),
        ({"penalty": None}, "unknown penalty 'None'"),
        ({"augment": 1.5}, "augment is 1.5"),
        ({"teacher": 3}, "the teacher is 3"),
        ({"teacher": lambda rows: rows[:, 0]}, "say prefit=True"),
        ({"teacher": GradientBoostingRegressor()}, "is GradientBoostingRegressor.*prefit=True"),
        ({"teacher": lambda: nn.LSTM(3, 1)}, "cannot be made, or take 3 inputs"),
        ({"teacher": nn.Linear(3, 1).requires_grad_(False)}, "all of them are frozen"),
        ({"teacher": Own(3), "teacher_options": {"ensemble": 3}}, "the same network several times"),
    ],
)  # fmt: skip
def test_parameters_that_cannot_be_used(changes, told):
    with pytest.raises(ValueError, match=told):
        small(**{"penalty": "jacobian", **changes}).fit(*table())


def test_bad_data_has_scikit_learns_messages(fitted):
    X, y = table()
    with pytest.raises(ValueError, match="Input X contains NaN"):
        small().fit(X.assign(E=np.nan), y)
    with pytest.raises(ValueError, match="could not convert string to float"):
        small().fit(X.assign(E="much"), y)
    with pytest.raises(ValueError, match="Found array with 1 sample"):
        small().fit(X[:1], y[:1])
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        small().fit(X, y[:-1])
    two = X.iloc[:, :2]
    with pytest.raises(ValueError, match="feature names"):
        fitted.predict(two)
    with (
        pytest.warns(UserWarning, match="valid feature names"),
        pytest.raises(ValueError, match="X has 2 features, but SymbolicDistiller is expecting 3"),
    ):
        fitted.predict(two.to_numpy())
    with pytest.raises(ValueError, match="feature names"):
        fitted.predict(X.rename(columns={"E": "F"}))
    with pytest.raises(NotFittedError):
        small().predict(X)
    twice = small("none").fit(X, y).set_params(teacher=lambda rows: 1 / 0, prefit=True)
    with pytest.raises(ValueError, match="the teacher cannot predict"):
        twice.fit(X, y)
    with pytest.raises(NotFittedError):
        twice.predict(X)
    for wrong in {"monotone": [1, 0, -1]}, {"units": ["m"]}, {"validation_fraction": "0.2"}:
        with pytest.raises(ValueError, match=f"{next(iter(wrong))} is .*; give"):
            small("none", **wrong).fit(X, y)
    with pytest.raises(ValueError, match="sample_weight is for a teacher"):
        small("direct").fit(X, y, sample_weight=np.ones(len(X)))


def test_what_is_allowed_with_a_warning():
    X, y = table()
    with pytest.warns(UserWarning, match="the same in every row"):
        model = small("jacobian", 0.01).fit(X, np.full(len(X), 7.0))
    assert model.predict(X) == pytest.approx(7, abs=1e-2)
    with pytest.warns(UserWarning, match="the same in every row"):
        model = small("direct").fit(X, np.full(len(X), 1234.5678))
    assert model.predict(X) == pytest.approx(1234.5678, abs=1e-3)
    with pytest.warns(UserWarning, match="6 rows are few"):
        small("jacobian", 0.01).fit(X[:6], y[:6])


def test_where_the_formula_has_no_value_the_mean_stands():
    X = np.linspace(1, 5, 80)[:, None]
    y = np.log(X[:, 0])
    model = small("direct", operators=["add", "log"]).fit(X, y)
    with pytest.warns(RuntimeWarning, match="no value on 1 of 2 rows"):
        predicted = model.predict([[2.0], [-3.0]])
    assert predicted[0] == pytest.approx(np.log(2), abs=0.05)
    assert abs(predicted[1] - y.mean()) < 0.2


def test_a_direct_fit_has_no_teacher():
    model = small("direct").fit(*table())
    assert model.teacher_ is None and model.strength_ is None
    assert model.score(*table()) > 0.9


def test_the_teachers_error_is_plain():
    from smoothray.teachers.fitted import Teacher

    with pytest.raises(TeacherError, match="the teacher must map"):
        Teacher(lambda rows: 3).predict(np.zeros((4, 2)))
