"""SymbolicDistiller: smooth teachers and their formulas as a scikit-learn regressor."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from copy import copy, deepcopy
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, MultiOutputMixin, RegressorMixin, clone
from sklearn.utils import check_random_state
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data
from sympy import Expr, Symbol

from smoothray.datasets import Dataset
from smoothray.distillation import saved
from smoothray.distillation.anytime import Spent, one_kept, search
from smoothray.distillation.attempts import Attempt, attempt_all
from smoothray.distillation.checks import checked_units, settings_of
from smoothray.distillation.choice import (
    checked_signs,
    member_of_size,
    monotone_attempts,
    of_member,
    strength_of,
)
from smoothray.distillation.outcome import SMOOTHNESS, curve, front
from smoothray.distillation.own_teacher import OwnTeacher
from smoothray.distillation.stability import Stability, stability_of
from smoothray.distillation.trial import Trial
from smoothray.errors import SmoothrayError, StudentError, StudyError
from smoothray.formulas import Program, parse, to_latex, to_python
from smoothray.formulas.dimensions import UnitCheck, check_units, in_base_units, parse_unit
from smoothray.seeds import generator
from smoothray.study.plan import Arm
from smoothray.study.settings import StudentSettings, TeacherSettings

if TYPE_CHECKING:
    from pathlib import Path

    from torch import nn

    from smoothray.datasets import Encoding

Array = NDArray[np.float64]
FEW_ROWS = 30


class FitError(SmoothrayError, ValueError):
    """What a fit cannot be done with, as scikit-learn's users expect it: a ValueError."""


