"""What goes to a log in place of bars."""

from __future__ import annotations

import io
from collections import Counter

from rich.console import Console

from smoothray.commands import console


def test_a_log_has_a_line_now_and_then(monkeypatch):
    log = io.StringIO()
    monkeypatch.setattr(console, "err", Console(file=log, width=200))
    monkeypatch.setattr(console, "SELDOM", 0.0)
    with console.StudyProgress(Counter(a=3, b=3), Counter(a=2)) as progress:
        progress.count("a", False)
        progress.count("b", True)
    first, second = log.getvalue().splitlines()
    assert first.startswith("3 of 6 fits, about ") and first.endswith(" left")
    assert second.startswith("4 of 6 fits") and second.endswith("left, 1 failed")


def test_a_terminal_has_bars_instead(monkeypatch):
    log = io.StringIO()
    monkeypatch.setattr(console, "err", Console(file=log, width=200, force_terminal=True))
    monkeypatch.setattr(console, "SELDOM", 0.0)
    with console.StudyProgress(Counter(a=3), Counter()) as progress:
        progress.count("a", False)
    assert "1/3" in log.getvalue() and "about" not in log.getvalue()
