"""Expressions that choose frames, such as ``filter_name=="J" and exposure_time>10``.

The text is parsed into Python's syntax tree and every node is translated by hand into a small function of a
header; whatever is not listed here is refused. Nothing is ever handed to the interpreter.
"""

from __future__ import annotations

import ast
import difflib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from keyhole.errors import ParameterError
from keyhole.headers import DESCRIPTORS, Headers, describe, tags
from keyhole.selection.compare import compare, contains

__all__ = ["Expression", "parse"]

# Descriptors compared in their short form, unless the comparison is strict.
_PRETTY = frozenset({"filter_name", "detector_name", "disperser"})
_TAG_WORD = re.compile(r"[A-Z][A-Z0-9_]*\Z")
# Tags that may stand alone, as in ``DARK and exposure_time==60``.
TAG_NAMES: frozenset[str] = frozenset(
    {
        "ACQUISITION",
        "ARC",
        "AT_ZENITH",
        "AZEL_TARGET",
        "BIAS",
        "BPM",
        "CAL",
        "DARK",
        "EXTRACTED",
        "FLAT",
        "FRINGE",
        "GCALFLAT",
        "GCAL_IR_OFF",
        "GCAL_IR_ON",
        "GEMINI",
        "GNIRS",
        "IFU",
        "IMAGE",
        "LAMPOFF",
        "LAMPON",
        "LS",
        "MASK",
        "NODCHOP",
        "NON_SIDEREAL",
        "NORTH",
        "OVERSCAN_SUBTRACTED",
        "OVERSCAN_TRIMMED",
        "PINHOLE",
        "PREPARED",
        "PROCESSED",
        "PROCESSED_SCIENCE",
        "RAW",
        "SIDEREAL",
        "SOUTH",
        "SPECT",
        "STANDARD",
        "TELLURIC",
        "THRUSLIT",
        "UNPREPARED",
        "XD",
    }
)
_OPERATORS: dict[type[ast.cmpop], str] = {
    ast.Eq: "==",
    ast.NotEq: "!=",
    ast.Lt: "<",
    ast.LtE: "<=",
    ast.Gt: ">",
    ast.GtE: ">=",
    ast.In: "in",
    ast.NotIn: "not in",
}


@dataclass(frozen=True)
class _Term:
    """A value to compare: how to get it from a header, and how it is called in messages.

    ``name`` is the descriptor whose tolerance applies, else None; ``literal`` tells constants.
    """

    value: Callable[[Headers], Any]
    words: str
    name: str | None = None
    literal: bool = False


@dataclass(frozen=True)
class Expression:
    """A parsed expression.

    Attributes
    ----------
    text : str
        As written.
    """

    text: str
    _term: _Term

    def __call__(self, headers: Headers) -> bool:
        """Tell whether a frame is chosen.

        Raises
        ------
        ParameterError
            The expression compares a text with a number, or does not give true or false.
        """
        try:
            result = _boolean(self._term, headers)
        except ParameterError as error:
            raise ParameterError(f"expression {self.text}: {error}") from None
        return result


def parse(text: str, *, strict: bool = False) -> Expression:
    """Parse an expression.

    Parameters
    ----------
    text : str
        Names are descriptors and tags; comparisons ``== != < <= > >= in, not in`` may be chained and joined
        by ``and``, ``or``, ``not`` and parentheses; ``ad.tags`` and ``ad.exposure_time()`` are understood.
    strict : bool
        Compare numbers exactly and names in full. Else ``exposure_time`` is equal within 1 %,
        ``central_wavelength`` within 1e-5, and ``filter_name``, ``detector_name``, ``disperser`` are compared
        in their short form.

    Raises
    ------
    ParameterError
        The text is not an expression, or names something unknown.
    """
    try:
        # An expression that a script wrote over several lines is still one.
        tree = ast.parse(" ".join(text.splitlines()).strip(), mode="eval")
    except (SyntaxError, ValueError) as error:
        raise ParameterError(f"expression {text}: {_syntax_advice(text)}") from error
    try:
        return Expression(text, _Translator(strict=strict).term(tree.body))
    except ParameterError as error:
        raise ParameterError(f"expression {text}: {error}") from None
    except RecursionError as error:
        raise ParameterError("the expression is nested too deeply; simplify it") from error


def _syntax_advice(text: str) -> str:
    if re.search(r"(?<![=!<>])=(?!=)", re.sub(r"'[^']*'|\"[^\"]*\"", "''", text)):
        return "a single '=' does not compare; write '=='"
    return 'cannot be understood; write for example exposure_time==60 and filter_name=="J", text in quotes'


