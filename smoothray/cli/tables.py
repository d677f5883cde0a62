"""The commands about a table of one's own."""

from __future__ import annotations

import json
import math
import shlex
from pathlib import Path
from typing import Annotated

import typer

from smoothray.cli.app import INTERRUPTED, app, this_program
from smoothray.errors import StudyError

TABLES = "A table of your own"


@app.command(rich_help_panel=TABLES)
def distill(
    file: Annotated[Path, typer.Argument(help="A CSV, TSV, text, Excel, Parquet or Feather file.")],
    target: Annotated[str, typer.Option(help="The column to predict.")],
    penalty: Annotated[
        str,
        typer.Option(
            help="none, jacobian_between, lipschitz, auto, or another: my_module:MyPenalty."
        ),
    ] = "auto",
    strength: Annotated[
        str,
        typer.Option(
            help="How much smoothness counts beside the teacher's mean squared error, on the "
            "standard scale (0: not at all; jacobian_between and lipschitz: 0.001 to 1), or auto: tries five."
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
    from smoothray.commands.console import say
    from smoothray.commands.distill import (
        check_mlflow,
        log_to_mlflow,
        make_writable,
        print_result,
        result,
        search,
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
        make_writable(out)
    try:
        distilled, stopped, cautions = search(
            model, dataset, seed, test_size, pick=pick, repeats=repeats, timed=minutes is not None
        )
    except KeyboardInterrupt:
        say("Stopped: nothing was written.")
        raise typer.Exit(INTERRUPTED) from None
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
        say(f"To predict new rows: {shlex.join([this_program(), 'predict', str(out), 'new.csv'])}")
    if mlflow:
        uri = log_to_mlflow(distilled)
        say(f"In MLflow: mlflow models predict -m {uri} -i new.csv -t csv --env-manager local")
    if stopped:
        say("Stopped: this is the best of what was searched.")
        raise typer.Exit(INTERRUPTED)


@app.command(rich_help_panel=TABLES)
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
