"""The site: what the sources say stands on its pages, and it is built without a warning."""

from __future__ import annotations

import importlib.util
import os
import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

import smoothray
from smoothray.penalties import PENALTIES
from smoothray.students import STUDENTS
from smoothray.students.base import TARGET_SECONDS

ROOT = Path(__file__).parent.parent
LOADED = re.compile(
    r"<(?:link|script|img|iframe|source)\b[^>]*?\b(?:href|src)=[\"']?(?:https?:)?//[^>]*"
)
"""What a page would load from elsewhere; a link that a reader may follow is none."""


@pytest.fixture(scope="module")
def pages() -> dict[str, object]:
    return runpy.run_path(str(ROOT / "docs" / "site" / "pages.py"))


@pytest.fixture(scope="module")
def made(pages) -> dict[str, str]:
    return pages["made"]()


@pytest.mark.parametrize("name", PENALTIES)
def test_each_penalty_has_a_page(made, name):
    penalty, text = PENALTIES[name], made[f"penalties/{name}.md"]
    assert text.startswith(f"# {name}\n")
    assert penalty.source in text and penalty.__doc__.splitlines()[0] in text
    if penalty.default_range:
        low, high = penalty.default_range
        assert f"| strengths worth searching | {low:g} to {high:g} |" in text
    assert f"[`{name}`]({name}.md)" in made["penalties/index.md"]


def test_a_penaltys_page_shows_all_that_it_is_computed_by(made):
    text = made["penalties/lipschitz.md"]
    order = ["def spectral_norm", "def log_lipschitz_bound", "class Lipschitz"]
    assert sorted(order, key=text.index) == order and "def tempered_exp" in text


@pytest.mark.parametrize("name", STUDENTS)
def test_each_student_has_a_page(made, name):
    student, text = STUDENTS[name], made[f"students/{name}.md"]
    assert student.source in text and student.__doc__.splitlines()[0] in text
    for key in student.budgets["quick"]:
        values = " | ".join(str(student.budgets[budget][key]) for budget in TARGET_SECONDS)
        assert f"| `{key}` | {values} |" in text
    assert all(f"| `{operator}` |" in text for operator in student.operators)


def test_each_public_name_has_a_page(made):
    for name in smoothray.__all__:
        assert made[f"api/smoothray.{name}.md"].startswith(f"::: smoothray.{name}\n")


def test_links_lead_to_the_sites_pages(pages):
    relinked = pages["relinked"]
    text = (
        "[a](own-network.md#x), [b](../cluster/README.md), [c](../LICENSE), [d](https://e.f/g.md)"
    )
    found = relinked(text, "docs/own-data.md", "own-data.md")
    assert found == "[a](own-network.md#x), [b](cluster/index.md), c, [d](https://e.f/g.md)"
    assert relinked(
        "![p](docs/results/figures/why.png) [e](examples)", "README.md", "index.md"
    ) == ("![p](results/figures/why.png) [e](examples.md)")
    assert relinked("[a](../docs/pysr.md)", "cluster/README.md", "cluster/index.md") == (
        "[a](../pysr.md)"
    )
    block = "```text\n[a](docs/pysr.md)\n```"
    assert relinked(block, "README.md", "index.md") == block


def test_docstrings_become_markdown():
    pytest.importorskip("griffe", reason="of the extra 'docs'")
    readable = runpy.run_path(str(ROOT / "docs" / "site" / "parameters.py"))["readable"]
    assert readable("Of rows.\n\nX: (n, d).\nnames: of columns,\n    in order.\n\nEnd: so.") == (
        "Of rows.\n\n- `X`: (n, d).\n- `names`: of columns,\n    in order.\n\nEnd: so."
    )
    assert readable("One.\n\n>>> 1 + 1\n2") == "One.\n\n```pycon\n>>> 1 + 1\n2\n```"
    numpy = "Parameters\n----------\na : {1, 2}, default=2\n    What: one."
    assert readable(numpy) == numpy.replace("{1, 2}", "1, 2")


@pytest.mark.skipif(
    importlib.util.find_spec("mkdocs") is None, reason="needs the extra 'docs'; `make docs` has it"
)
def test_the_site_is_built_without_a_warning_and_loads_nothing_from_elsewhere(tmp_path):
    place = tmp_path / "site"
    ended = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(place)],
        cwd=ROOT, capture_output=True, text=True, timeout=300,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    written = {
        file.relative_to(place).as_posix(): file.read_text() for file in place.rglob("*.html")
    }
    assert len(written) > 40
    for name, text in written.items():
        assert not LOADED.search(text), name
    assert "default:" in written["api/smoothray.SymbolicDistiller.html"]
    assert "Made from" in written["penalties/jacobian_between.html"]