class SymbolicDistiller(MultiOutputMixin, RegressorMixin, BaseEstimator):
    """A regressor whose model is a formula, distilled from a smooth network.

    A network (the teacher) is trained on the rows under a smoothness penalty; symbolic regression (the
    student) fits formulas to what the network predicts; one of them is chosen on validation rows.

    Parameters
    ----------
    penalty : str, default="auto"
        "jacobian_between", "jacobian", "lipschitz", "lipschitz_sampled", "weight_decay", another of
        `smoothray.PENALTIES`, or the import path of one's own, "my_module:MyPenalty". lipschitz suits plain
        chains of layers alone, which the perceptron is; for another network of your own lipschitz_sampled
        takes its place, with a warning. "none" for a plain teacher, "direct" for no teacher at all: formulas
        are fitted to the labels; "auto" tries none, jacobian_between and lipschitz; then strength is "auto"
        too.
    strength : float, sequence of float, or "auto", default="auto"
        How much the penalty weighs against the squared error, both on standardised data. Of several, or of
        five over the penalty's usual range ("auto"), the one whose formula predicts the validation labels
        best is taken. All their teachers are trained together.
    student : {"operon", "pysr", "gplearn"} or an import path, default="operon"
        The symbolic regression program, or one's own, "my_module:MyStudent". PySR needs Julia and runs in a
        process of its own.
    augment : int, default=0
        New inputs per training row, between neighbouring rows, that the teacher labels for the student.
    teacher : torch.nn.Module, callable or None, default=None
        None: a perceptron. A module, whose weights training starts from, or a function that makes one, of
        the number of inputs or of nothing: trained under the penalty on standardised data. With
        `prefit=True` a trained module, an object with `predict`, or any function of arrays, in the data's own
        units: it is distilled as it is.
    prefit : bool, default=False
        Whether the teacher is trained already; penalty and strength then do nothing.
    budget : {"quick", "standard", "thorough"}, default="standard"
        How long the student searches: about 1, 5 and 30 seconds for Operon and some hundred rows.
    max_size : int, default=30
        The most nodes of a formula in the data's own units.
    nesting : {"one", "free"}, default="one"
        How deep sin, exp, log, tanh and their like may stand within each other's arguments: one in another,
        or as deep as they will.
    shorten : bool, default=True
        Whether the student's formulas are made shorter: parts dropped one at a time, the constants that
        remain refitted. Formulas that leave the target's range between the rows are then never chosen.
        Without it the front is the student's own, and its sizes are those on the standard scale.
    simplify : bool, default=False
        Whether constants become 0, 1, -1, 2, 1/2 or a rounder number where the standard error of the
        validation loss allows it; `pareto_front_` says what each formula lost by it.
    operators : sequence of str or None, default=None
        What formulas are made of, such as ("add", "mul", "exp"); None: the student's own set.
    monotone : dict of column to 1 or -1, default=None
        Columns that the formula may not fall with (1) or rise with (-1). Slopes are checked on the training
        and validation rows; where the best formula breaks a sign, the next best that keeps all is taken, with
        a warning.
    units : dict of column to str, default=None
        Units such as "kg/m^3", which `check_units` looks at; columns without one have none. PySR's search
        also keeps to formulas that are consistent in them; what `shorten` drops may break that again.
    target_unit : str, default=""
        The target's unit; nothing for none.
    selection : {"accuracy", "fidelity", "native", "sobolev"} or None, default=None
        What the formula is chosen by, from those that the student offers: the simplest within one standard
        error of the smallest validation error against the labels ("accuracy"), against the teacher
        ("fidelity"), or against the teacher and its gradient ("sobolev"); or the student's own choice. None:
        accuracy, and fidelity for a teacher that is trained already.
    validation_fraction : float, default=0.2
        The part of the rows that early stopping and all choices are made on.
    teacher_options, student_options : dict or None, default=None
        Settings of the teacher's training (`steps`, `learning_rate`, `patience`, `batch_size`, `ensemble`,
        `device`; `hidden` and `activation` where it is the perceptron), and single settings of the
        student's budget.
    n_jobs : int or None, default=None
        Processes that fit the formulas of several strengths or outputs. They wait five minutes for the next
        fit before they end.
    timeout : float or None, default=None
        Seconds that one fit of a formula may take. One past them is ended, and its strength has failed: a
        warning says so, and where none is left `fit` raises. Only a process can be ended, so with a timeout
        formulas are fitted in processes of their own, one by default. None: no limit.
    max_seconds : float or None, default=None
        None: each setting is fitted once, with `budget`. Else the search goes on for so many seconds, up to a
        tenth more: all settings with the shortest budget, the best third of them with the next one, and so
        on up to the longest (`budget` then says nothing), again and again with other first weights and
        seeds, in `n_jobs` processes. All formulas make one front, which the choice is made from. At least
        one fit is made, however long it takes. How much is fitted depends on the machine, and so does the
        formula; the same fits give the same. An interrupt (Ctrl-C) ends the search with what it has, with a
        warning; without max_seconds it ends the fit as ever.
    random_state : int, RandomState or None, default=None
        Decides the validation rows, the networks' first weights and the student's search. The same int
        and data give the same formula.

    Attributes
    ----------
    formula_ : str
        The formula in the data's own columns and units.
    teacher_ : Teacher or None
        What was distilled: `teacher_.predict(X)`, `teacher_.gradients(X)` and the torch module
        `teacher_.module`, all in the data's units. None for the direct fit and for a model that was loaded.
    pareto_front_ : DataFrame
        All formulas that the student offered, by complexity, with their scores.
    strengths_ : DataFrame
        What was tried and how it scored on the validation rows: the curve that the choice was made on.
    penalty_, strength_ : str, float or None
        What was chosen.
    search_ : dict or None
        With max_seconds what the search took: `fits`, `restarts`, how often a network's formulas were
        `shortened` at the end, `seconds`, and whether it was `interrupted`.
    smoothness_ : dict
        Mean squared Jacobian and largest gradient of teacher and formula on the validation rows, the
        teacher's spectral bound, and their alignment (log of the Jacobians' ratio); standardised units.
    complexity_ : int
        The formula's number of nodes, in the data's own units.
    validation_rows_ : array of int or None
        The rows that early stopping and the choice saw, as positions in X; None for a model that was loaded.
    encoding_ : Encoding or None
        How the raw table became the columns of X, where that is known; `save` keeps it.
    scores_ : dict
        What else is known of how good it is, such as the test scores of `smoothray distill`; saved too.
    versions_ : dict
        What it was made with.
    n_features_in_, feature_names_in_ : int, array
        As in scikit-learn. Columns without names are called x0, x1, ...

    With a target of two dimensions (n, k) each of `formula_`, `teacher_`, `pareto_front_`, `strengths_`,
    `penalty_`, `strength_`, `smoothness_` and `complexity_` is a list of k.

    Examples
    --------
    >>> import numpy as np
    >>> from smoothray import SymbolicDistiller
    >>> X = np.random.default_rng(0).uniform(-2, 2, (100, 2))
    >>> model = SymbolicDistiller("jacobian", strength=0.001, budget="quick", random_state=0)
    >>> model.fit(X, X[:, 0] * X[:, 1]).score(X, X[:, 0] * X[:, 1]) > 0.99
    True
    """

    def __init__(
        self,
        penalty: str = "auto",
        strength: float | str | Sequence[float] = "auto",
        student: str = "operon",
        *,
        augment: int = 0,
        teacher: Any = None,
        prefit: bool = False,
        budget: str = "standard",
        max_size: int = 30,
        nesting: str = "one",
        shorten: bool = True,
        simplify: bool = False,
        operators: Sequence[str] | None = None,
        monotone: Mapping[str, int] | None = None,
        units: Mapping[str, str] | None = None,
        target_unit: str = "",
        selection: str | None = None,
        validation_fraction: float = 0.2,
        teacher_options: dict[str, Any] | None = None,
        student_options: dict[str, Any] | None = None,
        n_jobs: int | None = None,
        timeout: float | None = None,
        max_seconds: float | None = None,
        random_state: Any = None,
    ) -> None:
        self.penalty = penalty
        self.strength = strength
        self.student = student
        self.augment = augment
        self.teacher = teacher
        self.prefit = prefit
        self.budget = budget
        self.max_size = max_size
        self.nesting = nesting
        self.shorten = shorten
        self.simplify = simplify
        self.operators = operators
        self.monotone = monotone
        self.units = units
        self.target_unit = target_unit
        self.selection = selection
        self.validation_fraction = validation_fraction
        self.teacher_options = teacher_options
        self.student_options = student_options
        self.n_jobs = n_jobs
        self.timeout = timeout
        self.max_seconds = max_seconds
        self.random_state = random_state

    def fit(self, X: Any, y: Any, sample_weight: ArrayLike | None = None) -> SymbolicDistiller:
        """Train, distil and choose. X: (n, d). y: (n,) or (n, k). sample_weight: (n,), for a teacher that is
        trained here.

        Raises ValueError for parameters or data that cannot be used.
        """
        X, y = validate_data(
            self, X, y, dtype=np.float64, multi_output=True, y_numeric=True, ensure_min_samples=2
        )
        try:
            return self._fit(X, np.asarray(y, dtype=np.float64), sample_weight)
        except FitError:
            raise
        except SmoothrayError as error:
            raise FitError(str(error)) from error

    def check(self) -> None:
        """Raise SmoothrayError for parameters that cannot be used, before there are data."""
        settings_of(self)

    def check_columns(self, names: Sequence[str]) -> None:
        """Raise SmoothrayError where parameters name a column that is not among these."""
        checked_signs(self.monotone, names)
        checked_units(self, names)

    def predict(self, X: Any) -> Array:
        """The formula's values on rows X (n, d), (n,) or (n, k).

        Where it has none, such as 1 / 0, the mean of the training target stands, with a warning.
        """
        check_is_fitted(self)
        X = validate_data(self, X, dtype=np.float64, reset=False)
        columns = []
        for expr, mean in zip(self._expressions, self._means, strict=True):
            values = Program(expr, self._names).values(X)
            undefined = ~np.isfinite(values)
            if undefined.any():
                warnings.warn(
                    f"the formula has no value on {int(undefined.sum())} of {len(X)} rows; the mean of the "
                    "training target stands there",
                    RuntimeWarning,
                    stacklevel=2,
                )
            columns.append(np.where(undefined, mean, values))
        return np.column_stack(columns) if self._many else columns[0]

    def sympy(self) -> Expr | list[Expr]:
        """The formula as a SymPy expression in the columns' names."""
        check_is_fitted(self)
        return self._shaped(self._expressions)

    def latex(self) -> str | list[str]:
        """The formula in LaTeX."""
        check_is_fitted(self)
        return self._shaped([to_latex(expr) for expr in self._expressions])

    def to_python(self, name: str = "predict") -> str | list[str]:
        """Source of a Python module with one function `name(X)`, which needs NumPy alone; one for each target
        of several.
        """
        check_is_fitted(self)
        named = hasattr(self, "feature_names_in_")
        made_of = self.encoding_.categories if self.encoding_ is not None else None
        return self._shaped(
            [
                to_python(expr, self._names, name, named=named, categories=made_of)
                for expr in self._expressions
            ]
        )

    def to_torch(self) -> nn.Module | list[nn.Module]:
        """The formula as a torch module (n, d) -> (n,) in double precision, its constants parameters; one for
        each target of several.
        """
        from smoothray.formulas.module import FormulaModule

        check_is_fitted(self)
        return self._shaped([FormulaModule(expr, self._names) for expr in self._expressions])

    def check_units(self) -> UnitCheck | list[UnitCheck]:
        """Whether the formula's units are consistent, and which ones its constants must have for that.

        Raises ValueError where no `units` were given.
        """
        check_is_fitted(self)
        if self.units is None:
            raise FitError("units is None; give the columns' units, such as units={'x': 'm'}")
        columns, target = checked_units(self, None)
        return self._shaped([check_units(expr, columns, target) for expr in self._expressions])

    def select(self, complexity: int) -> SymbolicDistiller:
        """A fitted copy whose formula is the front's best on validation rows of at most so many nodes; for
        each of several targets.

        Raises ValueError where none is so small.
        """
        check_is_fitted(self)
        twin = copy(self)
        twin._pick(complexity)
        return twin

    def stability(self, X: Any, y: Any, repeats: int = 10, test_size: float = 0.25) -> Stability:
        """The same search on other rows and with other seeds: how far its formula is to be trusted.

        X: (n, d). y: (n,). Each repeat keeps other rows, `test_size` of them, for testing, and fits the rest
        with the seed random_state + repeat, in comparison with a direct fit on the same rows. The distiller
        itself is left as it is.

        Raises ValueError for parameters or data that cannot be used.
        """
        if repeats < 1:
            raise FitError(f"repeats is {repeats}; give a number of at least 1")
        twin = clone(self)
        X, y = validate_data(twin, X, y, dtype=np.float64, y_numeric=True, ensure_min_samples=4)
        start = self.random_state
        if not isinstance(start, int | np.integer):
            start = self._seed(start)
        try:
            twin._names = twin._columns(X.shape[1])
            seeds = range(int(start), int(start) + repeats)
            return stability_of(twin, X, np.asarray(y, dtype=np.float64), seeds, test_size)
        except SmoothrayError as error:
            raise FitError(str(error)) from error

    def save(self, path: str | Path) -> Path:
        """Write the fitted model as JSON: formulas, columns, scores, front, settings and versions.

        path: a folder, into which `model.json` goes, or a file ending in `.json`. The teacher and a
        random_state that is no int are not saved. Returns the file.
        """
        check_is_fitted(self)
        return saved.save(self, path)

    @classmethod
    def load(cls, path: str | Path) -> SymbolicDistiller:
        """The model that `save` or `smoothray distill --out` wrote into a folder or file.

        It is fitted and does all that the saved one did, but that its `teacher_` is None. Raises StudyError.
        """
        return saved.load(cls, path)

    def __sklearn_clone__(self) -> SymbolicDistiller:
        """A copy that is not fitted; but a teacher that is trained already is kept as it is."""
        parameters = self.get_params(deep=False)
        kept = {"teacher": parameters.pop("teacher")} if self.prefit else {}
        copied = {name: clone(value, safe=False) for name, value in parameters.items()}
        twin = type(self)(**copied, **kept)
        if hasattr(self, "_metadata_request"):
            twin._metadata_request = deepcopy(self._metadata_request)
        return twin

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "_expressions")

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.non_deterministic = self.random_state is None
        return tags

    def _fit(self, X: Array, y: Array, sample_weight: ArrayLike | None) -> SymbolicDistiller:
        arms, student, teacher = settings_of(self)
        self.__dict__.pop("_expressions", None)  # a fit that fails leaves nothing fitted
        weights = self._weights(sample_weight, X)
        self._many = y.ndim == 2
        targets = y if self._many else y[:, None]
        self._warn(targets)
        self._names = self._columns(X.shape[1])
        seed = self._seed(self.random_state)
        trials = [self._trial(X, target, weights, seed) for target in targets.T]
        attempts, spent = self._attempts(
            trials,
            arms,
            student,
            teacher,
            self.max_seconds,
            n_jobs=self.n_jobs,
            timeout=None if self.timeout is None else student.timeout,
        )
        self._means = targets.mean(0)
        self._take(attempts)
        self.search_ = None if spent is None else spent.told()
        return self

    @staticmethod
    def _seed(random_state: Any) -> int:
        return int(check_random_state(random_state).randint(2**31 - 1))

    def _attempts(
        self,
        trials: list[Trial],
        arms: list[Arm],
        student: StudentSettings,
        teacher: TeacherSettings,
        seconds: float | None = None,
        **options: Any,
    ) -> tuple[list[list[Attempt]], Spent | None]:
        """Each trial's attempts, best first, of those whose formula has the signs that it must have, and what
        a search of so many seconds took."""
        own = OwnTeacher(self.teacher, self.prefit, self.penalty)
        factory = own.factory(len(self._names))
        selection = self.selection or ("fidelity" if self.prefit else "accuracy")
        signs = checked_signs(self.monotone, self._names)
        if factory is not None:
            arms = own.suited(arms, factory(len(self._names)))
        options = {
            **options,
            "factory": factory,
            "trained": own.trained(len(trials), self._names),
        }

        def monotone(place: int, attempts: list[Attempt]) -> tuple[list[Attempt], bool]:
            rows = np.concatenate([trials[place].raw["train"], trials[place].raw["val"]])
            return monotone_attempts(attempts, self._names, rows, signs, selection)

        spent = None
        if seconds is not None:
            keep = one_kept(monotone) if signs else None
            found, spent = search(
                trials, arms, student, selection, teacher, seconds, keep=keep, **options
            )
            best_holds = not spent.refused_best
        else:
            found = attempt_all(trials, arms, student, selection, teacher, **options)
            best_holds = True
            for place, attempts in enumerate(found if signs else []):
                try:
                    found[place], holds = monotone(place, attempts)
                except StudentError:
                    if options.get("all_needed", True):
                        raise
                    found[place], holds = [], True
                best_holds &= holds
        if not best_holds:
            warnings.warn(
                "the best formula is not monotone as asked; the next best that is stands in its place",
                UserWarning,
                stacklevel=5,
            )
        return found, spent

    def _weights(self, sample_weight: ArrayLike | None, X: Array) -> Array | None:
        if sample_weight is None:
            return None
        if self.prefit or self.penalty == "direct":
            raise StudyError(
                "sample_weight is for a teacher that is trained here: not with prefit=True or 'direct'"
            )
        weights: Array = _check_sample_weight(
            sample_weight, X, dtype=np.float64, ensure_non_negative=True
        )
        return weights

    def _warn(self, targets: Array) -> None:
        if len(targets) < FEW_ROWS:
            warnings.warn(
                f"{len(targets)} rows are few for a network and a formula; the scores on validation rows, "
                "which all choices are made on, mean little",
                UserWarning,
                stacklevel=4,
            )
        if (targets == targets[0]).all(0).any():
            warnings.warn(
                "a target is the same in every row: there is nothing to learn from it",
                UserWarning,
                stacklevel=4,
            )

    def _columns(self, d: int) -> tuple[str, ...]:
        names = getattr(self, "feature_names_in_", None)
        columns = tuple(f"x{i}" for i in range(d)) if names is None else tuple(map(str, names))
        if len(set(columns)) < d:
            raise StudyError("two columns share a name, so a formula could not tell them apart")
        return columns

    def _trial(self, X: Array, target: Array, weights: Array | None, seed: int) -> Trial:
        """A trial without test rows: what a study would measure there is measured on validation rows.

        Rows without weight are left out.
        """
        rows = generator(seed, "split").permutation(len(X))
        rows = rows if weights is None else rows[weights[rows] > 0]
        if len(rows) < 2:
            raise StudyError("fewer than 2 rows have a weight above 0")
        count = min(max(1, round(len(rows) * self.validation_fraction)), len(rows) - 1)
        val, train = np.sort(rows[:count]), np.sort(rows[count:])
        self.validation_rows_: NDArray[np.int64] | None = val
        dataset = Dataset("fit", X, target, self._names, "y", units=self._base_units())
        return Trial.on(dataset, 0, seed, {"train": train, "val": val, "test": val}, weights)

    def _base_units(self) -> tuple[tuple[str, ...], str] | None:
        if self.units is None:
            return None
        columns, target = checked_units(self, self._names)
        none = parse_unit("")
        return (
            tuple(in_base_units(columns.get(name, none)) for name in self._names),
            in_base_units(target),
        )

    def _take(self, by_target: list[list[Attempt]]) -> None:
        """Keep what a fit came to: each target's attempts, the best one first."""
        best = [attempts[0] for attempts in by_target]
        symbols = {name: Symbol(name) for name in self._names}
        fields = [attempt.fields for attempt in best]
        self._expressions = [parse(each["formula"], symbols) for each in fields]
        self.formula_ = self._shaped([each["formula"] for each in fields])
        self.complexity_ = self._shaped([each["complexity"] for each in fields])
        self.penalty_ = self._shaped([None if self.prefit else a.arm.penalty for a in best])
        self.strength_ = self._shaped([attempt.arm.strength for attempt in best])
        self.teacher_ = self._shaped([attempt.teacher for attempt in best])
        self.smoothness_ = self._shaped([{k: each.get(k) for k in SMOOTHNESS} for each in fields])
        self.pareto_front_ = self._shaped([front(each["front"]) for each in fields])
        self._teachers = [[one.teacher for one in attempt.origins] for attempt in best]
        self.strengths_ = self._shaped([curve(attempts) for attempts in by_target])
        self.encoding_: Encoding | None = None
        self.scores_: dict[str, Any] = {}
        self.versions_ = saved.versions_now(self.student)

    def _pick(self, complexity: int) -> None:
        """Take another member of each front."""
        fronts = self.pareto_front_ if self._many else [self.pareto_front_]
        smoothness = self.smoothness_ if self._many else [self.smoothness_]
        try:
            places = [member_of_size(f.to_dict("records"), complexity) for f in fronts]
        except SmoothrayError as error:
            raise FitError(str(error)) from error
        members = [front.iloc[place] for front, place in zip(fronts, places, strict=True)]
        self.scores_ = {}  # they were the former member's
        symbols = {name: Symbol(name) for name in self._names}
        self._expressions = [parse(member["formula"], symbols) for member in members]
        self.formula_ = self._shaped([member["formula"] for member in members])
        self.complexity_ = self._shaped([int(member["complexity"]) for member in members])
        self.pareto_front_ = self._shaped(
            [f.assign(chosen=np.arange(len(f)) == i) for f, i in zip(fronts, places, strict=True)]
        )
        self.smoothness_ = self._shaped(
            [of_member(each, m) for each, m in zip(smoothness, members, strict=True)]
        )
        if self.search_ is not None and all("penalty" in member for member in members):
            self.penalty_ = self._shaped([None if self.prefit else m["penalty"] for m in members])
            self.strength_ = self._shaped([strength_of(member) for member in members])
            if self._teachers:
                teachers = zip(self._teachers, places, strict=True)
                self.teacher_ = self._shaped([pooled[place] for pooled, place in teachers])

    def _shaped(self, values: list[Any]) -> Any:
        """One value an output; the value itself for a target of one dimension."""
        return values if self._many else values[0]
