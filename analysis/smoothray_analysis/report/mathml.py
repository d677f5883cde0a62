"""Formulas that a page can break into lines: browsers do not break one <math> element."""

from __future__ import annotations

from collections.abc import Iterator
from xml.etree import ElementTree

NAMESPACE = "http://www.w3.org/1998/Math/MathML"
ELEMENTS = {
    "math", "mrow", "mi", "mn", "mo", "mtext", "mspace", "mfrac", "msup", "msub", "msubsup", "msqrt", "mroot",
    "mstyle", "mpadded", "menclose",
}  # fmt: skip
ATTRIBUTES = {"mathvariant", "form", "stretchy", "fence", "lspace", "rspace", "width", "display"}
SIGNS = ("+", "−", "-")


def breakable(mathml: str) -> list[str]:
    """One <math> element cut before its plus and minus signs, at any depth of brackets.

    Fractions, powers and roots stay whole. Empty for what is not plain MathML: a file of records may come
    from anywhere, and nothing but mathematics may reach a page.
    """
    ElementTree.register_namespace("", NAMESPACE)
    try:
        root = ElementTree.fromstring(mathml)
    except ElementTree.ParseError:
        return []
    for element in root.iter():
        if (
            element.tag.removeprefix(f"{{{NAMESPACE}}}") not in ELEMENTS
            or set(element.keys()) - ATTRIBUTES
        ):
            return []
    pieces: list[list[ElementTree.Element]] = [[]]
    for element, first in _leaves(root):
        if element.tag == f"{{{NAMESPACE}}}mo" and element.text in SIGNS:
            # Out of its row, a sign no longer shows by its place what it is.
            element.set("form", "prefix" if first else "infix")
            if not first:
                pieces.append([])
        pieces[-1].append(element)
    elements = []
    for piece in pieces:
        math = ElementTree.Element(f"{{{NAMESPACE}}}math")
        math.extend(piece)
        elements.append(ElementTree.tostring(math, encoding="unicode"))
    return elements


def _leaves(parent: ElementTree.Element) -> Iterator[tuple[ElementTree.Element, bool]]:
    """What an element holds, rows opened, each with whether it is the first of its row: a sign there
    belongs to what follows."""
    for place, child in enumerate(parent):
        if child.tag == f"{{{NAMESPACE}}}mrow":
            yield from _leaves(child)
        else:
            yield child, place == 0
