"""Put a mutant's code into the module that is already imported, so that everybody who imported from it runs it."""

from __future__ import annotations

import ast
import sys
from functools import cached_property
from types import FunctionType, ModuleType

import numpy as np


def transplant(module: ModuleType, tree: ast.Module) -> None:
    """Replace the code of `module`'s functions and its changed constants by those of `tree`, in this process."""
    code = compile(tree, module.__file__ or "<mutant>", "exec")
    fresh = ModuleType(module.__name__)
    fresh.__file__, fresh.__package__ = module.__file__, module.__package__
    # Dataclasses look their module up while they are made; nobody else may find the fresh one.
    sys.modules[module.__name__] = fresh
    try:
        exec(code, fresh.__dict__)
    finally:
        sys.modules[module.__name__] = module
    for name, new in list(vars(fresh).items()):
        old = vars(module).get(name)
        before, after = _function(old), _function(new)
        if before is not None and after is not None:
            _take_over(before, after)
        elif isinstance(old, type) and old.__module__ == module.__name__:
            _take_over_class(old, new)
        elif _is_constant(old) and repr(old) != repr(new):
            _set_everywhere(module, name, old, new)
    empty_caches(module)


def empty_caches(module: ModuleType) -> None:
    """Forget what functions kept of earlier calls: in `lru_cache`, and in private dictionaries of the module."""
    for name, value in vars(module).items():
        if hasattr(value, "cache_clear"):
            value.cache_clear()
        elif isinstance(value, dict) and name.startswith("_") and not name.startswith("__"):
            value.clear()


def _take_over_class(old: type, new: type) -> None:
    for name, member in list(vars(old).items()):
        before, after = _function(member), _function(vars(new).get(name))
        if before is not None and after is not None and before.__code__.co_freevars == after.__code__.co_freevars:
            _take_over(before, after)


def _function(member: object) -> FunctionType | None:
    if isinstance(member, (staticmethod, classmethod)):
        member = member.__func__
    if isinstance(member, property):
        member = member.fget
    if isinstance(member, cached_property):
        member = member.func
    if hasattr(member, "cache_clear"):
        member = member.__wrapped__
    return member if isinstance(member, FunctionType) else None


def _take_over(old: FunctionType, new: FunctionType) -> None:
    if old.__code__.co_filename == "<string>":
        return  # Made by `dataclass`; nothing in a class body is mutated.
    old.__code__ = new.__code__
    old.__defaults__, old.__kwdefaults__ = new.__defaults__, new.__kwdefaults__


def _is_constant(value: object) -> bool:
    return isinstance(value, (bool, int, float, tuple, dict, np.ndarray))


def _set_everywhere(module: ModuleType, name: str, old: object, new: object) -> None:
    for other in list(sys.modules.values()):
        space = getattr(other, "__dict__", {})
        if name in space and space[name] is old:
            space[name] = new
