"""The only code that imports ray: Tune's trials train the teachers, a pool of actors fits the formulas.

Each process loads what it needs of this package, no more: the light ones are up sooner.
"""

from __future__ import annotations

import os

# A thread that outlives its session must not connect to whatever other Ray there is on the machine.
os.environ.setdefault("RAY_ENABLE_AUTO_CONNECT", "0")
