"""The page of one formula, made of plain values: nothing is fitted here."""

from __future__ import annotations

import base64
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from smoothray_analysis.plots.accuracy import error, ticks
from smoothray_analysis.plots.attempts import repeats_plot
from smoothray_analysis.plots.formula import Column, parity_plot, residuals_plot, response_plot
from smoothray_analysis.plots.fronts import front_plot
from smoothray_analysis.report.formula_page import Formula, FormulaPage, write_page
from smoothray_analysis.report.formula_words import repeats_words, smoothness_words
from sympy import Symbol, exp

from smoothray.commands.formula_page import _columns, encoded, typical_row
from smoothray.datasets import Dataset
from smoothray.formulas import to_mathml

AWKWARD = "<script>T</script> $x_1$ & 'k'"
N = 60


def column(name: str, values: np.ndarray, slope: float = 2.0) -> Column:
    at = np.linspace(-0.1, 1.1, 25)
    return Column(name, values, at, slope * at, slope * at + 0.1, 0.0, 1.0)


def content(**changes: Any) -> FormulaPage:
    g = np.random.default_rng(0)
    x, kind = g.uniform(size=N), g.integers(0, 3, N).astype(float)
    truth = 2 * x + kind
    rows = pd.DataFrame({
        "part": ["train"] * 45 + ["test"] * 15, "truth": truth, "formula": truth + g.normal(0, 0.1, N),
        "teacher": truth, "direct": truth + g.normal(0, 0.5, N),
    })  # fmt: skip
    levels = Column("kind", kind, np.arange(3.0), np.arange(3.0) + 1, np.arange(3.0), 0, 2,
                    ("a", "<i>", "$c"))  # fmt: skip
    front = pd.DataFrame({
        "complexity": [1, 5, 9], "r2_val": [0.0, 0.99, 0.999], "formula": ["1", "a + 1", "2*a + 1"],
        "chosen": [False, True, False],
    })  # fmt: skip
    strengths = pd.DataFrame({
        "penalty": ["jacobian", "jacobian", "none"], "strength": [0.01, 0.1, np.nan],
        "r2_val": [0.99, 0.98, 0.9], "teacher_r2_val": [0.99, 0.97, 0.95], "complexity": [5, 5, 7],
        "chosen": [True, False, False],
    })  # fmt: skip
    x_name = Symbol(AWKWARD)
    page = FormulaPage(
        target="y <b>bold</b>",
        features=(AWKWARD, "kind=a", "unused"),
        formula=Formula(f"2*{AWKWARD} + exp(kind)", to_mathml(2 * x_name + exp(Symbol("kind"))), 5),
        direct=Formula("7*unused", to_mathml(7 * Symbol("unused")), 3),
        teacher="jacobian λ=0.01",
        rows=rows,
        columns=(column(AWKWARD, x), levels),
        fronts={"distilled": front, "direct": front},
        strengths=strengths,
        smoothness={"teacher_jacobian": 4.0, "student_jacobian": 1.0, "teacher_gradient_max": 3.0,
                    "student_gradient_max": 1.5, "alignment": -1.386},
        facts=(("seed", "3"), ("file", "<mine>.csv")),
        command="smoothray distill '<mine>.csv' --target y",
        notices=("4 rows with gaps were dropped",),
    )  # fmt: skip
    return replace(page, **changes)


REPEATS = pd.DataFrame({
    "repeat": range(4), "seed": range(4), "r2_test": [0.9, 0.8, 0.95, 0.7],
    "teacher_r2_test": [0.92, 0.85, 0.96, 0.75], "direct_r2_test": [0.8, 0.85, 0.9, 0.6],
    "complexity": [5, 7, 9, 11], "penalty": "none", "strength": None,
    "formula": ["2*unused", f"{AWKWARD} + unused", "unused**2", "3"],
})  # fmt: skip
STRUCTURES = pd.DataFrame(
    {"structure": ["c0*unused + <c1>"], "count": [3], "r2_test": [0.9], "constants": ["c0: 1 to 2"]}
)


