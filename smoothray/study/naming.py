"""What a study may be called."""

from __future__ import annotations

import re
from typing import Any

NAME, LONGEST = r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", 100
"""What a study's name is like, and how many characters it may have."""


def no_name(name: Any) -> str:
    """What is wrong with a study's name that NAME does not match, and the nearest that would do."""
    offered = re.sub(r"[^A-Za-z0-9_.-]+", "-", str(name)).strip("-_.")
    return (
        f"{name!r}: a study's name is of letters, digits, '_', '.' and '-', and begins with a letter or digit"
        + (f"; '{offered}' would do" if offered else "")
    )
