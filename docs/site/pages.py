"""Pages of the site that are made from the sources: of each penalty, student and public name, and of the
files outside docs/. MkDocs calls the functions `on_…`; `make docs` writes the site.
"""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import smoothray
from smoothray import errors
from smoothray.penalties import PENALTIES
from smoothray.penalties.base import Penalty
from smoothray.students import STUDENTS
from smoothray.students.base import OPERATORS, TARGET_ROWS, TARGET_SECONDS, Student
from smoothray.study.settings import default_strengths

ROOT = Path(__file__).parent.parent.parent
COPIED = {
    "index.md": "README.md",
    "cluster/index.md": "cluster/README.md",
    "contributing.md": "CONTRIBUTING.md",
    "changelog.md": "CHANGELOG.md",
}
"""Pages that are files outside docs/."""
EXAMPLES = "examples.md"
MODULES = (
    "smoothray.errors",
    "smoothray_analysis.loading",
    "smoothray_analysis.verdict",
    "smoothray_analysis.summary",
    "smoothray_analysis.report.write",
    "smoothray_analysis.statistics.paired",
    "smoothray_analysis.statistics.over_datasets",
    "smoothray_analysis.statistics.effects",
)
"""Public beside the names of the package `smoothray` itself."""
DISTILLER = "smoothray.SymbolicDistiller"
"""Its docstring is in NumPy's style, as scikit-learn's are."""
LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)#\s]+)(#[^)\s]*)?\)")
FENCED = re.compile(r"(^```.*?^```$)", re.M | re.S)


def made() -> dict[str, str]:
    """Each page that is no file of docs/: its address in the site, and its text in Markdown."""
    pages = {page: (ROOT / file).read_text() for page, file in COPIED.items()}
    pages[EXAMPLES] = examples(sorted((ROOT / "examples").glob("*.py")))
    pages["penalties/index.md"] = penalties_page()
    pages |= {f"penalties/{name}.md": penalty_page(each) for name, each in PENALTIES.items()}
    pages["students/index.md"] = students_page()
    pages |= {f"students/{name}.md": student_page(each) for name, each in STUDENTS.items()}
    pages["api/index.md"] = api_page()
    pages |= {f"api/{name}.md": described(name) for name in public()}
    return pages


def on_config(config: Any) -> Any:
    """Enter the pages of a section after the section's own."""
    pages = list(made())
    for section in config.nav:
        (items,) = section.values()
        if isinstance(items, list) and str(items[0]).endswith("/index.md"):
            folder = str(items[0]).removesuffix("index.md")
            items += [
                {page[len(folder) : -len(".md")].removeprefix("smoothray."): page}
                for page in pages
                if page.startswith(folder) and page != items[0]
            ]
    return config


def on_files(files: Any, config: Any) -> Any:
    from mkdocs.structure.files import File

    for page, text in made().items():
        files.append(File.generated(config, page, content=text))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    here = page.file.src_uri
    return relinked(markdown, COPIED.get(here, f"docs/{here}"), here)


def relinked(markdown: str, file: str, page: str) -> str:
    """A page's links between the project's files as links between pages; those to no page as plain text.

    file: what the text was written in, from the project's folder. page: where it stands in the site.

    >>> relinked("[a](docs/pysr.md#x), [b](LICENSE), [c](cluster/README.md)", "README.md", "index.md")
    '[a](pysr.md#x), b, [c](cluster/index.md)'
    """
    pages = {file: page for page, file in COPIED.items()} | {"examples": EXAMPLES}

    def link(found: re.Match[str]) -> str:
        image, label, target, anchor = found.groups(default="")
        if "://" in target or target.startswith("mailto:"):
            return found[0]
        there = (ROOT / file).parent.joinpath(target).resolve()
        place = there.relative_to(ROOT).as_posix()
        if not there.exists():  # between pages that are made
            return found[0]
        if place.startswith("docs/"):
            place = place.removeprefix("docs/")
        elif place in pages:
            place = pages[place]
        else:
            return label
        up = "../" * page.count("/")
        return f"{image}[{label}]({up}{place}{anchor})"

    parts = FENCED.split(markdown)
    parts[::2] = [LINK.sub(link, part) for part in parts[::2]]
    return "".join(parts)


def examples(files: Iterable[Path]) -> str:
    lines = ["# Examples", ""]
    for file in files:
        text = file.read_text()
        about = ast.get_docstring(ast.parse(text)) or ""
        lines += [f"## {file.name}", "", about.splitlines()[0], "", fenced("python", text), ""]
    return "\n".join(lines)


def penalties_page() -> str:
    rows = [
        (f"[`{name}`]({name}.md)", first_sentence(each), strengths(each))
        for name, each in PENALTIES.items()
    ]
    return "\n\n".join(
        (
            "# Penalties",
            docstring(Penalty),
            table(("name", "", "strengths worth searching"), rows),
            "Strengths are meant for standardised inputs and target. "
            "[A penalty of your own](../extending.md#a-penalty) is a class of a few lines.",
        )
    )


