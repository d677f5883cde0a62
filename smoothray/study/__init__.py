"""A study: its file, its settings, and what it comes to."""

from smoothray.study.files import load_study, parse_study
from smoothray.study.study import Study

__all__ = ["Study", "load_study", "parse_study"]
