"""The command line. Each command checks its input first and ends with what to type next."""

from __future__ import annotations

import gc
import json
import math
import os
import shlex
import shutil
import sys
import time
import warnings
from pathlib import Path
from typing import Annotated, Any

import typer

import smoothray
from smoothray.errors import SmoothrayError, StudyError, plural

app = typer.Typer(
    help="Smooth teachers for symbolic distillation.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

INTERRUPTED = 130
STUDY = (
    "A study's file, or its name: one here, in search_spaces, or one that comes along, as pmlb20."
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"smoothray {smoothray.__version__}")
        raise typer.Exit


@app.callback()
def _main(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


@app.command()
def run(
    study: Annotated[Path, typer.Argument(help=STUDY)],
    datasets: Annotated[
        str, typer.Option(help="Only these of its data sets, separated by commas.")
    ] = "",
    trials: Annotated[int | None, typer.Option(min=1, help="How many trials.")] = None,
    name: Annotated[str | None, typer.Option(help="Record it under another name.")] = None,
    student: Annotated[
        str | None, typer.Option(help="Another student: pysr, my_module:Mine.")
    ] = None,
    budget: Annotated[str | None, typer.Option(help="quick, standard or thorough.")] = None,
    selection: Annotated[str | None, typer.Option(help="fidelity, accuracy or native.")] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="The study's seed.")] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu or cuda.")] = None,
    cores: Annotated[int | None, typer.Option(min=1, help="Cores of this machine to use.")] = None,
    retry_failed: Annotated[bool, typer.Option(help="Try failed trials again.")] = False,
) -> None:
    """Run a study, or what is missing of it. Options override the file."""
    from smoothray.commands.console import reasons, say
    from smoothray.commands.run import run_study

    overrides = {"trials": trials, "name": name, "seed": seed}
    settings = {"name": student, "budget": budget, "selection": selection}
    loaded = _load(study, overrides, settings, device)
    only = [part.strip() for part in datasets.split(",") if part.strip()]
    result = run_study(loaded, only, cores=cores, retry_failed=retry_failed)
    _show(list(result.rows.values()))
    me = _this_program()
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


def _load(
    path: Path, overrides: dict[str, Any], student: dict[str, Any], device: str | None
) -> Any:
    """The study with the command line's options in place of the file's values."""
    from smoothray.study import load_study, parse_study

    study = load_study(path, {key: value for key, value in overrides.items() if value is not None})
    given = {key: value for key, value in student.items() if value is not None}
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


def _this_program() -> str:
    """How to type this program's name where it was started from."""
    program = Path(sys.argv[0])
    if program.name == "submit.py":
        return str(program)
    if program.name == "smoothray" and not shutil.which(program.name):
        return os.path.relpath(program)
    return "smoothray"


