"""The commands about studies."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from smoothray.cli.app import INTERRUPTED, app, this_program
from smoothray.errors import StudyError, plural

STUDY = (
    "A study's file, or its name: one here, in search_spaces, or one that comes along, as pmlb20."
)
STUDIES = "Studies"
Trials = Annotated[int | None, typer.Option(min=1, help="How many trials.")]
Name = Annotated[str | None, typer.Option(help="The name it is recorded under.")]
OneStudent = Annotated[str | None, typer.Option(help="Another student: pysr, my_module:Mine.")]
Budget = Annotated[str | None, typer.Option(help="quick, standard or thorough.")]
Selection = Annotated[str | None, typer.Option(help="fidelity, accuracy or native.")]
Seed = Annotated[int | None, typer.Option(min=0, help="The study's seed.")]


@app.command(rich_help_panel=STUDIES)
def run(
    study: Annotated[Path, typer.Argument(help=STUDY)],
    datasets: Annotated[
        str, typer.Option(help="Only these of its data sets, separated by commas.")
    ] = "",
    trials: Trials = None,
    name: Name = None,
    student: OneStudent = None,
    budget: Budget = None,
    selection: Selection = None,
    seed: Seed = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu or cuda.")] = None,
    cores: Annotated[int | None, typer.Option(min=1, help="Cores of this machine to use.")] = None,
    retry_failed: Annotated[bool, typer.Option(help="Try failed trials again.")] = False,
) -> None:
    """Run a study, or what is missing of it. Options override the file."""
    from smoothray.commands.console import reasons, say
    from smoothray.commands.run import run_study

    loaded = _load(study, trials, name, seed, student, budget, selection, device)
    only = [part.strip() for part in datasets.split(",") if part.strip()]
    result = run_study(loaded, only, cores=cores, retry_failed=retry_failed)
    _show(list(result.rows.values()))
    me = this_program()
    if result.stopped:
        again = shlex.join([me, *sys.argv[1:]])
        done = len(result.wanted) - result.missing
        say(f"Stopped: {done} of {len(result.wanted)} fits are recorded. To go on: {again}")
        raise typer.Exit(INTERRUPTED)
    failures = [row for row in result.rows.values() if row["status"] == "failed"]
    if failures:
        say(f"{plural(len(failures), 'trial')} failed; --retry-failed tries them again:")
        for reason in reasons(failures):
            say(f"  {reason}")
    say(f"What it shows: {me} report {loaded.name}    Browse the runs: {me} ui")
    lost = result.lost_arms
    if lost:
        say(f"Every fit failed of {'; '.join(lost)}.")
        raise typer.Exit(1)


@app.command(rich_help_panel=STUDIES)
def plan(
    study: Annotated[Path, typer.Argument(help=STUDY)],
    datasets: Annotated[str, typer.Option(help="Only these of its data sets.")] = "",
    trials: Trials = None,
    name: Name = None,
    student: OneStudent = None,
    budget: Budget = None,
    selection: Selection = None,
    seed: Seed = None,
    cores: Annotated[
        str,
        typer.Option(help="Cores to plan for; 16,64 compares two clusters. All of this machine."),
    ] = "",
    gpus: Annotated[
        str,
        typer.Option(help="GPUs to plan for: one number for all, or one for each of the cores."),
    ] = "",
    price_core_hour: Annotated[
        str, typer.Option(help="What a core costs an hour, in any money: .04")
    ] = "",
    price_gpu_hour: Annotated[
        str, typer.Option(help="What a GPU costs an hour, in the same money: 1.2")
    ] = "",
    seconds: Annotated[
        float,
        typer.Option(min=0, help="How long to time fits and banks that are not recorded yet."),
    ] = 60,
) -> None:
    """Say what a study will cost, before anything runs. Options override the file, as those of run do."""
    from smoothray.commands.options import prices_of, shapes_of
    from smoothray.commands.plan import plan as print_plan

    shapes = shapes_of(cores, gpus)
    prices = prices_of(price_core_hour, price_gpu_hour, shapes)
    only = [part.strip() for part in datasets.split(",") if part.strip()]
    loaded = _load(study, trials, name, seed, student, budget, selection)
    print_plan(loaded, only, shapes, prices, seconds)


@app.command(rich_help_panel=STUDIES)
def status(
    study: Annotated[Path, typer.Argument(help=STUDY)],
    trials: Trials = None,
    name: Name = None,
    student: OneStudent = None,
    budget: Budget = None,
    selection: Selection = None,
    seed: Seed = None,
) -> None:
    """Say how far a study is, while it runs or after. Options override the file, as those of run do."""
    from smoothray.commands.status import status as print_status

    print_status(_load(study, trials, name, seed, student, budget, selection))


@app.command(rich_help_panel=STUDIES)
def export(
    study: Annotated[str, typer.Argument(help="The study's file or its name.")],
    file: Annotated[Path, typer.Argument(help="The Parquet file to write.")],
    fronts: Annotated[
        str,
        typer.Option(
            help="Of the other formulas of each fit: all, their scores alone (scores), which a report can "
            "choose from, or nothing (none)."
        ),
    ] = "all",
) -> None:
    """Write a study's records to one Parquet file, a row a trial."""
    from smoothray.commands.console import say
    from smoothray.records.fronts import FRONTS
    from smoothray.records.parquet import write_parquet
    from smoothray.records.recorded import require_study
    from smoothray.study.files import study_name

    if fronts not in FRONTS:
        raise StudyError(f"--fronts takes {', '.join(FRONTS)}, not '{fronts}'")
    if file.suffix != ".parquet":
        raise StudyError(f"{file} must end in .parquet")
    name = study_name(study)
    recorded = require_study(name, say)
    try:
        write_parquet(
            recorded.records.values(), file, fronts, recorded.identity, recorded.decisions
        )
    except OSError as error:
        raise StudyError(f"cannot write {file}: {error.strerror}") from None
    say(f"wrote {len(recorded.records)} records of '{name}' to {file}")


