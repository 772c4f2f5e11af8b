"""Generates faults for a source file: mutmut's operators and four additional ones."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from functools import cache
from itertools import takewhile
from typing import TYPE_CHECKING, Any

import libcst as cst
from libcst.metadata import ByteSpanPositionProvider, MetadataWrapper, PositionProvider
from mutmut.mutation.mutators import mutation_operators

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# Characters of context around a change, which identify its place.
CONTEXT = 40
# Calls whose arguments only appear in logs.
LOGS = frozenset({"log", "logging", "warnings"})
# mutmut skips these, too: nearly every such fault is a TypeError.
PLAIN_CALLS = frozenset({"len", "isinstance", "cast", "TypeVar"})


@dataclass(frozen=True)
class Mutant:
    """One fault: the bytes of ``path`` from ``start`` to ``end`` become ``text``.

    ``lines`` are the affected lines. ``scope`` is the outermost function around the fault, which begins at line
    ``first``, or a constant of the module, and then ``first`` is 0. ``old`` and ``new`` are the lines before and after.
    """

    path: Path
    scope: str
    first: int
    lines: frozenset[int]
    start: int
    end: int
    text: str
    old: str
    new: str
    number: int = 0

    @property
    def id(self) -> str:
        """A name that stays valid after changes elsewhere in the file."""
        return f"{self.scope}: {self.old} => {self.new}" + (f" #{self.number + 1}" if self.number else "")

    @property
    def source(self) -> str:
        """The whole file with the fault."""
        before = read(self.path)
        return (before[: self.start] + self.text.encode() + before[self.end :]).decode()


@dataclass(frozen=True)
class _Place:
    names: tuple[str, ...] = ()
    first: int = 0
    statement: int = 0  # its first line
    constant: bool = False


@dataclass
class _Finder:
    path: Path
    source: bytes
    lines: Any
    spans: Any
    seen: Counter[str] = field(default_factory=Counter)
    texts: set[tuple[int, int, str]] = field(default_factory=set)

    def visit(self, node: cst.CSTNode, place: _Place) -> Iterator[Mutant]:
        if _skipped(node):
            return
        if isinstance(node, cst.SimpleStatementLine | cst.BaseCompoundStatement):
            place = self._placed(node, place)
        if place.first or place.constant:
            yield from self._mutants(node, place)
        for child in node.children:
            if place.names and not place.first and isinstance(child, cst.SimpleStatementLine):
                continue  # the attributes of a class
            if isinstance(node, cst.FunctionDef) and child in (*node.decorators, node.params):
                continue  # both run before any test
            yield from self.visit(child, place)

    def _placed(self, node: cst.SimpleStatementLine | cst.BaseCompoundStatement, place: _Place) -> _Place:
        line = self.lines[node].start.line
        if isinstance(node, cst.ClassDef) and not place.first:
            return _Place((*place.names, node.name.value))
        if isinstance(node, cst.FunctionDef) and not place.first:
            first = self.lines[node.decorators[0]].start.line if node.decorators else line
            return _Place((*place.names, node.name.value), first, line)
        if place.first:
            return _Place(place.names, place.first, line)
        name = _constant(node)
        return _Place((name,), 0, line, constant=True) if name and not place.names else place

    def _mutants(self, node: cst.CSTNode, place: _Place) -> Iterator[Mutant]:
        for before, after in _changes(node):
            span, lines = self.spans[before], self.lines[before]
            start, end = span.start, span.start + span.length
            text = _code(before, after).replace("\n", "\n" + " " * lines.start.column)
            text = " " * self.source[start:end].startswith(b" ") + text
            if (start, end, text) in self.texts or self.source[start:end].decode() == text:
                continue
            self.texts.add((start, end, text))
            first, last = self.source.rfind(b"\n", 0, start) + 1, self.source.find(b"\n", end)
            old = " ".join(self.source[first:last].decode().split())
            new = " ".join((self.source[first:start].decode() + text + self.source[end:last].decode()).split())
            mutant = Mutant(
                self.path,
                ".".join(place.names),
                place.first,
                frozenset({place.statement, *range(lines.start.line, lines.end.line + 1)}),
                start,
                end,
                text,
                *_shortened(old, new),
            )
            try:
                compile(mutant.source, "mutant", "exec", dont_inherit=True)
            except SyntaxError:
                continue
            number, self.seen[mutant.id] = self.seen[mutant.id], self.seen[mutant.id] + 1
            yield Mutant(**{**vars(mutant), "number": number})


@cache
def read(path: Path) -> bytes:
    """The file as of the first call, so that an edit during a run changes no mutant."""
    return path.read_bytes()


def mutants(path: Path) -> list[Mutant]:
    """All faults for the file at ``path``, in source order."""
    source = read(path)
    wrapper = MetadataWrapper(cst.parse_module(source), unsafe_skip_copy=True)
    finder = _Finder(path, source, wrapper.resolve(PositionProvider), wrapper.resolve(ByteSpanPositionProvider))
    return list(finder.visit(wrapper.module, _Place()))


def _skipped(node: cst.CSTNode) -> bool:
    match node:
        case (
            cst.Annotation()
            | cst.Import()
            | cst.ImportFrom()
            | cst.Decorator()
            | cst.If(test=cst.Name(value="TYPE_CHECKING"))
            | cst.Expr(value=cst.SimpleString() | cst.ConcatenatedString())  # a docstring
        ):
            return True
        case cst.Call(func=cst.Name(value=name)):
            return name in PLAIN_CALLS
        case cst.Call(func=cst.Attribute(value=cst.Name(value=name))):
            return name in LOGS
        case cst.SimpleString(value=value):
            return not value.startswith(("r", "b")) and bool(re.search(r"\S \S", value))  # a message in words
    return False


def _constant(node: cst.CSTNode) -> str | None:
    """The name of a constant that is not just a number: a number is a choice, which its comment justifies."""
    match node:
        case cst.SimpleStatementLine(
            body=[cst.Assign(targets=[cst.AssignTarget(target=cst.Name(value=name))], value=value)]
        ):
            pass
        case cst.SimpleStatementLine(
            body=[cst.AnnAssign(target=cst.Name(value=name), value=cst.BaseExpression() as value)]
        ):
            pass
        case _:
            return None
    plain = all(isinstance(part, cst.BaseNumber | cst.BinaryOperation | cst.Name) for part in _expressions(value))
    return None if plain or name == "__all__" else name


def _expressions(node: cst.CSTNode) -> Iterator[cst.CSTNode]:
    if isinstance(node, cst.BaseExpression):
        yield node
    for child in node.children:
        yield from _expressions(child)


def _changes(node: cst.CSTNode) -> Iterator[tuple[cst.CSTNode, cst.CSTNode]]:
    for kind, operator in mutation_operators:
        if isinstance(node, kind):
            for changed in operator(node):
                if not _is_useless(node, changed):
                    yield node, changed
    match node:
        case cst.BooleanOperation():  # a forgotten condition
            yield node, node.left
            yield node, node.right
        case cst.If(test=cst.Name() | cst.Attribute() | cst.Call() | cst.NamedExpr() as test):
            enclosed = test.with_changes(lpar=[cst.LeftParen()], rpar=[cst.RightParen()])
            yield test, cst.UnaryOperation(cst.Not(), enclosed)
        case cst.Raise():
            yield node, cst.Pass()
        case cst.Expr(value=cst.Call() as call) if not _skipped(call):  # a forgotten step
            yield node, cst.Pass()


def _is_useless(before: cst.CSTNode, after: cst.CSTNode) -> bool:
    """Whether a fault is always noticed, never noticeable, or equivalent to another fault."""
    match before, after:
        case cst.Call(args=args), cst.Call(args=left) if len(left) < len(args):
            # A positional argument other than the last: nearly always a TypeError.
            gone = next((arg for arg, kept in zip(args, left, strict=False) if arg is not kept), args[-1])
            return gone is not args[-1] and gone.keyword is None
        case cst.SimpleString(value=old), cst.SimpleString(value=new):
            # Only the case differs, which many names ignore. A regular expression has no other mutant within it.
            return not old.startswith(("r", "rb")) and old.lower() == new.lower()
        case (cst.Assign() | cst.AnnAssign()) as one, _:
            # None instead of a truth value: another mutant tries the opposite truth value.
            return isinstance(one.value, cst.Name) and one.value.value in ("True", "False")
    return False


def _shortened(old: str, new: str) -> tuple[str, str]:
    """Both without their common beginning and end, except for some context."""
    same = _shared(old, new)
    first = max(same - CONTEXT, 0)
    last = max(_shared(old[same:][::-1], new[same:][::-1]) - CONTEXT, 0)
    before, after = "…" * bool(first), "…" * bool(last)
    return before + old[first : len(old) - last] + after, before + new[first : len(new) - last] + after


def _shared(one: str, other: str) -> int:
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))


def _code(before: cst.CSTNode, after: cst.CSTNode) -> str:
    """The text of ``after`` in the place of ``before``, whose own parentheses stay in place."""
    own = getattr(before, "lpar", ())
    if own and getattr(after, "lpar", ()) == own:
        after = after.with_changes(lpar=(), rpar=())
    return str(cst.Module([]).code_for_node(after)).strip()