class _Translator:
    """Turns a syntax tree into terms."""

    def __init__(self, *, strict: bool) -> None:
        self._strict = strict

    def term(self, node: ast.expr) -> _Term:
        match node:
            case ast.BoolOp():
                result = self._combination(node)
            case ast.UnaryOp(op=ast.Not()):
                inner = self.term(node.operand)
                result = _Term(lambda headers: not _boolean(inner, headers), ast.unparse(node))
            case ast.Compare():
                result = self._comparison(node)
            case ast.Name():
                result = self._name(node.id)
            case ast.Attribute(value=ast.Name(id="ad"), attr="tags"):
                result = _Term(tags, "tags")
            case ast.Call(func=ast.Attribute(value=ast.Name(id="ad"), attr=name), args=[]):
                result = self._call(name, node)
            case _:
                result = _literal(node)
        return result

    def _combination(self, node: ast.BoolOp) -> _Term:
        terms = [self.term(value) for value in node.values]
        every = all if isinstance(node.op, ast.And) else any
        return _Term(lambda headers: every(_boolean(term, headers) for term in terms), ast.unparse(node))

    def _comparison(self, node: ast.Compare) -> _Term:
        terms = [self.term(value) for value in (node.left, *node.comparators)]
        symbols = []
        for op in node.ops:
            if type(op) not in _OPERATORS:
                raise ParameterError("'is' does not compare here; write '=='")
            symbols.append(_OPERATORS[type(op)])
        steps = list(zip(terms, symbols, terms[1:], strict=False))

        def result(headers: Headers) -> bool:
            return all(_holds(left, symbol, right, headers) for left, symbol, right in steps)

        return _Term(result, ast.unparse(node))

    def _name(self, name: str) -> _Term:
        if name in DESCRIPTORS:
            options = {"pretty": True} if name in _PRETTY and not self._strict else {}
            return _Term(_descriptor(name, options, written=False), name, name=None if self._strict else name)
        if name == "tags":
            return _Term(tags, "tags")
        if name in TAG_NAMES:
            return _Term(lambda headers: name in tags(headers), name)
        raise ParameterError(_unknown(name))

    def _call(self, name: str, node: ast.Call) -> _Term:
        """A descriptor called as in Python: the answer is taken as it comes, in full and exact."""
        if name not in DESCRIPTORS:
            raise ParameterError(_unknown(name))
        options = {}
        for keyword in node.keywords:
            option = _literal(keyword.value).value(_NO_HEADERS)
            if keyword.arg is None:
                raise ParameterError(f"ad.{name}(**...) is not possible; write the options out")
            options[keyword.arg] = option
        return _Term(_descriptor(name, options, written=True), f"ad.{name}()")


_NO_HEADERS = Headers(primary={}, extensions=(), name="")


def _literal(node: ast.expr) -> _Term:
    try:
        value = ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError) as error:
        raise ParameterError(
            f"'{ast.unparse(node)}' is not possible here; use descriptors, tags, texts, numbers, comparisons "
            "and the words and, or, not, in"
        ) from error
    if isinstance(value, (dict, bytes, complex)):
        raise ParameterError(f"'{ast.unparse(node)}' cannot be compared with anything")
    return _Term(lambda _headers: value, ast.unparse(node), literal=True)


def _descriptor(name: str, options: Mapping[str, Any], *, written: bool) -> Callable[[Headers], Any]:
    """Ask a header; ``written`` tells that the user chose the options: a wrong one is then an error."""

    def value(headers: Headers) -> Any:
        try:
            return describe(headers, name, **options)
        except ParameterError:
            if written and options:
                raise
        except (KeyError, ValueError, AttributeError, IndexError, TypeError):
            pass
        # This instrument or frame does not have the quantity: undefined, not a reason to stop.
        return None

    return value


def _holds(left: _Term, symbol: str, right: _Term, headers: Headers) -> bool:
    name = left.name or right.name
    words = right.words if left.literal else left.words
    one, other = left.value(headers), right.value(headers)
    if symbol in {"in", "not in"}:
        return contains(one, other, name=name, words=words) == (symbol == "in")
    return compare(one, symbol, other, name=name, words=words)


def _boolean(term: _Term, headers: Headers) -> bool:
    value = term.value(headers)
    if value is None:
        return False
    if isinstance(value, bool):
        return value
    raise ParameterError(f"{term.words} is {value!r}, neither true nor false; compare it with something")


def _unknown(name: str) -> str:
    known = sorted(TAG_NAMES if _TAG_WORD.match(name) else DESCRIPTORS)
    near = difflib.get_close_matches(name, known, n=3) or difflib.get_close_matches(name.lower(), known, n=3)
    kind = "tag" if _TAG_WORD.match(name) else "descriptor"
    hint = f"did you mean {' or '.join(near)}?" if near else f"text must be in quotes, and a name must be a {kind}"
    return f"unknown name '{name}'; {hint}"
