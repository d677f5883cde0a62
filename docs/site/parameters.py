"""Docstrings as Markdown: plain lines `name: what it is` as lists, examples and choices as they are meant."""

from __future__ import annotations

import re
from typing import Any

import griffe

ENTRY = re.compile(r"[\w, ]+: ")
CHOICES = re.compile(r"^(\w+ : )\{(.*?)\}", re.M)
UNDERLINED = re.compile(r"^-{5,}$", re.M)


class Parameters(griffe.Extension):
    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        if obj.docstring:
            obj.docstring.value = readable(obj.docstring.value)


def readable(text: str) -> str:
    """A docstring whose paragraphs of entries are lists, and whose examples are code.

    In NumPy's style, of which these are known, choices stand without braces: griffe would take the first
    of them for the default.
    """
    if UNDERLINED.search(text):
        return CHOICES.sub(r"\1\2", text)
    return "\n\n".join(map(_paragraph, text.split("\n\n")))


def _paragraph(paragraph: str) -> str:
    if paragraph.startswith(">>> "):
        return f"```pycon\n{paragraph}\n```"
    lines = paragraph.split("\n")
    entries = [line for line in lines if not line.startswith(" ")]
    if len(lines) < 2 or not all(ENTRY.match(line) for line in entries):
        return paragraph
    return "\n".join(
        line if line.startswith(" ") else "- `" + line.replace(": ", "`: ", 1) for line in lines
    )
