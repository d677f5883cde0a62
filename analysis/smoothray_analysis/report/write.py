"""Write a study's report into a folder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from smoothray_analysis.comparisons import Settings
from smoothray_analysis.loading import Records
from smoothray_analysis.plots import save
from smoothray_analysis.report.figures import plots
from smoothray_analysis.report.findings import find
from smoothray_analysis.report.page import Shown, page
from smoothray_analysis.report.reasons import reasons
from smoothray_analysis.report.tables import tables, write_table
from smoothray_analysis.selection import Rule

PAGE = "report.html"
PARTS = {"figures": (".png", ".svg"), "tables": (".csv", ".tex")}


@dataclass(frozen=True)
class Report:
    """A report that was written: its page, every file, and the verdict's lines."""

    page: Path
    files: tuple[Path, ...]
    lines: tuple[str, ...]


def write_report(
    records: Records,
    study: str,
    folder: Path | str,
    *,
    rule: Rule | None = None,
    settings: Settings | None = None,
    about: Sequence[tuple[str, str]] = (),
    say: Callable[[str], None] = lambda text: None,
) -> Report:
    """Write `report.html`, `verdict.txt`, `figures/*.png|svg` and `tables/*.csv|tex`.

    study: its name, for the title. rule: what chooses formulas from the fronts; None for the recorded choice.
    about: what the page says at its end, as `page` takes it. say: is told what is being done.

    Raises ValueError where there are no records, OSError where the folder cannot be written.
    """
    folder = Path(folder)
    findings = find(records, rule, settings or Settings(), say=say)
    _make_room(folder)
    say("writing tables")
    made = tables(findings) | reasons(findings)
    files = [file for table in made.values() for file in write_table(table, folder / "tables")]
    shown = []
    for plot in plots(findings):
        say(f"drawing {plot.name}")
        drawn = save(plot.draw(), folder / "figures" / plot.name)
        shown.append(Shown(plot.name, plot.part, plot.caption, drawn[1].read_bytes()))
        files += drawn
    say("writing the page")
    text = "\n".join(findings.lines) + "\n"
    (folder / "verdict.txt").write_text(text, encoding="utf-8")
    (folder / PAGE).write_text(page(study, findings, made, shown, about), encoding="utf-8")
    return Report(folder / PAGE, (folder / PAGE, folder / "verdict.txt", *files), findings.lines)


def _make_room(folder: Path) -> None:
    """Make the folders, and take away what an older report left in them: it would pass for this one's."""
    (folder / PAGE).unlink(missing_ok=True)
    for part, endings in PARTS.items():
        (folder / part).mkdir(parents=True, exist_ok=True)
        for file in (folder / part).iterdir():
            if file.suffix in endings:
                file.unlink()
