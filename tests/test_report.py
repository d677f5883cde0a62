"""The report: what it computes beyond the verdict, its files, and what becomes of odd studies."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import replace
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
from made_up import ARMS, FAST, deliver, loaded, made_up
from markupsafe import escape
from smoothray_analysis.comparisons import Settings
from smoothray_analysis.formulas import best_formulas, fronts_of, median_trials
from smoothray_analysis.headline import parts, summary
from smoothray_analysis.loading import load_parquet
from smoothray_analysis.mechanism import CHANGES, against_strength, mechanism_lines, over_strengths
from smoothray_analysis.narrative import one_or_all
from smoothray_analysis.plots import forest_plot, heat_plot, strength_plot
from smoothray_analysis.plots.ranks import _cliques
from smoothray_analysis.plots.style import looks
from smoothray_analysis.published import SYMBOLIC, at_published_sizes, beside_srbench, srbench
from smoothray_analysis.report import write_report
from smoothray_analysis.report.findings import find
from smoothray_analysis.report.mathml import breakable
from smoothray_analysis.selection import TAKEN, VISIBLE, Rule, reselect
from smoothray_analysis.sensitivity import RULES, sensitivity, sensitivity_lines
from smoothray_analysis.strengths import StrengthError
from smoothray_analysis.verdict import evidence

from smoothray.records.fronts import FRONTS
from smoothray.records.journal import Journal
from smoothray.records.parquet import write_parquet
from smoothray.records.schema import failed
from smoothray.study.plan import Arm

FEW = Settings(resamples=50)


def explained(records, seed=0):
    """Give made-up records teachers: smoother with strength, and formulas better where they are alike."""
    rng = np.random.default_rng(seed)
    for record in records:
        if record["penalty"] == "direct" or record["status"] != "ok":
            continue
        strength = record["strength"] or 0.0
        record["teacher_r2_test"] = 0.9 - strength
        record["teacher_jacobian"] = 1 / (1 + 10 * strength)
        record["alignment"] = float(rng.normal(0, 1))
        record["fidelity_test"] = 0.8 + strength
        for member in record["front"]:
            member["fidelity_test"] = record["fidelity_test"]
    return records


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return loaded(explained(made_up(9, 8, gain=0.2)), tmp_path_factory.mktemp("study"))


@pytest.fixture
def no_figures(monkeypatch):
    """Reports without them, which take the most of their time."""
    monkeypatch.setattr("smoothray_analysis.report.write.plots", lambda findings: ())


@pytest.fixture(scope="module")
def written(study, tmp_path_factory):
    return write_report(study, "made-up", tmp_path_factory.mktemp("report"), settings=FEW)


def test_a_report_has_its_page_figures_and_tables(written):
    folder = written.page.parent
    assert "The smooth arm beats the direct fit: jacobian." in written.lines
    assert written.lines[0].startswith(
        "Smoothing the teacher, against plain distillation: fidelity is "
    )
    assert (folder / "verdict.txt").read_text().splitlines() == list(written.lines)
    assert {file for file in folder.rglob("*") if file.is_file()} == set(written.files)
    names = {file.stem for file in (folder / "figures").iterdir()}
    assert names == {
        "endpoints", "forest_direct", "forest_none", "forest_weight_decay", "heat", "ranks", "strengths",
        "why", "trade_off", "profiles", "catastrophes", "associations", "moderators", "fronts",
    }  # fmt: skip
    for name in names:
        assert (folder / f"figures/{name}.png").read_bytes().startswith(b"\x89PNG")
        root = ElementTree.parse(folder / f"figures/{name}.svg").getroot()
        assert root.tag.endswith("svg") and len(list(root.iter())) > 50


def test_the_page_needs_no_network_and_no_script(study, written):
    page = written.page.read_text()
    assert "<script" not in page and "@import" not in page
    for attribute, target in re.findall(r'(src|href)="([^"]*)"', page):
        assert target.startswith(("#", "data:image/svg+xml")), (attribute, target[:80])
    for part in parts(written.lines[0]):
        assert page.index(escape(part)) < page.index("<h2")
    anchors = re.findall(r'href="#([^"]+)"', page)
    assert anchors and all(f'id="{anchor}"' in page for anchor in anchors)
    assert f": {len(study.frame)} records</li>" in page  # each with the versions that made it
    assert page.count("<figure") == 14 and page.count("<math") >= 4


def test_tables_are_whole_as_csv_and_plain_as_latex(study, written):
    folder = written.page.parent / "tables"
    ev = evidence(study.frame, settings=FEW)
    table = pd.read_csv(folder / "per_dataset.csv")
    assert len(table) == len(ev.per_dataset) == 9 * 4
    np.testing.assert_allclose(table["p_holm"], ev.per_dataset["p_holm"], rtol=1e-12)
    for file in folder.glob("*.tex"):
        text = file.read_text()
        assert text.isascii(), file.name
        assert "\\toprule" in text and "\\caption{" in text and "\\label{tab:" in text
        columns = re.search(r"\\begin\{(?:tabular|longtable)\}\{([lr]+)\}", text)
        assert columns and all(
            len(row.split(" & ")) == len(columns[1])
            for row in text.splitlines() if " & " in row
        )  # fmt: skip
    assert "jacobian against" not in (folder / "comparisons.csv").read_text()
    assert "weight\\_decay" in (folder / "arms.tex").read_text()


def test_the_same_records_give_the_same_report(study, written, tmp_path):
    again = write_report(study, "made-up", tmp_path, settings=FEW)
    assert again.lines == written.lines
    assert again.page.read_bytes() == written.page.read_bytes()


BLOCKED = """
import sys, socket
class Block:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "ray", "mlflow", "pysr", "smoothray"):
            raise ModuleNotFoundError(f"{name} is not installed here", name=name)