def penalty_page(penalty: type[Penalty]) -> str:
    name = penalty.name
    gradients = {"rows": "at the training rows", "between": "at points between neighbouring rows"}
    facts = {
        "source": penalty.source,
        "strengths worth searching": strengths(penalty),
        "looks at": f"the network's derivatives {gradients[penalty.gradients_at]}"
        if penalty.uses_gradients
        else "",
        "networks": "plain chains of linear and 1-Lipschitz layers" if penalty.needs_layers else "",
        "teacher": "" if penalty.has_teacher else "none",
        "class": f"`{penalty.__module__}.{penalty.__qualname__}`",
    }
    above = penalty.__mro__[1]
    after = f"Made from [`{above.name}`]({above.name}.md)." if above is not Penalty else ""
    if penalty.has_strength():
        usual = list(default_strengths(name))
        use = f"penalties:\n  {name}:    # or a list of strengths; nothing means {usual}"
    else:
        use = "placebo: true" if name == "placebo" else f"baselines: [{name}]"
    parts = [
        f"# {name}",
        docstring(penalty),
        facts_table(facts),
        "## In a study",
        fenced("yaml", use),
        "## How it is computed",
        after,
        fenced("python", with_helpers(penalty)),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def with_helpers(penalty: type[Penalty]) -> str:
    """The source of a penalty and, above it, of its module's functions that it uses."""
    module = inspect.getmodule(penalty)
    functions = {
        name: inspect.getsource(function)
        for name, function in inspect.getmembers(module, inspect.isfunction)
        if function.__module__ == penalty.__module__
    }
    used: list[str] = []
    sources = [inspect.getsource(penalty)]
    for source in sources:
        for name, text in functions.items():
            if f"{name}(" in source and name not in used:
                used.append(name)
                sources.append(text)
    return "\n\n".join(reversed(sources))


def strengths(penalty: type[Penalty]) -> str:
    if not penalty.has_strength():
        return ""
    if penalty.default_range is None:
        return "must be given"
    low, high = penalty.default_range
    return f"{low:g} to {high:g}"


def students_page() -> str:
    rows = [(f"[`{name}`]({name}.md)", first_sentence(each)) for name, each in STUDENTS.items()]
    targets = ", ".join(f"`{name}` {seconds:g} s" for name, seconds in TARGET_SECONDS.items())
    n, d = TARGET_ROWS
    return "\n\n".join(
        (
            "# Students",
            table(("name", ""), rows),
            f"A budget stands for a time on one core at {n} rows and {d} columns, whichever the student: "
            f"{targets}. What all students share is said in [the API](../api/smoothray.Student.md); "
            "[a student of your own](../extending.md#a-student) is a class, too.",
        )
    )


def student_page(student: type[Student]) -> str:
    yes = {True: "yes", False: "no"}
    facts = {
        "source": student.source,
        "packages": ", ".join(f"`{package}`" for package in student.packages),
        "a process of its own": yes[student.needs_own_process],
        "fits derivatives, too": yes[student.matches_slopes],
        "keeps to consistent units": yes[student.takes_units],
        "starts in about": f"{student.start_seconds:g} s",
        "holds about": f"{student.memory / 1e6:.0f} MB",
        "smallest `max_size`": f"{student.smallest_size}",
        "class": f"`{student.__module__}.{student.__qualname__}`",
    }
    own = set(student.operators)
    known = [
        (f"`{operator}`", str(arguments), "yes" if operator in own else "")
        for operator, arguments in OPERATORS.items()
        if operator in student.vocabulary
    ]
    parts = [
        f"# {student.name}",
        docstring(student),
        facts_table(facts),
        "## Budgets",
        budgets_table(student.budgets),
        "Single values are replaced by `options:` in a study, and by `student_options` in Python.",
        *_matching(student),
        "## Operators",
        table(("name", "arguments", "by default"), known),
    ]
    return "\n\n".join(parts) + "\n"


def _matching(student: type[Student]) -> list[str]:
    budgets = getattr(student, "matching_budgets", None)
    if not budgets:
        return []
    return ["### Where derivatives are fitted", budgets_table(budgets)]


def budgets_table(budgets: Mapping[str, Mapping[str, Any]]) -> str:
    titles = [f"`{name}`" for name in budgets]
    settings = list(dict.fromkeys(key for budget in budgets.values() for key in budget))
    rows = [
        (f"`{key}`", *(str(budget.get(key, "")) for budget in budgets.values())) for key in settings
    ]
    return table(("setting", *titles), rows)


def public() -> list[str]:
    """What the API's pages describe, a page each."""
    return [*(f"smoothray.{name}" for name in smoothray.__all__), *MODULES]


def described(name: str) -> str:
    """A page that mkdocstrings fills in."""
    options = ["docstring_style: " + ("numpy" if name == DISTILLER else "google")]
    if name == errors.__name__:
        found = inspect.getmembers(errors, inspect.isclass)
        options.append(
            f"members: {[title for title, each in found if issubclass(each, Exception)]}"
        )
    return "\n".join(
        [f"::: {name}", "    options:", *(f"      {option}" for option in options), ""]
    )


def api_page() -> str:
    listed = "\n".join(f"- [`{name}`]({name}.md)" for name in public())
    return f"# API\n\nWhat may be relied on; all else may change without notice.\n\n{listed}\n"


def docstring(member: type) -> str:
    return inspect.cleandoc(member.__doc__ or "")


def first_sentence(member: type) -> str:
    return docstring(member).partition("\n")[0]


def facts_table(facts: Mapping[str, str]) -> str:
    return table(("", ""), [(what, value) for what, value in facts.items() if value])


def table(titles: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    titles = list(titles)
    lines = [titles, ["---"] * len(titles), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def fenced(kind: str, text: str) -> str:
    return f"```{kind}\n{text.rstrip()}\n```"
