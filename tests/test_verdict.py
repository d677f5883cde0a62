"""Loading, selection and the verdict, on made-up studies."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from made_up import ARMS, FAST, loaded, made_up
from smoothray_analysis.loading import RecordsError, load_parquet
from smoothray_analysis.selection import Rule, choose_members, reselect
from smoothray_analysis.strengths import at_chosen_strength, choice_for
from smoothray_analysis.verdict import Evidence, evidence
from smoothray_analysis.versions import made_with

from smoothray.records.parquet import write_parquet
from smoothray.records.schema import failed
from smoothray.students import select
from smoothray.study.plan import Arm


def says(ev: Evidence) -> str:
    return "\n".join(ev.lines)


def test_a_file_is_loaded_without_its_fronts_which_come_on_demand(tmp_path):
    study = loaded(made_up(2, 3), tmp_path)
    assert len(study.frame) == 2 * 3 * 5 and "front" not in study.frame and not study.warnings
    members = study.fronts()
    assert len(members) == 4 * len(study.frame) and "mathml" not in members
    chosen = members[members["chosen"]].set_index("record")
    pd.testing.assert_series_equal(
        chosen["formula"], study.frame["formula"], check_names=False, check_index_type=False
    )
    some = study.fronts(["mathml"], rows=[4, 7])
    assert sorted(some["record"].unique()) == [4, 7] and (some["mathml"] == "<math/>").all()
    with pytest.raises(RecordsError, match="no colour"):
        study.fronts(["colour"])


def test_fronts_keep_to_their_records_where_some_have_none(tmp_path):
    records = [failed(r, "lost") | {"front": []} if r["trial"] == 1 else r for r in made_up(1, 3)]
    study = loaded(records, tmp_path)
    members = study.fronts(["complexity", "r2_test", "chosen"])
    chosen = members[members["chosen"]].set_index("record")["r2_test"]
    good = study.frame[study.frame["status"] == "ok"]["student_r2_test"]
    assert chosen.to_dict() == good.to_dict()


def test_what_is_wrong_with_records_is_said(tmp_path):
    with pytest.raises(RecordsError, match="no file"):
        load_parquet(tmp_path / "none.parquet")
    with pytest.raises(RecordsError, match="holds no records"):
        loaded([], tmp_path)
    pd.DataFrame({"a": [1]}).to_parquet(tmp_path / "other.parquet")
    with pytest.raises(RecordsError, match="lacks dataset"):
        load_parquet(tmp_path / "other.parquet")
    (tmp_path / "text.parquet").write_text("text")
    with pytest.raises(RecordsError, match="not a table of trials"):
        load_parquet(tmp_path / "text.parquet")
    records = made_up(1, 4)
    records[0]["version"] = "0.0.9"
    records[1] = records[1] | {"fingerprint": "other"}
    study = loaded([*records, records[-1]], tmp_path)
    assert len(study.frame) == len(records)
    text = " ".join(study.warnings)
    assert (
        "different versions of smoothray 0.0.9 / " in text
        and "twice" in text
        and "data changed" in text
    )


def test_several_files_are_one_study(tmp_path):
    records = made_up(2, 3, ARMS[:2])
    later = [r | {"formula": "later"} if r["trial"] == 0 else r for r in records if r["trial"] < 2]
    files = [tmp_path / name for name in ("first.parquet", "second.parquet")]
    for file, part in zip(files, (records, later), strict=True):
        write_parquet(part, file)
    study = load_parquet(*files)
    assert len(study.frame) == len(records)
    assert study.frame["trial"].eq(0).equals(study.frame["formula"].eq("later"))
    assert [text for text in study.warnings if f"{len(later)} trials are recorded twice" in text]
    chosen = study.fronts(["formula", "chosen"]).query("chosen").set_index("record")["formula"]
    same = study.frame["trial"] != 0
    assert chosen[same].to_dict() == study.frame["formula"][same].to_dict()
    with pytest.raises(RecordsError, match="no file of records"):
        load_parquet()
    with pytest.raises(RecordsError, match="no file .*third.parquet"):
        load_parquet(*files, tmp_path / "third.parquet")
    write_parquet([], files[0])
    with pytest.raises(RecordsError, match="the study 'mine' holds no records"):
        load_parquet(files[0], what="the study 'mine'")


OLD, NEW = "python 3.11.7, torch 2.12.0, ray 2.60.0", "python 3.11.7, torch 2.13.0, ray 2.60.0"


@pytest.mark.parametrize(
    ("texts", "differs"),
    [
        ([NEW], None),
        ([NEW, f"{NEW}, pysr 2.7.0"], None),
        ([NEW, None], None),
        ([OLD, NEW], "of torch 2.12.0 / 2.13.0; differences"),
        ([f"{OLD}, commit 1d2f6af", f"{NEW}, commit 5ab"],
         "of torch 2.12.0 / 2.13.0, commit 1d2f6af / 5ab; differences"),
    ],
)  # fmt: skip
def test_what_differs_in_versions_is_named_part_by_part(tmp_path, texts, differs):
    file = tmp_path / "study.parquet"
    write_parquet(made_up(1, 4), file)
    table = pd.read_parquet(file)
    table["versions"] = [texts[i % len(texts)] for i in range(len(table))]
    table.to_parquet(file)
    study = load_parquet(file)
    assert [differs in text for text in study.warnings] == [True] * (differs is not None)
    rows = made_with(study.frame)
    assert sum(n for _, n in rows) == len(table) and len(rows) == len(texts)
    assert all(text.startswith("smoothray ") for text, _ in rows)
    assert {text.partition(", ")[2] for text, _ in rows} == {text or "" for text in texts}


def test_records_without_versions_are_counted_all_the_same(tmp_path):
    frame = loaded(made_up(1, 4), tmp_path).frame.drop(columns="version")
    assert made_with(frame.drop(columns="versions", errors="ignore")) == [("", len(frame))]


def test_the_rule_is_the_librarys_own():
    rng = np.random.default_rng(0)
    fronts, expected = [], {}
    for record in range(300):
        m = int(rng.integers(1, 9))
        part = pd.DataFrame(
            {
                "record": record, "complexity": rng.integers(1, 6, m), "native": False,
                "val_loss_accuracy": rng.integers(1, 6, m) / 10,
                "val_error_accuracy": rng.choice([0.1, 0.2, np.inf, np.nan], m),
                "val_loss_fidelity": 1.0, "val_error_fidelity": 0.0,
            }
        )  # fmt: skip
        part.loc[rng.random(m) < 0.2, "val_loss_accuracy"] = np.inf
        fronts.append(part)
        if np.isfinite(part["val_loss_accuracy"]).any():
            expected[record] = select(
                part["val_loss_accuracy"], part["complexity"], part["val_error_accuracy"]
            )
    together = pd.concat(fronts, ignore_index=True)
    starts = together.groupby("record").head(1).reset_index().set_index("record")["index"]
    chosen = choose_members(together, Rule.of("accuracy"))
    assert (chosen - starts.loc[chosen.index]).to_dict() == expected


def test_an_unsafe_member_is_chosen_only_where_all_are():
    fronts = pd.DataFrame(
        {
            "record": [0, 0, 0, 1, 1], "complexity": [1, 5, 9, 1, 5], "native": False,
            "val_loss_accuracy": [0.9, 0.1, 0.3, 0.9, 0.1], "val_error_accuracy": 0.01,
            "val_loss_fidelity": 1.0, "val_error_fidelity": 0.0,
            "unsafe": [False, True, None, True, True],
        }
    )  # fmt: skip
    assert choose_members(fronts, Rule.of("accuracy")).to_dict() == {0: 2, 1: 4}
    assert choose_members(fronts.drop(columns="unsafe"), Rule.of("accuracy"))[0] == 1


def test_sizes_of_older_records_are_those_that_they_have(tmp_path):
    study = loaded(made_up(1, 2), tmp_path)
    assert (study.frame["complexity_standard"] == study.frame["complexity"]).all()
    old = [
        {**r, "front": [{k: v for k, v in m.items() if k != "unsafe"} for m in r["front"]]}
        for r in made_up(1, 2)
    ]
    table = pa.Table.from_pylist(old).drop_columns(["complexity_standard"])
    pq.write_table(table, tmp_path / "old.parquet")
    fronts = load_parquet(tmp_path / "old.parquet").fronts()
    assert (fronts["complexity_standard"] == fronts["complexity"]).all()
    assert fronts["unsafe"].isna().all()


def test_rules_choose_what_they_say(tmp_path):
    study = loaded(made_up(1, 5), tmp_path)
    fronts = study.fronts()
    same = reselect(study.frame, fronts, Rule.of("accuracy"))
    for name in ("formula", "student_r2_test", "complexity", "latex"):
        pd.testing.assert_series_equal(same[name], study.frame[name], check_dtype=False)
    assert (reselect(study.frame, fronts, Rule.of("native"))["complexity"] == 9).all()
    assert (reselect(study.frame, fronts, Rule.of("accuracy<=5"))["complexity"] <= 5).all()
    best = reselect(study.frame, fronts, Rule.of("fidelity-best"))
    direct = study.frame["penalty"] == "direct"
    taught = fronts[fronts["record"].isin(study.frame.index[~direct])]
    losses = fronts.loc[taught.groupby("record")["val_loss_fidelity"].idxmin()]
    assert (best["formula"][~direct].to_numpy() == losses["formula"].to_numpy()).all()
    untaught = reselect(study.frame, fronts, Rule.of("fidelity"))[direct]
    assert (untaught["formula"] == same["formula"][direct]).all()  # by accuracy
    none = reselect(study.frame, fronts[fronts["complexity"] > 1], Rule.of("accuracy<=1"))
    assert (none["status"] == "failed").all() and "accuracy<=1" in none["reason"].iloc[0]
    with pytest.raises(ValueError, match="unknown rule"):
        Rule.of("accuracy<=")


@pytest.mark.parametrize("rule", ["accuracy", "fidelity-best", "accuracy<=9", "native"])
@pytest.mark.parametrize("strengths", ["others", "trial"])
def test_planted_test_scores_cannot_move_a_choice(tmp_path, rule, strengths):
    study = loaded(made_up(6, 3), tmp_path)
    fronts = study.fronts()
    choice = choice_for(study.frame, strengths)
    assert choice.rule == strengths
    honest = at_chosen_strength(reselect(study.frame, fronts, Rule.of(rule)), choice)
    planted, frame = fronts.copy(), study.frame.copy()
    rng = np.random.default_rng(1)
    for name in ("r2_test", "fidelity_test"):
        planted[name] = rng.normal(0, 1e6, len(planted))  # whoever looks at it follows it
    for name in ("student_r2_test", "fidelity_test", "teacher_r2_test"):
        frame[name] = rng.normal(0, 1e6, len(frame))
    moved = at_chosen_strength(reselect(frame, planted, Rule.of(rule)), choice)
    assert moved.index.equals(honest.index)
    assert moved["formula"].equals(honest["formula"])
    assert not np.allclose(moved["student_r2_test"], honest["student_r2_test"])


def test_a_planted_effect_is_called_better_everywhere(tmp_path):
    study = loaded(made_up(12, 20, gain=0.2, direct=-0.1), tmp_path)
    ev = evidence(study.frame, settings=FAST)
    assert (ev.over_datasets["verdict"] == "better").all()
    assert "the formula's R² is higher with jacobian (+0.2" in ev.lines[0]
    assert "up on 12 of 12 data sets" in ev.lines[0] and "no placebo" in ev.lines[1]
    said = "The smooth arm beats the direct fit: jacobian; so does none, without a penalty."
    assert ev.lines[2] == said  # which takes no smoothing
    assert "better. Median difference in R² +0.3" in ev.lines[3]
    assert (
        "% relative" in ev.lines[3]
        and "by more than 0.01 R² on 12 and 0, surely on 12 and 0" in ev.lines[3]
    )
    smooth = ev.per_dataset[ev.per_dataset["arm"] == "jacobian"]
    assert (smooth["strength"] == 0.1).all()
    assert ev.ranks["arm"].iloc[0] == "jacobian" and ev.friedman["p"].iloc[0] < 0.01
    assert len(ev.pairwise) == 6 and set(ev.scores.columns) == set(ev.iqm["arm"])
    assert (ev.per_dataset["p_holm"] >= ev.per_dataset["p"]).all()


def test_a_better_direct_fit_is_said(tmp_path):
    ev = evidence(loaded(made_up(10, 6, direct=0.3), tmp_path).frame, settings=FAST)
    assert "No smooth arm beats the direct fit: jacobian is worse." in ev.lines


def test_without_an_effect_nothing_is_called_better(tmp_path):
    ev = evidence(loaded(made_up(12, 12), tmp_path).frame, settings=FAST)
    assert set(ev.over_datasets["verdict"]) == {"practically the same"}
    assert "the formula's R² is practically the same with jacobian" in ev.lines[0]
    assert "jacobian is practically the same." in ev.lines[2] and "relative" not in says(ev)
    assert "not significant" not in says(ev)


def test_with_few_trials_and_data_sets_the_power_is_small(tmp_path):
    ev = evidence(loaded(made_up(3, 4), tmp_path).frame, settings=FAST)
    assert set(ev.over_datasets["verdict"]) == {"power is small"} and "power is small" in says(ev)
    assert "not significant" not in says(ev) and "does not beat" not in says(ev)


def test_one_data_set_alone_is_judged_by_its_trials(tmp_path):
    one_each = (*ARMS[:3], ARMS[4])  # so that all choose from one candidate
    ev = evidence(loaded(made_up(1, 20, one_each, gain=0.2), tmp_path).frame, settings=FAST)
    assert "on the one data set d00" in says(ev) and "This is one data set" in says(ev)
    assert "is higher with jacobian (+0.1" in ev.lines[0] and "on the one data set)" in ev.lines[0]
    assert ev.lines[2] == "The smooth arm beats the direct fit: jacobian on d00."
    assert ev.lines[3].startswith("jacobian against the direct fit: better")
    more = evidence(loaded(made_up(1, 20, gain=0.2), tmp_path).frame, settings=FAST)
    assert "Unequal budgets: of each trial the best was chosen, of jacobian from 2" in says(more)
    smooth = more.over_datasets.query("arm == 'jacobian' and base in ['none', 'direct']")
    assert len(smooth) == 2 and ": better" not in "\n".join(more.lines[2:6])
    assert "1 data set cannot choose for one another" in says(more)


def test_studies_with_nothing_to_compare_say_so(tmp_path):
    one = evidence(loaded(made_up(2, 3, ARMS[1:2]), tmp_path).frame, settings=FAST)
    assert one.lines == ("The study has one arm, none: there is nothing to compare it with.",)
    two = evidence(loaded(made_up(2, 3, ARMS[:2]), tmp_path).frame, settings=FAST)
    assert "no smooth arm, only direct and none" in two.lines[0] and len(two.pairwise) == 1
    bare = evidence(loaded(made_up(2, 3, (*ARMS[3:], Arm("lipschitz", 0.1))), tmp_path).frame)
    assert "no baseline beside jacobian and lipschitz" in bare.lines[0]
    with pytest.raises(ValueError, match="no records"):
        evidence(pd.DataFrame())


def test_half_the_trials_failed_drops_pairs_and_not_data_sets(tmp_path):
    rng = np.random.default_rng(0)
    records = [
        failed(r, "time limit") | {"student_r2_test": None} if rng.random() < 0.5 else r
        for r in made_up(6, 12, gain=0.2)
    ]
    ev = evidence(loaded(records, tmp_path).frame, settings=FAST, warnings=["two versions"])
    lost = sum(r["status"] == "failed" for r in records)
    assert f"{lost} of 360 trials failed" in says(ev) and "left out" in says(ev)
    assert "finished may be the easy ones" in says(ev)
    assert ev.lines[-1] == "Note: two versions."
    assert ((ev.per_dataset["pairs"] + ev.per_dataset["dropped"]) == 12).all()
    assert (ev.over_datasets["datasets"] == 6).all()
    none = [failed(r, "no") | {"student_r2_test": None, "student_r2_val": None} for r in records]
    nothing = evidence(loaded(none, tmp_path).frame, settings=FAST)
    assert "no trial that both finished" in says(nothing)
    gone = [r if r["penalty"] != "direct" else failed(r, "no") for r in made_up(2, 3)]
    half = evidence(loaded(gone, tmp_path).frame, settings=FAST)
    assert "jacobian has no trial in common with it" in says(half)


def test_pairs_keep_to_like_arms_and_to_their_student(tmp_path):
    arms = (Arm("direct"), Arm("none"), Arm("none", augment=4), Arm("jacobian", 0.1),
            Arm("jacobian", 0.1, augment=4), Arm("weight_decay", 0.1))  # fmt: skip
    frame = loaded(made_up(3, 6, arms, students=("operon", "pysr")), tmp_path).frame
    ev = evidence(frame, settings=FAST)
    mine = ev.over_datasets.set_index(["student", "arm", "base"])["same"]
    assert len(mine) == 14  # plain distillation against the direct fit, too
    assert mine["operon", "jacobian +4×points", "none"]
    assert not mine["operon", "jacobian +4×points", "weight_decay"]
    assert "differ between jacobian +4×points (operon) and weight_decay" in says(ev)
    assert len(ev.friedman) == 2


def test_r2_far_below_zero_gives_no_percentage_and_does_not_lead(tmp_path):
    frame = loaded(made_up(8, 12, gain=0.2), tmp_path).frame
    frame.loc[frame["penalty"] != "jacobian", "student_r2_test"] -= 5
    frame.loc[frame["trial"] == 3, "student_r2_test"] = -1e9
    ev = evidence(frame, settings=FAST)
    assert "relative" not in says(ev) and "e+" not in says(ev)
    assert ev.iqm["iqm"].abs().max() < 10


def test_a_rule_needs_the_fronts(tmp_path):
    study = loaded(made_up(3, 5), tmp_path)
    rule = Rule.of("native")
    with pytest.raises(ValueError, match="fronts"):
        evidence(study.frame, rule=rule)
    again = evidence(study.frame, fronts=study.fronts(), rule=rule, settings=FAST)
    assert again.rule == "native" and (again.chosen["complexity"] == 9).all()