@app.command(name="import", rich_help_panel=STUDIES)
def take_in(
    file: Annotated[Path, typer.Argument(help="A Parquet file that `export` wrote.")],
    name: Annotated[str | None, typer.Option(help="Another name for the study.")] = None,
) -> None:
    """Take an exported file's records into their study, which `run` then goes on with."""
    from smoothray.commands.take_in import take_in as take

    take(file, name)


@app.command(rich_help_panel=STUDIES)
def report(
    study: Annotated[str, typer.Argument(help="A study's file or name, or a .parquet file.")],
    out: Annotated[Path | None, typer.Option(help="A folder; STUDY-report by default.")] = None,
    selection: Annotated[
        str | None,
        typer.Option(
            help="How formulas are chosen: fidelity or accuracy, with -best or <=NODES too, or native; "
            "by default as recorded."
        ),
    ] = None,
    strengths: Annotated[
        str,
        typer.Option(
            help="How strengths are chosen: by one half of the data sets for the other, another half for "
            "each trial (others), for each trial by itself (trial), those that the study's file fixed "
            "(fixed), or lipschitz=0.1,jacobian=0.01."
        ),
    ] = "others",
    rope: Annotated[
        str,
        typer.Option(
            help="Up to which difference in R² arms are practically the same; 5% is that part of what "
            "the baseline leaves unexplained."
        ),
    ] = "0.01",
) -> None:
    """Say what a study shows: a verdict, and a page with figures and tables."""
    from smoothray.commands.report import report as write

    write(study, out, selection, strengths, rope)


@app.command(rich_help_panel=STUDIES)
def ui(
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="The port to listen on.")] = 5000,
) -> None:
    """Browse the recorded runs in MLflow's own pages."""
    from smoothray.commands.ui import ui as open_pages

    open_pages(host, port)


@app.command(rich_help_panel=STUDIES)
def datasets() -> None:
    """List the suites and their data sets."""
    from smoothray.commands.console import rows_table, show
    from smoothray.datasets import SUITES

    rows = [(suite, text) for suite, texts in SUITES.items() for text in texts]
    show(rows_table("Suites", ("suite", "data set"), rows))


def _load(
    path: Path,
    trials: int | None,
    name: str | None,
    seed: int | None,
    student: str | None,
    budget: str | None,
    selection: str | None,
    device: str | None = None,
) -> Any:
    """The study with the command line's options in place of the file's values."""
    from smoothray.study import load_study, parse_study

    def given_of(**options: Any) -> dict[str, Any]:
        return {key: value for key, value in options.items() if value is not None}

    study = load_study(path, given_of(trials=trials, name=name, seed=seed))
    given = given_of(name=student, budget=budget, selection=selection)
    raw = study.model_dump(mode="json", exclude={"datasets", "penalties"})
    if given:
        if len(study.students) > 1:
            raise StudyError(
                f"{path} compares several students; give --student, --budget and --selection "
                "for a study of one"
            )
        kept = raw["students"][0]
        if given.get("name", kept["name"]) != kept["name"]:
            # Another student has other operators, options and budgets of its own.
            kept = {
                key: kept[key] for key in ("budget", "max_size", "nesting", "selection", "timeout")
            }
        raw["students"] = [{**kept, **given}]
    if device is not None:
        raw["teacher"]["device"] = device
    raw["datasets"] = study.datasets
    raw["penalties"] = {
        penalty: strengths.model_dump(exclude_defaults=True)
        for penalty, strengths in study.penalties.items()
    }
    return parse_study(raw, str(path))


def _show(records: list[dict[str, Any]]) -> None:
    if not records:
        return
    import pandas as pd
    from smoothray_analysis import summarise

    from smoothray.commands.console import show, summary_table

    columns = [name for name in records[0] if name not in ("front", "bank")]
    frame = pd.DataFrame([{name: record[name] for name in columns} for record in records])
    show(summary_table(summarise(frame)))