sys.meta_path.insert(0, Block())
def refuse(*_, **__): raise OSError("no network")
socket.socket.connect = refuse
from smoothray_analysis.loading import load_parquet
from smoothray_analysis.report import write_report
from smoothray_analysis.comparisons import Settings
print(write_report(load_parquet(sys.argv[1]), "s", sys.argv[2], settings=Settings(resamples=20)).lines[0])
"""


def test_it_is_written_where_ray_torch_and_mlflow_are_not(tmp_path):
    write_parquet(explained(made_up(2, 3)), tmp_path / "s.parquet")
    done = subprocess.run(
        [sys.executable, "-c", BLOCKED, tmp_path / "s.parquet", tmp_path / "out"],
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert (
        "too few data to tell" in done.stdout
        and (tmp_path / "out/report.html").stat().st_size > 1e5
    )


def odd_studies():
    half = np.random.default_rng(0)
    records = explained(made_up(3, 6))
    yield "one arm", made_up(2, 3, ARMS[1:2]), "one arm, none: there is nothing to compare"
    yield "no smooth arm", made_up(2, 3, ARMS[:2]), "no smooth arm, only direct and none"
    yield "no baseline", made_up(2, 3, ARMS[3:]), "one arm, jacobian: there is nothing to compare"
    yield "one data set", explained(made_up(1, 14)), "This is one data set"
    yield "one trial", explained(made_up(3, 1)), "power is small"
    yield "no direct fit", explained(made_up(3, 6, ARMS[1:])), "There is no direct fit"
    mixed = [failed(r, "time limit") if half.random() < 0.5 else r for r in records]
    yield "half failed", mixed, "may be the easy ones"
    yield "all failed", [failed(r, "no") for r in records], "every trial failed"
    versions = [r | {"version": "0.0.9"} if r["trial"] == 0 else r for r in records]
    yield "two versions", versions, "different versions of smoothray 0.0.9 / "
    wild = [
        r | {"student_r2_test": -1e300 if r["trial"] == 0 else -1e6} if r["dataset"] == "d00" else r
        for r in records
    ]
    yield "hugely negative", wild, "jacobian"
    two = explained(made_up(2, 4, students=("gplearn", "operon")))
    yield "two students", two, "jacobian (gplearn)"
    arms = (*ARMS, Arm("jacobian", 0.1, augment=4), Arm("none", augment=4), Arm("none", None, 0, 5))
    yield "many arms", explained(made_up(2, 4, arms)), "jacobian +4×points"
    drawn = [Arm("jacobian", float(s)) for s in np.geomspace(1e-3, 1, 20)]
    yield "drawn strengths", explained(made_up(2, 4, (*ARMS[:2], *drawn))), "jacobian"
    named = [r | {"dataset": f"<b>&_{r['dataset']}$%\\_{'long' * 12}"} for r in records]
    yield "names", named, "jacobian"


NOT_SLOW = ("one arm", "one data set", "one trial", "half failed", "all failed", "names")
ODD = [
    pytest.param(*study, id=name, marks=[] if name in NOT_SLOW else [pytest.mark.slow])
    for name, *study in odd_studies()
]


@pytest.mark.usefixtures("figures_drawn")
@pytest.mark.parametrize(("records", "word"), ODD)
def test_an_odd_study_gets_a_page_with_a_clear_word(records, word, tmp_path):
    report = write_report(loaded(records, tmp_path), "odd", tmp_path / "out", settings=FEW)
    assert word in "\n".join(report.lines)
    page = report.page.read_text()
    assert "nan" not in re.sub(r"data:image[^\"]*|<math.*?</math>", "", page).lower().split()
    assert "<b>&" not in page
    for part in ("differences", "ranks", "strengths", "why", "formulas", "methods", "made-with"):
        assert f'<h2 id="{part}"' in page


@pytest.mark.usefixtures("no_figures")
def test_a_rule_and_strengths_per_trial_can_be_asked_for(study, tmp_path):
    settings = Settings(resamples=20, strengths="trial")
    report = write_report(study, "s", tmp_path, rule=Rule.of("accuracy<=5"), settings=settings)
    page = report.page.read_text()
    assert "accuracy&lt;=5 (this report)" in page and "strength from other data sets" in page
    formulas = pd.read_csv(tmp_path / "tables/formulas.csv")
    assert (formulas["complexity"] <= 5).all()


# --- what else is computed


def test_changes_against_strength_are_medians_of_paired_differences(study):
    chosen = evidence(study.frame, settings=FEW).chosen
    curves = against_strength(study.frame, chosen)
    frame = study.frame
    here = frame[(frame["dataset"] == "d01")]
    arm = here[(here["penalty"] == "jacobian") & (here["strength"] == 0.1)].set_index("trial")
    none = here[here["penalty"] == "none"].set_index("trial")
    row = curves[(curves["dataset"] == "d01") & (curves["arm"] == "jacobian")]
    row = row[row["strength"] == 0.1].iloc[0]
    for name in ("student_r2_test", "complexity", "teacher_r2_test"):
        assert row[f"change_{name}"] == pytest.approx((arm[name] - none[name]).median())
    assert row["change_log_jacobian"] == pytest.approx(np.log10(1 / 2))
    assert row["chosen"] and row["trials"] == 8
    assert set(curves["arm"]) == {"none", "weight_decay", "jacobian"}
    assert curves.groupby(["dataset", "arm"])["chosen"].sum().eq(1).all()
    whole = over_strengths(curves)
    mine = whole[(whole["arm"] == "jacobian") & (whole["measure"] == "change_student_r2_test")]
    mine = mine[mine["strength"] == 0.1]
    part = curves[(curves["arm"] == "jacobian") & (curves["strength"] == 0.1)]
    assert mine["median"].item() == pytest.approx(part["change_student_r2_test"].median())
    assert curves.groupby(["dataset", "arm"])["share"].sum().eq(1).all()
    lines = mechanism_lines(curves)
    assert any(line.startswith("jacobian, at the chosen strengths") for line in lines)
    assert "is 0.5 times that of plain" in "".join(lines)


def test_changes_at_mixed_strengths_are_weighed_by_their_shares():
    at = pd.DataFrame({"strength": [0.1, 1.0, 10.0], "share": [0.25, 0.75, 0.0]})
    curves = pd.DataFrame({"dataset": ["a", "b"], "shift": [0.0, 0.02]}).merge(at, "cross")
    change = curves["strength"].map({0.1: 0.4, 1.0: 0.2, 10.0: 9.0}) + curves["shift"]
    curves = curves.assign(
        student="operon", arm="jacobian", penalty="jacobian", **dict.fromkeys(CHANGES, change)
    )
    (line,) = mechanism_lines(curves)
    assert "fidelity by +0.260" in line and "medians over 2 data sets" in line


def test_drawn_strengths_are_put_into_groups(tmp_path):
    drawn = [Arm("jacobian", float(s)) for s in np.geomspace(1e-3, 1, 40)]
    frame = loaded(explained(made_up(2, 2, (Arm("none"), *drawn))), tmp_path).frame
    whole = over_strengths(against_strength(frame, evidence(frame, settings=FEW).chosen))
    assert whole["strength"].nunique() == 6
    assert whole["strength"].between(1e-3, 1).all()


def test_the_best_arm_is_chosen_on_validation_and_its_middle_trial_shown(study):
    ev = evidence(study.frame, settings=FAST)
    trials = median_trials(ev.chosen, ev.arms)
    planted = ev.chosen.assign(student_r2_test=ev.chosen["student_r2_test"] ** -1)
    moved = median_trials(planted, ev.arms)
    best, other = trials[trials["best"]], moved[moved["best"]]
    assert best["arm"].tolist() == other["arm"].tolist() == ["jacobian"] * 9
    for row in best.to_dict("records"):
        mine = ev.chosen[(ev.chosen["arm"] == row["arm"])]
        mine = mine[mine["dataset"] == row["dataset"]]["student_r2_test"]
        assert sorted(mine)[(len(mine) - 1) // 2] == ev.chosen.loc[row["record"], "student_r2_test"]
    members = fronts_of(trials, study, None)
    formulas = best_formulas(trials, ev.chosen, members)
    assert formulas["mathml"].notna().all() and members["chosen"].sum() == len(trials)
    shown = ev.chosen.loc[best.sort_values("dataset")["record"]]
    assert formulas["formula"].tolist() == shown["formula"].tolist()
    assert formulas["strength"].tolist() == [0.1] * 9
    assert set(trials["arm"]) == {"jacobian", "direct", "none"}


def test_a_verdict_that_depends_on_the_choice_is_said(study):
    findings = find(study, None, FEW, rules=("native",))
    assert "strengths are chosen" in findings.lines[3]
    others = findings.sensitivity.copy()
    assert set(others["variant"]) == {"native", "strength per trial"}
    others.loc[others["variant"] == "native", "verdict"] = "worse"
    lines = sensitivity_lines(findings.results, others)
    assert "depends on how" in lines[0] and len(lines) == 1
    others["verdict"] = "practically the same"
    level = findings.results.assign(verdict="practically the same")
    assert "verdicts are the same" in sensitivity_lines(level, others)[0]
    others.loc[others.index[0], "verdict"] = "no clear difference"
    (line,) = sensitivity_lines(level, others)
    assert "no comparison turns better or worse; 1 of " in line and "by others" in line
    others["verdict"] = "no pairs"
    assert not sensitivity_lines(findings.results, others)
    others["verdict"] = "power is small"
    weak = findings.results.assign(verdict="power is small")
    assert "too few data to tell" in sensitivity_lines(weak, others)[0]
    assert lines[0].count("but worse with native") == 4
    level = findings.results.assign(verdict="practically the same")
    others.loc[:, "verdict"] = "power is small"
    (line,) = sensitivity_lines(level, others)
    assert "no comparison turns better or worse" in line and "4 of 4" in line
    others.loc[others["arm"] == "jacobian", "verdict"] = "better"
    (line,) = sensitivity_lines(level, others)
    assert (
        line.count("but better with") == 3
        and "1 other is practically the same by some and not shown by others" in line
    )


def test_variants_choose_as_they_say(study):
    fronts = study.fronts()
    table = sensitivity(study.frame, study.frame, fronts, ["accuracy", "accuracy<=5"], FEW)
    main = pd.DataFrame(one_or_all(*_compared(study.frame)))
    assert len(main) == 4
    same = table[table["variant"] == "accuracy"].set_index(["arm", "base"])["difference"]
    pd.testing.assert_series_equal(
        same.sort_index(), main.set_index(["arm", "base"])["difference"].sort_index()
    )
    small = table[table["variant"] == "accuracy<=5"].set_index(["arm", "base"])["difference"]
    assert not np.allclose(small.sort_index(), same.sort_index())


def test_fixed_strengths_stand_beside_the_chosen_ones(study):
    fixed = replace(FEW, fixed={"jacobian": 0.01})
    table = sensitivity(study.frame, study.frame, pd.DataFrame(), [], fixed)
    table = table[table["variant"] == "fixed strengths"]
    wide = study.frame.pivot(index=["dataset", "trial"], columns=["penalty", "strength"],
                             values="student_r2_test")  # fmt: skip
    differences = (wide["jacobian", 0.01] - wide["none"].iloc[:, 0]).groupby("dataset").median()
    row = table[(table["arm"] == "jacobian") & (table["base"] == "none")]
    assert row["difference"].item() == pytest.approx(differences.median())


def test_penalties_of_which_no_strength_is_fixed_are_left_out(tmp_path):
    arms = (*ARMS, Arm("lipschitz", 0.1), Arm("lipschitz", 1.0))
    records = loaded(explained(made_up(6, 3, arms=arms)), tmp_path)
    found = find(records, None, replace(FEW, strengths="fixed", fixed={"jacobian": 0.01}), rules=())
    assert "lipschitz" not in set(found.records["penalty"])
    assert (found.evidence.chosen.query("penalty == 'jacobian'")["strength"] == 0.01).all()
    assert "Note: lipschitz left out: no strength of it is fixed." in found.lines
    assert len(found.fronts) and found.fronts["record"].isin(found.records.index).all()


def test_penalties_without_a_fixed_strength_are_left_out_beside_and_refused_alone(tmp_path):
    arms = (*ARMS, Arm("lipschitz", 0.1), Arm("lipschitz", 1.0))
    records = loaded(explained(made_up(6, 3, arms=arms)), tmp_path).frame
    fixed = replace(FEW, fixed={"jacobian": 0.01, "lipschitz": 7.0})
    table = sensitivity(records, records, pd.DataFrame(), [], fixed)
    named = table[table["variant"] == "fixed strengths"]
    assert set(named["arm"]) == {"jacobian", "none"}
    assert "lipschitz" in set(table["arm"])
    with pytest.raises(StrengthError, match="lipschitz's strengths that were run: 0.1, 1"):
        evidence(records, settings=replace(fixed, strengths="fixed"))


def _compared(frame):
    ev = evidence(frame, settings=FEW)
    return ev.per_dataset, ev.over_datasets


def test_srbenchs_medians_stand_beside_ours():
    published = srbench()
    assert published.shape == (420, 4) and published["dataset"].nunique() == 20
    arms = pd.DataFrame(
        {
            "student": "operon", "dataset": "230_machine_cpu", "penalty": ["direct", "jacobian", "lipschitz"],
            "arm": ["direct", "jacobian", "lipschitz"], "student_r2_test": [0.8, 0.9, 0.7],
            "student_r2_val": [0.9, 0.5, 0.6], "complexity": [9.0, 11.0, 13.0],
        }
    )  # fmt: skip
    strange = arms.assign(dataset="mine")
    table = beside_srbench(pd.concat([arms, strange])).set_index(["source", "method"])
    assert (table["dataset"] == "230_machine_cpu").all()
    assert table.loc[("here", "best smooth"), ["r2", "detail"]].tolist() == [0.7, "lipschitz"]
    theirs = published[published["dataset"] == "230_machine_cpu"].set_index("algorithm")
    assert table.loc[("SRBench", "Operon"), "r2"] == theirs.loc["Operon", "r2_test"]
    best = theirs.loc[list(SYMBOLIC)]["r2_test"]
    assert table.loc[("SRBench", "best symbolic"), "r2"] == best.max()
    assert table.loc[("SRBench", "best symbolic"), "detail"] == best.idxmax()
    assert beside_srbench(strange).empty


def test_formulas_of_srbenchs_sizes_stand_beside_its_own():
    theirs = srbench().query("algorithm == 'gplearn'").set_index("dataset")
    place = "230_machine_cpu"
    size = theirs.loc[place, "model_size"]
    chosen = pd.DataFrame(
        {
            "student": "operon", "dataset": place, "status": ["ok", "ok", "failed", "ok"],
            "penalty": ["none", "none", "none", "placebo"], "arm": ["none", "none", "none", "placebo"],
        }
    )  # fmt: skip
    fronts = pd.DataFrame(
        {
            "record": [0, 0, 0, 1, 2, 3], "complexity_standard": [3, size, size + 1, size, 3, 3],
            "val_loss_fidelity": [0.5, 0.3, 0.1, 0.4, 0.1, 0.1], "val_loss_accuracy": 9.0,
            "r2_test": [0.2, 0.5, 0.9, 0.7, 1.0, 1.0],
        }
    )  # fmt: skip
    table = at_published_sizes(chosen, fronts, "fidelity").set_index("method")
    assert set(table["arm"]) == {"none"} and set(table.index) <= set(SYMBOLIC)
    row = table.loc["gplearn"]
    assert row["r2"] == pytest.approx(0.6)  # of the two trials that finished, each at most so long
    assert (row["datasets"], row["size"]) == (1, size)
    assert row["published"] == theirs.loc[place, "r2_test"] and row["above"] == int(
        row["published"] < 0.6
    )


# --- plots


def labels_overlap(figure, axes, axis):
    figure.canvas.draw()
    ticks = axes.get_yticklabels() if axis == "y" else axes.get_xticklabels()
    boxes = [tick.get_window_extent() for tick in ticks if tick.get_text()]
    edge = (lambda box: (box.y0, box.y1)) if axis == "y" else (lambda box: (box.x0, box.x1))
    spans = sorted(edge(box) for box in boxes)
    return any(low < before[1] - 0.5 for before, (low, _) in zip(spans, spans[1:], strict=False))


@pytest.fixture(scope="module")
def many():
    """20 data sets with long names, 12 arms."""
    arms = [f"lipschitz_sampled +{k}×points" for k in range(12)]
    names = [f"{i:03}_visualizing_environmental_data_of_the_north" for i in range(20)]
    rng = np.random.default_rng(0)
    return pd.DataFrame(rng.uniform(-3, 1, (20, 12)), index=names, columns=arms)


def test_twenty_long_names_do_not_overlap(many):
    figure = heat_plot(many)
    assert not labels_overlap(figure, figure.axes[0], "y")
    table = many.iloc[:, :3].rename_axis("dataset").reset_index()
    table = table.melt("dataset", var_name="arm", value_name="difference")
    table = table.assign(low=table["difference"] - 0.1, high=np.nan, verdict="better")
    figure = forest_plot(table, table.head(0), "direct", 0.01, looks(table["arm"]))
    assert not labels_overlap(figure, figure.axes[0], "y")
    for axes in figure.axes:
        assert not labels_overlap(figure, axes, "x")


def test_small_panels_keep_apart(many):
    curves = many.iloc[:, :1].rename_axis("dataset").reset_index()
    curves = curves.melt("dataset", var_name="arm", value_name="student_r2_test")
    curves = pd.concat([curves.assign(strength=s, chosen=s == 1) for s in (0.01, 0.1, 1.0)])
    figure = strength_plot(
        curves, pd.DataFrame(columns=["dataset", "arm", "r2"]), looks(curves["arm"])
    )
    figure.canvas.draw()
    titles = [axes.title.get_window_extent() for axes in figure.axes]
    width = figure.bbox.width
    for place, box in enumerate(titles):
        assert box.x0 >= 0 and box.x1 <= width
        for other in titles[place + 1 :]:
            assert not box.overlaps(other)


def test_an_arm_looks_the_same_in_every_plot():
    first = looks(["jacobian", "none", "lipschitz", "direct"])
    assert first == looks(["direct", "lipschitz", "none", "jacobian"])
    many = looks([f"arm {i}" for i in range(18)] + ["direct", "none", "weight_decay"])
    assert len(set(many.values())) == 21


def test_bars_of_the_rank_diagram_join_what_does_not_differ():
    pairs = pd.DataFrame(
        [("a", "b", False), ("a", "c", True), ("b", "c", False), ("a", "d", True), ("b", "d", True),
         ("c", "d", False)],
        columns=["first", "second", "significant"],
    )  # fmt: skip
    assert _cliques(["a", "b", "c", "d"], pairs) == [(0, 1), (1, 2), (2, 3)]
    assert _cliques(["a", "b", "c", "d"], pairs.assign(significant=False)) == [(0, 3)]
    assert _cliques(["a", "b", "c", "d"], pairs.assign(significant=True)) == []


def test_a_formula_is_cut_before_its_signs():
    from sympy import Symbol, exp

    from smoothray.formulas import to_mathml

    x, y = Symbol("x"), Symbol("y")
    whole = to_mathml(2 * x - 3 * exp(-x - y) + (x + 1) / (y - 2))
    pieces = breakable(whole)
    trees = [ElementTree.fromstring(piece) for piece in pieces]
    text = "".join("".join(tree.itertext()) for tree in trees)
    assert text == "".join(ElementTree.fromstring(whole).itertext())
    assert len(pieces) > 2
    for tree in trees[1:]:
        assert tree[0].text in ("+", "−") and tree[0].get("form") == "infix"
    fractions = [e for tree in trees for e in tree.iter() if e.tag.endswith("mfrac")]
    assert len(fractions) == len(re.findall("<mfrac", whole))
    for harm in (
        "<math>broken",
        "<script>alert(1)</script>",
        "<math><mi onclick='x'>x</mi></math>",
    ):
        assert breakable(harm) == []


# --- the command


@pytest.mark.usefixtures("figures_drawn")
def test_the_command_prints_the_verdict_and_logs_the_report(main, place):
    from mlflow import MlflowClient

    deliver(explained(made_up(2, 3)))
    for _ in range(2):
        done = main("report", "made-up", "--out", "here")
        assert done.returncode in (0, None), done.stderr
        assert "No smooth arm is shown to beat the direct fit" in done.stdout
        assert "wrote here/report.html" in done.stderr
    client = MlflowClient()
    experiment = client.get_experiment_by_name("made-up").experiment_id
    runs = client.search_runs([experiment], "tags.`smoothray.kind` = 'report'")
    assert len(runs) == 1 and runs[0].info.status == "FINISHED"
    assert runs[0].info.run_name == "report"
    names = {item.path for item in client.list_artifacts(runs[0].info.run_id)}
    assert names == {"report.html", "verdict.txt", "figures", "tables"}
    inside = {item.path for item in client.list_artifacts(runs[0].info.run_id, "figures")}
    assert "figures/endpoints.svg" in inside


@pytest.mark.usefixtures("no_figures")
def test_the_strengths_that_a_study_fixed_are_reported_beside_and_alone(main, place):
    identity = {"seed": 1, "teacher": {}, "students": {}, "fixed": {"jacobian": 0.01}}
    with Journal("made-up") as journal:
        journal.append("study", identity=identity)
        for record in explained(made_up(6, 3)):
            journal.append("record", record=record)
    for options, folder in (
        ([], "made-up-report"),
        (["--strengths", "fixed"], "made-up-report-fixed"),
        (["--rope", "0.010"], "made-up-report"),
        (["--rope", "5%"], "made-up-report-rope-5%"),
    ):
        done = main("report", "made-up", *options)
        assert done.returncode in (0, None), done.stderr
        assert (place / folder / "report.html").exists()
    choices = pd.read_csv(place / "made-up-report/tables/variants.csv")
    assert "fixed strengths" in set(choices["variant"])
    strengths = pd.read_csv(place / "made-up-report-fixed/tables/arms.csv").query(
        "arm == 'jacobian'"
    )
    assert set(strengths["strength"]) == {0.01}
    # A file of records takes them along.
    assert main("export", "made-up", "small.parquet", "--fronts", "none").returncode in (0, None)
    assert main("report", "small.parquet").returncode in (0, None)
    from_file = pd.read_csv(place / "small-report/tables/variants.csv")
    assert "fixed strengths" in set(from_file["variant"])
    assert "seed" in (place / "small-report/report.html").read_text()


@pytest.mark.usefixtures("no_figures")
def test_the_command_takes_a_parquet_file_and_leaves_mlflow_alone(main, place):
    write_parquet(explained(made_up(2, 3)), place / "mine.parquet")
    (place / "mlflow.db").unlink()
    done = main("report", "mine.parquet", "--selection", "accuracy<=9", "--strengths", "trial")
    assert done.returncode in (0, None), done.stderr
    assert (place / "mine-report-accuracy-at-most-9-per-trial" / "report.html").exists()
    assert not (place / "mlflow.db").exists()


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["nothing"], "no records of a study 'nothing'"),
        (["absent.parquet"], "there is no file absent.parquet"),
        (["text.parquet"], "not a table of trials"),
        (["other.parquet"], "holds no records of smoothray"),
        (["good.parquet", "--selection", "best"], "unknown rule 'best'"),
        (
            ["good.parquet", "--strengths", "best"],
            "--strengths takes others, trial, fixed, or fixed ones",
        ),
        (["good.parquet", "--strengths", "fixed"], "good has no 'fixed:' strengths"),
        (["good.parquet", "--strengths", "lipschitz=1"], "give one of jacobian's strengths"),
        (
            ["good.parquet", "--rope", "1%%"],
            "--rope takes a difference in R² such as 0.01, or a part such",
        ),
        (
            ["good.parquet", "--rope", "0"],
            "--rope takes a difference in R² such as 0.01, or a part such",
        ),
        (["good.parquet", "--out", "text.parquet"], "cannot write"),
        (["absent.yaml"], "absent.yaml"),
    ],
)
def test_a_mistake_is_said_in_a_line(main, place, arguments, word):
    (place / "text.parquet").write_text("text")
    pd.DataFrame({"a": [1]}).to_parquet(place / "other.parquet")
    write_parquet(made_up(1, 1), place / "good.parquet")
    done = main("report", *arguments)
    assert done.returncode == 2 and word in done.stderr and "Traceback" not in done.stderr
    assert not done.stdout


@pytest.mark.usefixtures("no_figures")
def test_a_server_that_is_away_costs_the_log_and_not_the_report(main, place, monkeypatch):
    with Journal("made-up") as journal:
        for record in explained(made_up(2, 3)):
            journal.append("record", record=record)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")  # where nothing answers
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    done = main("report", "made-up", "--out", "out")
    assert done.returncode in (0, None), done.stderr
    assert "No smooth arm is shown to beat the direct fit" in done.stdout
    assert "Reading the journal alone" in done.stderr and "Traceback" not in done.stderr
    last = [line for line in done.stderr.splitlines() if line.startswith("The report is not in")]
    assert len(last) == 1
    names = {path.name for path in (place / "out").iterdir()}
    assert names == {"figures", "report.html", "tables", "verdict.txt"}


@pytest.mark.usefixtures("no_figures")
def test_a_study_that_never_reached_mlflow_is_reported_from_its_journal(main, place):
    with Journal("made-up") as journal:
        for record in explained(made_up(2, 3)):
            journal.append("record", record=record)
    done = main("report", "made-up")
    assert done.returncode in (0, None), done.stderr
    assert "has no experiment 'made-up' yet" in done.stderr
    assert (place / "made-up-report/report.html").exists()


# --- what reviews found


def test_the_recorded_rule_named_again_changes_nothing(tmp_path):
    """Also of the direct fit, which has no teacher to be faithful to."""
    records = explained(made_up(6, 6))
    study = loaded(records, tmp_path)
    plain = find(study, None, FEW)
    named = find(study, Rule.of("accuracy"), FEW)
    assert plain.evidence.lines == named.evidence.lines
    assert set(plain.sensitivity["variant"]) == set(named.sensitivity["variant"])
    assert "no pairs" not in set(plain.sensitivity["verdict"])
    assert not any("no pairs" in line or "no trial" in line for line in named.lines)


def test_scores_without_bounds_or_value_neither_crash_nor_vanish(tmp_path):
    records = explained(made_up(3, 6))
    for record in records:
        if record["trial"] == 0:
            record["student_r2_test"] = float("-inf")
        if record["trial"] == 1 and record["penalty"] == "jacobian":
            record["student_r2_test"] = float("nan")
    findings = find(loaded(records, tmp_path), None, FEW)
    assert "6 of 90 trials failed" not in findings.lines[0]
    assert any(line.startswith("6 of 90 trials failed") for line in findings.lines)
    assert findings.evidence.per_dataset["difference"].notna().all()


def test_changes_never_take_another_base_where_a_trial_failed(tmp_path):
    arms = (Arm("none"), Arm("none", augment=4), Arm("jacobian", 0.1))
    records = made_up(1, 6, arms)
    level = {("none", 0): 0.5, ("none", 4): 0.9, ("jacobian", 0): 0.5}
    for r in records:
        r |= {"student_r2_test": level[r["penalty"], r["augment"]], "teacher_r2_test": 0.9}
    lost = [failed(r, "no") if (r["penalty"], r["augment"]) == ("none", 0) and r["trial"] < 3 else r
            for r in records]  # fmt: skip
    for mine in (records, lost):
        frame = loaded(mine, tmp_path).frame
        curves = against_strength(frame, evidence(frame, settings=FEW).chosen)
        row = curves[curves["arm"] == "jacobian"].iloc[0]
        assert row["change_student_r2_test"] == pytest.approx(0)


@pytest.mark.usefixtures("figures_drawn")
def test_dollars_in_names_are_no_mathematics(tmp_path):
    records = [r | {"dataset": f"cost_$_in_$^{{{r['dataset']}"} for r in explained(made_up(2, 3))]
    assert write_report(
        loaded(records, tmp_path), "s", tmp_path / "out", settings=FEW
    ).page.exists()


def test_one_data_set_has_one_p_beside_its_verdict(tmp_path):
    one_each = (*ARMS[:3], ARMS[4])  # so that all choose from one candidate
    findings = find(loaded(explained(made_up(1, 14, one_each, gain=0.3)), tmp_path), None, FEW)
    assert len(findings.results) == 4
    findings = replace(findings, results=findings.results.query("arm == 'jacobian'"))
    assert (findings.results["verdict"] == "better").all()
    assert (findings.results["p_holm"] < 0.05).all()
    others = findings.sensitivity.query("arm == 'jacobian' and variant == 'accuracy-best'")
    assert (others["p_holm"] < 0.05).all()


def test_a_gain_below_the_region_of_practical_equivalence_is_no_gain(tmp_path):
    frame = loaded(explained(made_up(12, 6)), tmp_path).frame
    direct = frame[frame["penalty"] == "direct"].set_index(["dataset", "trial"])["student_r2_test"]
    smooth = frame["penalty"] == "jacobian"
    places = pd.MultiIndex.from_frame(frame.loc[smooth, ["dataset", "trial"]])
    frame.loc[smooth, "student_r2_test"] = direct.loc[places].to_numpy() + 0.0005
    ev = evidence(frame, settings=FEW)
    mine = ev.over_datasets.query("arm == 'jacobian' and base == 'direct'").iloc[0]
    assert mine["p_holm"] < 0.05 and mine["verdict"] == "practically the same"
    said = "No smooth arm is shown to beat the direct fit: jacobian is practically the same."
    assert said in ev.lines


@pytest.mark.usefixtures("figures_drawn")
def test_nothing_of_an_older_report_stays(tmp_path):
    older = loaded(explained(made_up(2, 3)), tmp_path)
    write_report(older, "s", tmp_path / "out", settings=FEW)
    (tmp_path / "out/figures/mine.txt").write_text("kept")
    one = write_report(
        loaded(made_up(2, 3, ARMS[1:2]), tmp_path), "s", tmp_path / "out", settings=FEW
    )
    left = {file for file in (tmp_path / "out").rglob("*") if file.is_file()}
    assert left == {*one.files, tmp_path / "out/figures/mine.txt"}


def test_the_order_of_records_does_not_matter(tmp_path):
    records = explained(made_up(3, 6))
    first = find(loaded(records, tmp_path), None, FEW)
    second = find(loaded(records[::-1], tmp_path), None, FEW)
    pd.testing.assert_frame_equal(first.evidence.iqm, second.evidence.iqm)
    pd.testing.assert_frame_equal(first.formulas, second.formulas)


@pytest.mark.usefixtures("figures_drawn")
def test_records_exported_without_fronts_are_reported_all_the_same(main, place):
    with Journal("made-up") as journal:
        for record in explained(made_up(6, 3)):
            journal.append("record", record=record)
    for options, file in ([], "whole.parquet"), (["--fronts", "none"], "slim.parquet"):
        assert main("export", "made-up", file, *options).returncode in (0, None)
    assert (place / "slim.parquet").stat().st_size < (place / "whole.parquet").stat().st_size / 2
    whole, slim = (
        find(load_parquet(place / file), None, FEW) for file in ("whole.parquet", "slim.parquet")
    )
    assert [line for line in slim.lines if "chosen (" not in line] == [
        line for line in whole.lines if "chosen (" not in line
    ]
    columns = [name for name in whole.formulas if name != "mathml"]
    pd.testing.assert_frame_equal(slim.formulas[columns], whole.formulas[columns])
    assert set(slim.sensitivity["variant"]) == {"strength per trial"} and slim.sizes.empty
    report = write_report(load_parquet(place / "slim.parquet"), "s", place / "out", settings=FEW)
    assert not (place / "out/figures/fronts.svg").exists() and report.page.exists()
    done = main("report", "slim.parquet", "--selection", "accuracy")
    assert done.returncode == 2 and "exported without them" in done.stderr


@pytest.mark.usefixtures("no_figures")
def test_scores_of_fronts_choose_as_whole_fronts_do(tmp_path):
    records = explained(made_up(6, 3))
    for number, record in enumerate(records):
        unsafe = record["front"][number % 4]
        unsafe["unsafe"] = number % 3 == 0 and not unsafe["chosen"]
        if number % 5 == 0:
            record["front"][-1] |= {"r2_test": -1e50, "val_loss_accuracy": 1e50}
        for member, standard in zip(record["front"], (4, 2, 12, 13), strict=True):
            member["complexity_standard"] = standard
    for fronts in FRONTS[:2]:
        write_parquet(records, tmp_path / f"{fronts}.parquet", fronts)
    whole, scores = (load_parquet(tmp_path / f"{fronts}.parquet") for fronts in FRONTS[:2])
    assert whole.has_fronts and scores.has_fronts
    assert len(scores.fronts()) < len(whole.fronts())
    for name in (*RULES, "fidelity-best", "fidelity<=9", "accuracy<=1", "native"):
        rule = Rule.of(name)
        first, second = (
            reselect(each.frame, each.fronts((*VISIBLE[1:], *TAKEN, "chosen", "unsafe")), rule)
            for each in (whole, scores)
        )
        assert (first["status"] == second["status"]).all()
        good = first["status"] == "ok"
        for column in (
            "complexity",
            "student_r2_val",
            "student_r2_test",
            "fidelity_test",
            "alignment",
        ):
            np.testing.assert_allclose(
                *(each.loc[good, column].astype(float).clip(-1e30) for each in (first, second)),
                rtol=1e-6,
            )
    first, second = (find(each, None, FEW) for each in (whole, scores))
    assert first.lines == second.lines
    for name in ("sensitivity", "sizes"):
        pd.testing.assert_frame_equal(
            getattr(first, name), getattr(second, name), rtol=1e-5, atol=1e-6
        )
    assert list(first.formulas["formula"]) == list(second.formulas["formula"])
    assert second.formulas["mathml"].isna().all()
    page = write_report(scores, "s", tmp_path / "o", rule=Rule.of("accuracy<=5"), settings=FEW).page
    assert "its formula is not among these records" in page.read_text()


def test_published_sizes_choose_from_scores_as_from_whole_fronts(tmp_path):
    records = explained(made_up(6, 3))
    names = sorted(srbench()["dataset"].unique())[:6]
    for number, record in enumerate(records):
        record["dataset"] = names[int(record["dataset"][1:])]
        for place, member in enumerate(record["front"]):
            member["complexity_standard"] = (30, 12, 14, 20)[(place + number) % 4]
    tables = []
    for fronts in FRONTS[:2]:
        write_parquet(records, tmp_path / f"{fronts}.parquet", fronts)
        study = load_parquet(tmp_path / f"{fronts}.parquet")
        chosen = evidence(study.frame, settings=FEW).chosen
        tables.append(at_published_sizes(chosen, study.fronts(), "accuracy"))
    assert len(tables[0])
    pd.testing.assert_frame_equal(*tables, rtol=1e-6)


def test_the_students_own_formula_is_chosen_as_it_was(tmp_path):
    """An unsafe one is not; the last safe one stands for it."""
    records = explained(made_up(1, 4))
    for record in records:
        record["front"][2]["unsafe"] = True
    whole = loaded(records, tmp_path)
    chosen = reselect(
        whole.frame, whole.fronts((*VISIBLE[1:], *TAKEN, "unsafe")), Rule.of("native")
    )
    assert (chosen["status"] == "ok").all() and set(chosen["complexity"]) == {15}
    for record in records:
        for place, member in enumerate(record["front"]):
            member |= {"unsafe": place != 1}
            member["val_loss_accuracy"] = member["val_loss_accuracy"] if place != 1 else None
    # Where no safe member has a loss, an unsafe one is chosen.
    whole = loaded(records, tmp_path)
    fronts = whole.fronts((*VISIBLE[1:], *TAKEN, "unsafe"))
    chosen = reselect(whole.frame, fronts, Rule.of("accuracy-best"))
    assert (chosen["status"] == "ok").all() and not set(chosen["complexity"]) & {5}


def test_fits_without_a_front_are_left_out_where_fronts_are_asked(tmp_path):
    records = explained(made_up(6, 4))
    part = [{**r, "front": None} if r["trial"] < 2 else r for r in records]
    study = loaded(part, tmp_path)
    findings = find(study, None, FEW)
    assert any("60 of 120 fits have no front here: other" in line for line in findings.lines)
    assert "as here, fits with a front" in set(findings.sensitivity["variant"])
    assert "as here" not in " ".join(findings.lines)
    assert set(findings.evidence.chosen["trial"]) == {0, 1, 2, 3}
    trials = findings.evidence.chosen.loc[findings.fronts["record"].unique(), "trial"]
    assert set(trials) <= {2, 3}
    chosen = find(study, Rule.of("accuracy<=9"), FEW)
    assert set(chosen.evidence.chosen["trial"]) == {2, 3}
    assert any("this report is of the rest" in line for line in chosen.lines)
    of_the_rest = loaded([r for r in records if r["trial"] >= 2], tmp_path)
    assert findings.sizes.equals(find(of_the_rest, None, FEW).sizes)


def test_rules_are_compared_with_the_verdict_on_the_same_fits(study):
    findings = find(study, None, FEW, rules=("native",))
    main, others = findings.results, findings.sensitivity
    native = others["variant"] == "native"
    as_here = others[native].assign(variant="as here, fits with a front")

    def told(verdict, here, by_rule):
        parts = (as_here.assign(verdict=here), others[native].assign(verdict=by_rule))
        return sensitivity_lines(main.assign(verdict=verdict), pd.concat(parts))[0]

    said = told("better", "no clear difference", "better")
    assert "is not clearly different on the fits with a front, but better with native" in said
    said = told("better", "no clear difference", "no clear difference")
    assert said.endswith("(native; rules on the fits with a front).") and "are the same" in said
    lacking = as_here.assign(verdict="worse").iloc[:1]
    (said,) = sensitivity_lines(main, pd.concat([lacking, others[native].assign(verdict="better")]))
    assert said.count("but better with native") == 1


def test_nothing_is_chosen_where_only_failed_fits_have_a_front(tmp_path):
    records = explained(made_up(6, 3))
    failing = [failed({**r, "front": []}, "slept") if r["trial"] == 2 else r for r in records]
    study = loaded([r if r["trial"] == 2 else {**r, "front": None} for r in failing], tmp_path)
    findings = find(study, None, FEW)
    assert findings.sizes.empty and "fidelity" not in set(findings.sensitivity["variant"])
    study = loaded([failed({**r, "front": None}, "slept") for r in records], tmp_path)
    assert find(study, None, FEW).formulas.empty


def test_where_too_few_fits_have_a_front_nothing_is_chosen_anew(tmp_path):
    """Three data sets cannot choose strengths for one another, though all six can."""
    records = explained(made_up(6, 3))
    part = [{**r, "front": None} if r["dataset"] < "d03" else r for r in records]
    study = loaded(part, tmp_path)
    findings = find(study, None, FEW)
    assert findings.sizes.empty and set(findings.sensitivity["variant"]) == {"strength per trial"}
    assert any("no other sizes" in line for line in findings.lines)
    assert findings.formulas["dataset"].tolist() == [f"d{i:02}" for i in range(6)]
    assert set(findings.fronts["dataset"]) == {"d03", "d04", "d05"}
    assert findings.formulas["mathml"].notna().sum() == 3


def test_fronts_are_of_one_trial(study):
    findings = find(study, None, FEW)
    trials = findings.evidence.chosen.loc[findings.fronts["record"], "trial"].to_numpy()
    assert findings.fronts.assign(trial=trials).groupby("dataset")["trial"].nunique().eq(1).all()


def test_all_pairs_and_named_comparisons_agree(study):
    ev = evidence(study.frame, settings=FEW)
    named = ev.over_datasets.set_index(["arm", "base"])
    for row in ev.pairwise.to_dict("records"):
        for sign, key in ((1, (row["first"], row["second"])), (-1, (row["second"], row["first"]))):
            if key in named.index:
                assert sign * row["difference"] == pytest.approx(named.loc[key, "difference"])
                assert row["p"] == pytest.approx(named.loc[key, "p"])


def test_a_study_that_is_not_complete_says_so(tmp_path):
    records = [r for r in made_up(3, 4) if (r["dataset"], r["penalty"]) != ("d01", "none")]
    study = loaded(records, tmp_path)
    assert "not complete: 1 of 12 arms" in " ".join(study.warnings)


def test_records_without_what_a_report_needs_are_refused(main, place):
    write_parquet(made_up(1, 2), place / "whole.parquet")
    whole = pd.read_parquet(place / "whole.parquet")
    whole.drop(columns=["formula", "complexity"]).to_parquet(place / "part.parquet")
    done = main("report", "part.parquet")
    assert done.returncode == 2 and "it lacks complexity, formula" in done.stderr
    assert not (place / "part-report").exists()


# --- what readers asked


def test_the_page_says_its_words_at_the_top(written):
    page = written.page.read_text()
    top = page[: page.index("<nav>")]
    for word in ("teacher", "none", "direct", "jacobian", "weight_decay", "λ", "fidelity", "nodes"):
        assert f"<dt>{word}</dt>" in top
    assert "<dt>lipschitz</dt>" not in top  # which this study has not
    assert "highest median validation R² here: " in page


def test_a_word_for_every_penalty_that_comes_with_smoothray():
    from smoothray_analysis.report.words import PENALTIES as SAID

    from smoothray.penalties import PENALTIES

    assert set(PENALTIES) <= set(SAID)


@pytest.mark.usefixtures("no_figures")
def test_many_arms_are_told_in_a_range_and_have_a_table_and_folded_sentences(tmp_path):
    arms = (
        *ARMS, Arm("placebo", 1e-9),
        *(Arm(p, 0.1, stopping=s) for p in ("lipschitz", "smooth") for s in ("early", "none")),
    )  # fmt: skip
    records = explained(made_up(7, 4, arms=arms))
    report = write_report(loaded(records, tmp_path), "s", tmp_path / "out", settings=FEW)
    assert re.search(
        r"with jacobian, .* \([+−.\d]+ to [+−.\d]+, up on [ \dto]+ of 7", report.lines[0]
    )
    page = report.page.read_text()
    top, folded = page.split("<summary>Each comparison of the formulas' R², in words</summary>")
    rows = re.findall(r'<tr><td class="word lines">([^<]*)', top)
    assert rows == ["jacobian", "lipschitz", "smooth", "placebo"]
    sentences = [line for line in report.lines if " against " in line and ": " in line][2:]
    assert len(sentences) > 10
    assert all(str(escape(line)) in folded for line in sentences)
    assert not any(str(escape(line)) in top for line in sentences)


def test_sentence_and_table_agree_on_one_data_set(tmp_path):
    arms = (*ARMS, Arm("lipschitz", 0.1), Arm("smooth", 0.1))
    found = find(loaded(explained(made_up(1, 8, arms=arms)), tmp_path), None, FEW, rules=())
    assert "with jacobian, lipschitz and smooth (" in found.lines[0]
    assert "up on" not in found.lines[0] and "on the one data set)" in found.lines[0]
    table = summary(found.evidence.endpoints, found.results.to_dict("records"))
    verdicts = found.evidence.per_dataset.query("base == 'none'").set_index("arm")["verdict"]
    told = table["the formula's R²"].str.split("\n").str[1]
    assert told.to_dict() == verdicts[told.index].to_dict()
    assert table["fidelity"].str.endswith("\nnot judged").all()


def test_too_few_data_are_said_in_plain_english(tmp_path):
    lines = find(loaded(explained(made_up(2, 2)), tmp_path), None, FEW).lines
    assert "the formula's R² has too few data to tell with jacobian" in lines[0]


@pytest.mark.usefixtures("no_figures")
def test_no_interval_rests_on_fewer_than_six(tmp_path):
    """In no table or sentence: two trials gave [−0.003, −0.002]."""
    report = write_report(
        loaded(explained(made_up(3, 5)), tmp_path), "s", tmp_path / "out", settings=FEW
    )
    page = re.sub(r"data:image[^\"]*", "", report.page.read_text())
    cells = re.findall(r"<td[^>]*>\[[^<]*</td>", page[: page.index('<h2 id="why"')])
    assert not cells and not any("[" in line for line in report.lines)
    for name in ("comparisons", "endpoints", "per_dataset", "ranks"):
        table = pd.read_csv(report.page.parent / f"tables/{name}.csv")
        ends = [column for column in table if column.rpartition("_")[2] in ("low", "high")]
        assert ends and table[ends].isna().all(axis=None)
    enough = find(loaded(explained(made_up(6, 6)), tmp_path), None, FEW).evidence
    for table in (enough.per_dataset, enough.over_datasets, enough.iqm):
        assert np.isfinite(table[["low", "high"]]).all(axis=None)


@pytest.mark.usefixtures("no_figures")
def test_the_page_ends_with_how_it_came_about(main, place):
    from smoothray.records.recorder import Recorder
    from smoothray.study import parse_study

    raw = {"name": "mine", "datasets": "offline", "teacher": {"hidden": [7, 5]}, "seed": 3}
    with Recorder("mine", parse_study(raw).identity()) as recorder:
        for record in explained(made_up(1, 1)):
            recorder.add(record)
    assert main("report", "mine").returncode in (0, None)
    page = (place / "mine-report/report.html").read_text()
    end = page[page.index('<h2 id="made-with"') :]
    for word in ("<dt>written</dt>", "hidden 7, 5", "budget quick", "<dt>seed</dt><dd>3</dd>"):
        assert word in end
    assert "none called mine here" in end
    (place / "mine.yaml").write_text("datasets: offline\nseed: 3\nteacher: {hidden: [7, 5]}\n")
    assert main("report", "mine").returncode in (0, None)
    page = (place / "mine-report/report.html").read_text()
    assert "<pre>datasets: offline\nseed: 3" in page and "Not the settings" not in page