class Read(HTMLParser):
    """What a page has: its tags with their attributes, its text, and whether all tags are closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text, self.open = "", []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "img", "source", "wbr"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> tuple[Path, str]:
    folder = tmp_path_factory.mktemp("page")
    write_page(
        content(warnings=("<u>few</u> rows",), repeats=REPEATS, structures=STRUCTURES, units="m/s"),
        folder,
    )
    return folder, (folder / "report.html").read_text()


def test_the_page_has_every_part_and_needs_no_network(written):
    folder, text = written
    read = Read(text)
    assert read.open == []
    figures = {"predicted", "residuals", "response", "front", "strengths", "repeats"}
    assert {path.name for path in folder.iterdir()} == {
        "report.html", *(f"{name}.{kind}" for name in figures for kind in ("png", "svg"))
    }  # fmt: skip
    images = read.all("img")
    assert len(images) == len(figures) and all(image["alt"] for image in images)
    addresses = [image["src"] for image in images] + [item["srcset"] for item in read.all("source")]
    for address in addresses:
        kind, _, data = str(address).partition(",")
        assert kind == "data:image/svg+xml;base64" and b"</svg>" in base64.b64decode(data)
    assert not read.all("script") and not read.all("link")
    assert all(str(link["href"]).startswith("#") for link in read.all("a"))
    ids = {attributes.get("id") for _, attributes in read.tags}
    assert all(str(link["href"])[1:] in ids for link in read.all("a"))
    assert re.findall(r"url\(|@import|src=\"http", text) == []
    assert len(read.all("caption")) == len(read.all("table"))
    for words in ("seed", "4 rows with gaps were dropped", "Units: m/s", "7*unused"):
        assert words in read.text


def test_the_page_says_what_nodes_are_and_which_formulas_are_not_chosen(tmp_path, written):
    shown = " ".join(Read(written[1]).text.split())
    assert "in the data's own units. Train rows" in shown and "is not chosen" not in shown
    fronts = {name: front.assign(unsafe=True) for name, front in content().fronts.items()}
    write_page(content(in_units=False, fronts=fronts), tmp_path)
    shown = " ".join(Read((tmp_path / "report.html").read_text()).text.split())
    assert "counted before columns are put back into their units" in shown
    assert "* leaves the target's range between the rows, and is not chosen" in shown


def test_names_are_escaped(written):
    read = Read(written[1])
    assert not read.all("script") and not read.all("u") and not read.all("i")
    for words in ("y <b>bold</b>", AWKWARD, "<u>few</u> rows", "<c1>", "<mine>.csv"):
        assert words in read.text


def test_scores_are_those_of_the_rows(written):
    page = content()
    test = page.rows[page.rows["part"] == "test"]
    rest = test["truth"] - test["formula"]
    r2 = 1 - (rest**2).sum() / ((test["truth"] - test["truth"].mean()) ** 2).sum()
    assert page.scores["test"]["r2"] == pytest.approx(r2)
    assert page.scores["test"]["teacher_r2"] == 1
    assert f"{r2:.3f}" in written[1]


def test_repeats_are_said_in_numbers(written):
    text = re.sub(r"<[^>]+>", " ", written[1])
    assert "beat the direct fit in 3 of 4 repeats" in text
    assert re.search(r"this formula\s.*?0\.850\s+0\.700 to 0\.950", text, re.DOTALL)
    assert re.search(r"unused\s+3 of 4 fits", text) and re.search(r"kind=a\s+0 of 4 fits", text)
    assert "5 to 11 nodes" in " ".join(repeats_words(REPEATS))
    assert len(repeats_plot(REPEATS).axes[0].get_xticklabels()) == 3


def test_what_was_not_done_is_not_shown(tmp_path):
    (tmp_path / "repeats.png").write_text("of an older page")
    one = content().strengths.head(1)
    write_page(content(columns=(), strengths=one, smoothness={}), tmp_path)
    text = (tmp_path / "report.html").read_text()
    assert not (tmp_path / "repeats.png").exists() and not (tmp_path / "strengths.png").exists()
    assert "How stable" not in text and "Before you trust it" not in text
    assert "it is one number" in text and "It was not measured" in text


def test_figures_hold_the_data():
    page = content()
    parity = parity_plot(page.rows, page.target).axes[0]
    assert parity.get_xlim() == parity.get_ylim() and parity.get_aspect() == 1
    test = page.rows[page.rows["part"] == "test"]
    np.testing.assert_allclose(parity.collections[1].get_offsets(), test[["truth", "formula"]])

    residuals = residuals_plot(page.rows, page.columns[:1], page.target).axes[0]
    left = residuals.collections[1].get_offsets()
    np.testing.assert_allclose(left[:, 0], page.columns[0].values[45:])

    response = response_plot(page.rows, page.columns, page.target)
    curves = response.axes[0].get_lines()
    np.testing.assert_allclose(curves[1].get_ydata(), 2 * page.columns[0].at)
    shaded = [patch.get_extents() for patch in response.axes[0].patches]
    assert len(shaded) == 2
    assert [label.get_text() for label in response.axes[1].get_xticklabels()][2] == r"\$c"


def test_ten_columns_are_panels_of_one_figure():
    page = content()
    ten = [column(f"c{i}", np.linspace(0, 1, N)) for i in range(10)]
    wide, narrow = (response_plot(page.rows, ten, "y", width) for width in (10.6, 3.9))
    assert wide.get_size_inches()[1] < 13 and wide.get_size_inches()[0] <= 10.6
    assert narrow.get_size_inches()[0] <= 3.9


def test_a_front_shows_differences_near_one():
    axes = front_plot(content().fronts).axes[0]
    low, high = axes.get_ylim()
    assert axes.get_yscale() == "log" and low > 1 > 0.001 > high  # the best on top
    height = axes.transData.transform([(0, error([r2])[0]) for r2 in (0.99, 0.999)])[:, 1]
    assert height[1] - height[0] > 0.25 * axes.bbox.height
    for ends in ((0.08, 0.085), (1e-6, 1.0), (0.15, 1.1)):
        assert 2 <= len(ticks(*ends)) <= 8


def test_smoothness_in_words():
    said = smoothness_words(content())
    assert "typically 2, at most 3" in said[0] and "typically 1, at most 1.5" in said[1]
    assert "smoother than its teacher" in said[2] and "2 times flatter" in said[2]


class Squares:
    def predict(self, X):
        return X[:, 0] ** 2


def test_responses_of_a_formula_that_is_given():
    """A column of numbers runs beyond its range, a category level by level; others stay typical."""
    g = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "a": g.uniform(1, 2, 40),
            "kind": ["red"] * 5 + ["blue"] * 20 + ["x=y"] * 15,
            "dry": g.choice(["no", "yes"], 40),
            "b": g.normal(size=40),
        }
    )
    dataset = Dataset.from_frame(frame.assign(y=frame["a"]), "y")
    X, names = dataset.X, dataset.feature_names
    a, blue, red = (Symbol(name) for name in names[:3])
    model = SimpleNamespace(sympy=lambda: a + 10 * red + 100 * blue, teacher_=Squares())
    assert encoded(dataset) == [[0], [1, 2, 3], [4], [5]]
    rows = np.arange(40)
    made = list(_columns(SimpleNamespace(model=model, dataset=dataset), rows, rows[:30]))
    first, second = made
    assert (first.name, second.name, second.levels) == ("a", "kind", ("blue", "red", "x=y"))
    assert (first.low, first.high) == (X[:30, 0].min(), X[:30, 0].max())
    assert first.at[0] < first.low and first.at[-1] > first.high
    np.testing.assert_allclose(first.formula, first.at + 100)  # blue is the most frequent
    np.testing.assert_allclose(first.teacher, first.at**2)
    middle = np.median(X[:30, 0])
    np.testing.assert_allclose(second.formula, middle + np.array([100, 10, 0]))
    assert second.values.tolist() == [1] * 5 + [0] * 20 + [2] * 15
    assert typical_row(X, encoded(dataset))[1:4].tolist() == [1, 0, 0]