@app.command()
def plan(
    study: Annotated[Path, typer.Argument(help=STUDY)],
    datasets: Annotated[str, typer.Option(help="Only these of its data sets.")] = "",
    trials: Annotated[int | None, typer.Option(min=1, help="How many trials.")] = None,
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
    """Say what a study will cost, before anything runs."""
    from smoothray.commands.options import prices_of, shapes_of
    from smoothray.commands.plan import plan as print_plan

    shapes = shapes_of(cores, gpus)
    prices = prices_of(price_core_hour, price_gpu_hour, shapes)
    only = [part.strip() for part in datasets.split(",") if part.strip()]
    print_plan(_load(study, {"trials": trials}, {}, None), only, shapes, prices, seconds)


@app.command()
def status(
    study: Annotated[Path, typer.Argument(help=STUDY)],
    trials: Annotated[int | None, typer.Option(min=1, help="How many trials.")] = None,
) -> None:
    """Say how far a study is, while it runs or after."""
    from smoothray.commands.status import status as print_status

    print_status(_load(study, {"trials": trials}, {}, None))


@app.command()
def distill(
    file: Annotated[Path, typer.Argument(help="A CSV, TSV, text, Excel, Parquet or Feather file.")],
    target: Annotated[str, typer.Option(help="The column to predict.")],
    penalty: Annotated[
        str, typer.Option(help="none, jacobian, lipschitz, auto, or another: my_module:MyPenalty.")
    ] = "auto",
    strength: Annotated[
        str,
        typer.Option(
            help="How much smoothness counts beside the teacher's mean squared error, on the "
            "standard scale (0: not at all; jacobian and lipschitz: 0.001 to 1), or auto: tries five."
        ),
    ] = "auto",
    augment: Annotated[int, typer.Option(min=0, help="New points per training row.")] = 0,
    student: Annotated[
        str, typer.Option(help="operon, pysr, gplearn, or another: my_module:MyStudent.")
    ] = "operon",
    budget: Annotated[str, typer.Option(help="quick, standard or thorough.")] = "standard",
    selection: Annotated[
        str, typer.Option(help="accuracy, fidelity, sobolev or native.")
    ] = "accuracy",
    max_size: Annotated[int, typer.Option(help="The most nodes that formulas may have.")] = 30,
    nesting: Annotated[
        str,
        typer.Option(help="one: at most sin(exp(x)); free: functions within functions at will."),
    ] = "one",
    shorten: Annotated[
        bool, typer.Option(help="Whether formulas are made shorter where they lose nothing by it.")
    ] = True,
    simplify: Annotated[
        bool,
        typer.Option(
            "--simplify",
            help="Make constants 0, 1, -1, 2, 1/2 or rounder where validation rows allow it.",
        ),
    ] = False,
    pick: Annotated[
        int | None, typer.Option(min=1, help="Take the best formula of at most so many nodes.")
    ] = None,
    operators: Annotated[
        str, typer.Option(help="What formulas are made of, such as add,mul,div,exp.")
    ] = "",
    only: Annotated[
        list[str] | None, typer.Option(help="A column that may be used; again for more.")
    ] = None,
    exclude: Annotated[
        list[str] | None, typer.Option(help="A column to leave out; again for more.")
    ] = None,
    monotone: Annotated[
        list[str] | None,
        typer.Option(help="COLUMN:+ or COLUMN:-, which the formula may not fall or rise with."),
    ] = None,
    units: Annotated[
        str | None,
        typer.Option(
            help="Units to check the formula by: length=m,time=s; or row, where the row under the header "
            "holds them."
        ),
    ] = None,
    repeats: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Splits to do it on, each with its own seed; 1 for one alone. By default up to 5, if they "
            "take no more than a minute.",
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Decides the test rows and the search.")] = 0,
    jobs: Annotated[int, typer.Option(help="Processes that fit formulas; -1: a core each.")] = -1,
    timeout: Annotated[
        float | None, typer.Option(help="Seconds after which a fit of a formula is ended.")
    ] = None,
    minutes: Annotated[
        float | None,
        typer.Option(
            help="Search for so long: half of it for the formula, half for the direct fit. More and longer "
            "fits of what does well; --budget then says nothing, and there are no repeats unless asked for, "
            "which take as long each. Ctrl-C ends it with the best so far (exit code 130)."
        ),
    ] = None,
    sheet: Annotated[str, typer.Option(help="An Excel file's sheet: its name or number.")] = "",
    decimal: Annotated[
        str, typer.Option(help="The decimal sign, '.' or ','; found out if plain.")
    ] = "",
    test_size: Annotated[float, typer.Option(help="The share of rows kept for testing.")] = 0.25,
    out: Annotated[Path | None, typer.Option(help="A folder for the result's files.")] = None,
    mlflow: Annotated[
        bool, typer.Option("--mlflow", help="Log the run and the formula as a model to MLflow.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Find a formula for a column of a table, by way of a smooth network."""
    from smoothray.commands.console import Seldom, err, reported, say
    from smoothray.commands.distill import (
        Distilled,
        automatic_repeats,
        check_mlflow,
        log_to_mlflow,
        print_result,
        result,
        write_files,
    )
    from smoothray.commands.table import load_table, monotone_signs
    from smoothray.datasets import parse_spec
    from smoothray.datasets.splits import holdout
    from smoothray.datasets.suspicions import suspicions
    from smoothray.distillation.distiller import SymbolicDistiller

    if penalty == "direct":
        raise StudyError("the direct fit is always done beside the distillation; name a penalty")
    if jobs == 0:
        raise StudyError("--jobs takes a number of processes, or -1 for a core each, not 0")
    if minutes is not None and not 0 < minutes < math.inf:
        raise StudyError(f"--minutes takes a number above 0, not {minutes:g}")
    model = SymbolicDistiller(
        penalty,
        _strength(strength),
        student,
        augment=augment,
        budget=budget,
        max_size=max_size,
        nesting=nesting,
        shorten=shorten,
        simplify=simplify,
        operators=[name.strip() for name in operators.split(",")] if operators else None,
        monotone=monotone_signs(monotone or ()),
        selection=selection,
        n_jobs=jobs,
        timeout=timeout,
        max_seconds=None if minutes is None else 30 * minutes,
        random_state=seed,
    )
    model.check()
    if mlflow:
        check_mlflow()
    reading = {key: value for key, value in (("sheet", sheet), ("decimal", decimal)) if value}
    spec = parse_spec({"file": str(file), "target": target, **reading})
    table = load_table(spec, only=only or (), exclude=exclude or (), units=units)
    dataset = table.dataset
    if table.units is not None:
        known = {name: table.units[name] for name in dataset.feature_names if name in table.units}
        model.set_params(units=known, target_unit=table.units.get(target, ""))
    model.check_columns(dataset.feature_names)
    parts = holdout(len(dataset.y), seed, test_size)
    odd = suspicions(dataset, *parts)
    for notice in (*dataset.notices, *odd):
        say(notice)
    if out is not None:
        try:
            out.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StudyError(f"--out {out} cannot be a folder: {error.strerror}") from None
    with (
        err.status("") as status,
        reported("smoothray.distillation.attempts", status.update),
        reported("smoothray.distillation.attempts", Seldom()),
        warnings.catch_warnings(record=True) as told,
    ):
        warnings.simplefilter("always", UserWarning)
        distilled = None
        try:
            started = time.monotonic()
            distilled = Distilled.of(model, dataset, seed, test_size)
            seconds = time.monotonic() - started
            stopped = distilled.is_interrupted
            if pick is not None:
                distilled = distilled.picked(pick)
            if not stopped:
                automatic = 1 if minutes is not None else automatic_repeats(seconds)
                distilled = distilled.repeated(repeats or automatic, pick)
        except KeyboardInterrupt:
            stopped = True
            if distilled is None or minutes is None:
                say("Stopped: nothing was written.")
                raise typer.Exit(INTERRUPTED) from None
            say("Stopped before the repeats were done: they are left out.")
    cautions = tuple(dict.fromkeys(str(w.message) for w in told if w.category is UserWarning))
    for text in cautions:
        say(text)
    if as_json:
        print(json.dumps(result(distilled), allow_nan=False))
    else:
        print_result(distilled)
    if out is not None:
        files = write_files(distilled, out, str(file), warnings=(*odd, *cautions))
        figures = [file for file in files if file.suffix in (".png", ".svg")]
        others = [file.name for file in files if file not in figures and file.suffix != ".html"]
        say(f"wrote {out / 'report.html'}, the page to send on")
        say(f"beside it: {', '.join(others)}, and {len(figures) // 2} figures as PNG and SVG")
        say(f"To predict new rows: {shlex.join([_this_program(), 'predict', str(out), 'new.csv'])}")
    if mlflow:
        uri = log_to_mlflow(distilled)
        say(f"In MLflow: mlflow models predict -m {uri} -i new.csv -t csv --env-manager local")
    if stopped:
        say("Stopped: this is the best of what was searched.")
        raise typer.Exit(INTERRUPTED)


@app.command()
def predict(
    result: Annotated[
        Path, typer.Argument(help="The folder of 'smoothray distill --out', or a saved .json.")
    ],
    file: Annotated[Path, typer.Argument(help="A table with new rows.")],
    sheet: Annotated[str, typer.Option(help="An Excel file's sheet: its name or number.")] = "",
    decimal: Annotated[str, typer.Option(help="The decimal sign, '.' or ','.")] = "",
    out: Annotated[Path | None, typer.Option(help="A CSV file for all predictions.")] = None,
) -> None:
    """Predict new rows with a formula that was found before."""
    from smoothray.commands import predict as command
    from smoothray.commands.console import say
    from smoothray.distillation.distiller import SymbolicDistiller

    model = SymbolicDistiller.load(result)
    predictions = command.predict(model, command.read_table(file, sheet, decimal))
    for line in predictions.told:
        say(line)
    if out is None:
        command.print_predictions(predictions)
        command.print_summary(predictions)
    else:
        command.write(predictions, out)
        say(command.summary(predictions))
        say(f"wrote {out}")


def _strength(text: str) -> float | str:
    if text == "auto":
        return text
    try:
        return float(text)
    except ValueError:
        raise StudyError(f"--strength takes a number or auto, not '{text}'") from None


@app.command()
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
    from smoothray.records.recorded import require_study
    from smoothray.records.schema import FRONTS, write_parquet
    from smoothray.study.study import study_name

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


@app.command(name="import")
def take_in(
    file: Annotated[Path, typer.Argument(help="A Parquet file that `export` wrote.")],
    name: Annotated[str | None, typer.Option(help="Another name for the study.")] = None,
) -> None:
    """Take an exported file's records into their study, which `run` then goes on with."""
    from smoothray.commands.take_in import take_in as take

    take(file, name)


@app.command()
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
            help="How strengths are chosen: of each data set on the others, for each trial by itself "
            "(trial), those that the study's file fixed (fixed), or lipschitz=0.1,jacobian=0.01."
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


@app.command()
def ui(
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="The port to listen on.")] = 5000,
) -> None:
    """Browse the recorded runs in MLflow's own pages."""
    from smoothray.commands.ui import ui as open_pages

    open_pages(host, port)


@app.command()
def datasets() -> None:
    """List the suites and their data sets."""
    from smoothray.commands.console import rows_table, show
    from smoothray.datasets import SUITES

    rows = [(suite, text) for suite, texts in SUITES.items() for text in texts]
    show(rows_table("Suites", ("suite", "data set"), rows))


@app.command()
def doctor() -> None:
    """Say which students, devices and data sources work here, and why the others do not."""
    from smoothray.commands.console import rows_table, show
    from smoothray.commands.doctor import findings

    rows = [(f.kind, f.name, "yes" if f.works else "no", f.detail) for f in findings()]
    show(rows_table(f"smoothray {smoothray.__version__}", ("", "", "works", ""), rows))


def main() -> None:
    """Run the command line; mistakes of the user's end it with their text alone."""
    try:
        app(standalone_mode=True)
    except SmoothrayError as error:
        typer.echo(f"error: {error}", err=True)
        sys.exit(2)
    except KeyboardInterrupt:
        typer.echo("Stopped.", err=True)
        sys.exit(INTERRUPTED)
    except BrokenPipeError:
        sys.exit(1)
    finally:
        gc.freeze()  # at its end Python would look through all objects of torch and Ray, for a second
