"""Whether JSON has the shape that it was written with: a disk, an editor or another version may have changed it.

A shape is a type (``str``, ``int``, ``float``, ``bool``), ``[shape]`` for lists, ``[shape, shape, shape]`` for lists of
so many, ``{str: shape}`` for mappings with any names, ``{"name": shape}`` for those that have these names among others,
and None for anything.
"""

from typing import Any


def misfit(content: Any, shape: Any, where: str = "") -> str:
    """What does not fit, in words; empty if all fits.

    >>> misfit({"layers": ["a", 1]}, {"layers": [str]})
    'layers.1 is 1'
    >>> misfit({}, {"layers": [str]})
    'layers is missing'
    """
    if shape is None or (isinstance(shape, type) and type(content) is shape):
        return ""
    parts: list[tuple[Any, Any, Any]] = []
    if isinstance(shape, dict) and isinstance(content, dict):
        if str in shape:
            parts = [(key, value, shape[str]) for key, value in content.items()]
        elif missing := [name for name in shape if name not in content]:
            return f"{_joined(where, missing[0])} is missing"
        else:
            parts = [(name, content[name], inner) for name, inner in shape.items()]
    elif isinstance(shape, list) and isinstance(content, list) and len(shape) in (1, len(content)):
        inner = shape * len(content) if len(shape) == 1 else shape
        parts = [(i, value, one) for i, (value, one) in enumerate(zip(content, inner, strict=True))]
    else:
        found = repr(content)
        return f"{where or 'it'} is {found if len(found) <= 40 else found[:37] + '...'}"
    return next((said for key, value, one in parts if (said := misfit(value, one, _joined(where, key)))), "")


def _joined(where: str, key: Any) -> str:
    return f"{where}.{key}" if where else str(key)
