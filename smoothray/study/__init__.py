"""A study: its file, its settings, and what it comes to."""

from smoothray.study.study import Study, load_study, parse_study

__all__ = ["Study", "load_study", "parse_study"]
