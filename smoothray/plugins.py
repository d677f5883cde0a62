"""Plug-ins: what a name stands for, where an import path leads, and which files other machines need.

A name is that of one of ours or of a class registered at run time, an import path
("my_module:MyClass", in the current folder or installed), or an entry point of an installed package.
"""

from __future__ import annotations

import functools
import importlib
import importlib.metadata
import importlib.util
import os
import site
import sys
import sysconfig
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Generic, TypeVar

from smoothray.errors import PluginError, did_you_mean

T = TypeVar("T")
GROUPS = {"penalty": "smoothray.penalties", "student": "smoothray.students"}
"""The entry points' group of each family."""
OURS = ("smoothray", "smoothray_analysis", "__main__")


@dataclass(frozen=True)
class Family(Generic[T]):
    """Classes that are known by name.

    what: a key of `GROUPS`. base: what they are subclasses of. registry: those of ours, and what is
    registered at run time. states: the attributes that each must have.
    """

    what: str
    base: type[T]
    registry: Mapping[str, type[T]]
    states: tuple[str, ...]

    def find(self, name: Any, offered: Iterable[str] | None = None) -> type[T]:
        """The class of that name. offered: the names of ours that an error shows, by default all.

        Raises:
            PluginError: there is none, or it is not one of this family; in one line.
        """
        if not isinstance(name, str):
            raise PluginError(f"unknown {self.what} '{name}'; give a name or an import path")
        if name in self.registry:
            return self.registry[name]
        if ":" in name:
            return self._checked(name, load(name, self.what))
        group = GROUPS[self.what]
        path = _entry(group, name)
        if path is None:
            names = [*(self.registry if offered is None else offered), *entry_points(group)]
            hint = did_you_mean(name, names) or (
                f"; use one of {', '.join(names)}, or the import path of your own, as my_module:MyClass"
            )
            raise PluginError(f"unknown {self.what} '{name}'{hint}")
        return self._checked(path, load(path, self.what))

    def _checked(self, path: str, member: Any) -> type[T]:
        if not (isinstance(member, type) and issubclass(member, self.base)):
            raise PluginError(
                f"{path} is no {self.what}: it must be a subclass of smoothray.{self.base.__name__}"
            )
        methods = sorted(getattr(member, "__abstractmethods__", ()))
        lacking = [f"the method {name}" for name in methods]
        lacking += [f"the attribute {name}" for name in self.states if not hasattr(member, name)]
        if lacking:
            raise PluginError(f"{path} is no {self.what} yet: it lacks {' and '.join(lacking)}")
        return member


def load(path: str, what: str) -> Any:
    """What an import path leads to. what: what it is to be, for messages.

    Raises:
        PluginError: no such module, one that cannot be imported, or nothing of that name in it.
    """
    name, _, attribute = path.partition(":")
    if not all(part.isidentifier() for part in (*name.split("."), attribute)):
        raise PluginError(f"'{path}' is no import path of a {what}; write it as my_module:MyOwn")
    module = _module(name, f"for the {what} '{path}'")
    if not hasattr(module, attribute):
        own = [n for n, value in vars(module).items() if callable(value) and n[0] != "_"]
        raise PluginError(
            f"there is no {attribute} in {name} ({_place(module)}), for the {what} '{path}'"
            f"{did_you_mean(attribute, own)}"
        )
    return getattr(module, attribute)


def is_module(name: str) -> bool:
    """Whether a module of that name is in the current folder or installed. Imports at most its package."""
    _look_here()
    try:
        return importlib.util.find_spec(name) is not None
    except (ImportError, ValueError):
        return False


def entry_points(group: str) -> dict[str, importlib.metadata.EntryPoint]:
    """What installed packages offer under a group, by name."""
    return {entry.name: entry for entry in importlib.metadata.entry_points(group=group)}


def modules_to_ship(names: Iterable[str]) -> list[str]:
    """Files and package folders that plug-ins of these names come from and that are not installed.

    With them goes what they have imported from beside them.
    """
    places: dict[str, None] = {}
    for name in names:
        paths = [name] if ":" in name else [_entry(group, name) for group in GROUPS.values()]
        for path in filter(None, paths):
            top = path.partition(":")[0].partition(".")[0]
            place = _place(_module(top, f"for '{name}'"))
            if top in OURS or _installed(place):
                continue
            beside = (
                _place(m) for n, m in [*sys.modules.items()] if "." not in n and n not in OURS
            )
            places |= dict.fromkeys(str(p) for p in beside if p.parent == place.parent)
    return list(places)


def _module(name: str, why: str) -> ModuleType:
    if sys.modules.get(name) is not None:
        return sys.modules[name]
    _look_here()
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name and f"{name}.".startswith(f"{error.name}."):
            near = did_you_mean(name, [file.stem for file in Path.cwd().glob("*.py")])
            raise PluginError(
                f"no module {error.name} in the current folder ({Path.cwd()}) or installed, {why}{near}"
            ) from None
        problem: BaseException = error
    except (Exception, SystemExit) as error:
        problem = error
    told = " ".join(f"{type(problem).__name__}: {problem}".split())
    raise PluginError(f"the module {name} cannot be imported, {why}: {told}") from problem


def _look_here() -> None:
    """Let modules of the current folder be found, which a console script does not; after all others."""
    here = os.getcwd()
    if not {"", here} & set(sys.path):
        sys.path.append(here)
    importlib.invalidate_caches()  # the file may be newer than the last look into its folder


@functools.cache
def _scan(group: str, path: tuple[str, ...]) -> dict[str, str]:
    return {name: entry.value for name, entry in entry_points(group).items()}


def _entry(group: str, name: str) -> str | None:
    """The import path of an entry point."""
    return _scan(group, tuple(sys.path)).get(name)


def _place(module: ModuleType) -> Path:
    """A module's file, or the folder of a package."""
    folders = list(getattr(module, "__path__", []))
    return Path(folders[0] if folders else getattr(module, "__file__", None) or "built in")


def _installed(place: Path) -> bool:
    kinds = ("stdlib", "platstdlib", "purelib", "platlib")
    folders = [sysconfig.get_path(kind) for kind in kinds]
    folders += [*site.getsitepackages(), site.getusersitepackages()]
    return not place.is_absolute() or any(place.is_relative_to(folder) for folder in folders)
