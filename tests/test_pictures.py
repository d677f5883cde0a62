"""Pictures: what they show is all there is, and what is alike looks alike."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from smoothray_analysis.arms import EARLY
from smoothray_analysis.arms import TO_THE_END as END
from smoothray_analysis.moderators import MODERATORS
from smoothray_analysis.plots import (
    association_plot,
    catastrophe_plot,
    forest_plot,
    mechanism_plot,
    moderation_plot,
    profile_plot,
    trade_off_plot,
)
from smoothray_analysis.plots.signed import FAR
from smoothray_analysis.plots.style import looks

ENDS = "jacobian (trained to the end)"


def drawn(axes):
    """All points of a panel's lines that are in the data's own coordinates on both axes."""
    lines = [line for line in axes.lines if line.get_transform() == axes.transData]
    return np.concatenate([np.asarray(line.get_xydata(), float) for line in lines])


def inside(values, limits):
    low, high = sorted(limits)
    return (low <= np.asarray(values)) & (np.asarray(values) <= high)


def curves(changes, jacobian=None):
    frame = pd.DataFrame({"arm": "jacobian", "change_student_r2_test": changes})
    frame["change_log_jacobian"] = np.linspace(-1, 0, len(frame)) if jacobian is None else jacobian
    return frame.assign(change_teacher_r2_test=0.0, change_fidelity_test=changes)


def test_a_tenth_of_large_effects_is_drawn_where_it_is():
    """The axis ended at the nine-tenths quantile of the changes, and larger ones were put on its border."""
    rng = np.random.default_rng(0)
    changes = np.concatenate([rng.normal(0, 0.01, 95), np.full(5, 0.6), [-3.0]])
    jacobian = np.concatenate([np.linspace(-0.1, 0, 100), [-3]])
    figure = trade_off_plot(curves(changes, jacobian), looks(["jacobian"]))
    for panel in figure.axes[1:]:
        points = drawn(panel)
        for value in (0.6, -3.0):
            assert np.isclose(points[:, 1], value).any()
        assert inside(changes, panel.get_ylim()).all()
        assert np.isclose(points[:, 0], 10.0**-3).any()
        assert inside(10.0**jacobian, panel.get_xlim()).all()
    # And small ones are still told apart: half the height is theirs, a linear axis would leave a 200th.
    panel = figure.axes[2]
    low, high = (panel.transData.transform((1, y))[1] for y in (-0.02, 0.02))
    assert high - low > 0.25 * panel.bbox.height


def test_a_catastrophe_does_not_flatten_the_rest():
    figure = trade_off_plot(curves([0.1, -0.2, 0.3, -1e90]), looks(["jacobian"]))
    panel = figure.axes[2]
    assert np.isclose(drawn(panel)[:, 1], -FAR).any() and panel.get_ylim()[0] > -2 * FAR


def forest(rows):
    table = pd.DataFrame(rows, columns=["dataset", "difference", "low", "high"])
    return table.assign(arm="jacobian", verdict="no clear difference")


def test_no_interval_is_cut():
    """The widest tenth of the ends was, so that a gain looked no larger than the axis."""
    rng = np.random.default_rng(0)
    rows = [(f"d{i:02}", m, m - 0.02, m + 0.02) for i, m in enumerate(rng.normal(0, 0.01, 20))]
    rows[3] = ("d03", 0.3, 0.1, 0.9)
    rows[7] = ("d07", 0.02, -2.0, 0.05)
    table = forest(rows)
    figure = forest_plot(table, table.head(0), "none", 0.01, looks(["jacobian"]))
    panel = figure.axes[0]
    points = drawn(panel)
    for row in table.to_dict("records"):
        for name in ("low", "difference", "high"):
            assert np.isclose(points[:, 0], row[name]).any(), (row["dataset"], name)
            assert inside(row[name], panel.get_xlim())
    assert not {line.get_marker() for line in panel.lines} & {"<", ">"}


def test_what_is_beyond_all_use_is_an_arrow():
    table = forest([("a", 0.1, 0.0, 0.2), ("b", -1e100, -1e100, -0.1), ("c", 30.0, 20.0, 40.0)])
    figure = forest_plot(table, table.head(0), "none", 0.01, looks(["jacobian"]))
    panel = figure.axes[0]
    markers = {(line.get_marker(), float(line.get_ydata()[0])) for line in panel.lines}
    assert {("<", 1.0), (">", 2.0)} <= markers
    assert max(np.abs(panel.get_xlim())) < 2 * FAR
    assert "+30.00" in {text.get_text() for text in panel.texts}


def test_quartiles_are_not_cut():
    line = pd.DataFrame(
        {"arm": "jacobian", "measure": "change_student_r2_test", "strength": [0.01, 0.1, 1.0],
         "median": [0.0, 0.01, 0.02], "low": [-0.01, 0.0, -0.8], "high": [0.01, 0.02, 0.5]}
    )  # fmt: skip
    panel = mechanism_plot(line, looks(["jacobian"])).axes[2]
    assert inside(line[["low", "high"]].to_numpy(), panel.get_ylim()).all()


def test_regimes_share_a_colour_and_differ_in_line_and_marker():
    names = ["direct", "none", "weight_decay", "jacobian", "lipschitz"]
    ends = [f"{name} (trained to the end)" for name in names if name != "direct"]
    look = looks([*names, *ends])
    for name, end in zip(names[1:], ends, strict=True):
        early, late = look[name], look[end]
        assert (early.color, early.marker) == (late.color, late.marker)
        assert early.linestyle != late.linestyle and late.markerfacecolor == "white"
    assert look["jacobian"] == looks(["jacobian", "lipschitz"])["jacobian"]
    assert look[ENDS] == looks([ENDS, "lipschitz"])[ENDS]


def test_profiles_have_a_panel_a_smooth_arm_with_both_regimes():
    score = np.linspace(-0.5, 0.9, 9)
    arms = ["direct", "none", "jacobian", ENDS, "lipschitz"]
    table = pd.concat(
        [pd.DataFrame({"arm": arm, "score": score, "share": np.linspace(1, 0, 9), "low": np.nan,
                       "high": np.nan}) for arm in arms]
    )  # fmt: skip
    figure = profile_plot(table, looks(arms))
    assert [axes.get_title() for axes in figure.axes] == ["jacobian", "lipschitz"]
    assert [len(axes.lines) for axes in figure.axes] == [4, 3]
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert legend == ["direct", "none", "jacobian", ENDS, "lipschitz"]


def test_catastrophes_say_their_number():
    table = pd.DataFrame(
        {"arm": ["jacobian", "none", "direct"], "share": [0.0, 0.02, 0.3], "low": [0.0, 0.01, np.nan],
         "high": [0.1, 0.05, np.nan], "number": [0, 2, 30], "runs": [100, 100, 100]}
    )  # fmt: skip
    axes = catastrophe_plot(table, looks(table["arm"])).axes[0]
    assert [text.get_text() for text in axes.get_yticklabels()] == ["direct", "none", "jacobian"]
    assert [text.get_text() for text in axes.texts] == ["30 of 100", "2 of 100", "0 of 100"]
    assert inside([0.0, 0.3], axes.get_xlim()).all()


@pytest.mark.parametrize("regimes", [(EARLY,), (EARLY, END)])
def test_moderators_show_every_correlation(regimes):
    rows = [
        {"base": base, "stopping": regime, "moderator": name, "rho": 0.1 * place, "low": -0.5, "high": 0.9,
         "significant": place == 1}
        for base in ("none", "direct") for regime in regimes for place, name in enumerate(MODERATORS)
    ]  # fmt: skip
    figure = moderation_plot(pd.DataFrame(rows))
    for axes in figure.axes:
        markers = [line for line in axes.lines if line.get_marker() not in ("None", "")]
        assert len(markers) == len(MODERATORS) * len(regimes)
        assert sum(line.get_markerfacecolor() != "white" for line in markers) == len(regimes)
    assert bool(figure.legends) == (len(regimes) > 1)


def test_associations_show_every_data_set():
    rho = [-0.4, 0.1, 0.9]
    table = pd.DataFrame({"measure": "alike", "given": "all", "rho": rho})
    over = pd.DataFrame([{"measure": "alike", "given": "all", "estimate": 0.1, "low": np.nan, "high": np.nan,
                          "significant": False}])  # fmt: skip
    axes = association_plot(table, over).axes[0]
    points = drawn(axes)
    assert all(np.isclose(points[points[:, 1] == 1, 0], value).any() for value in rho)
    assert inside(rho, axes.get_xlim()).all()
