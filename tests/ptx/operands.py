"""Instructions and operands: the inner half of the parser."""

from __future__ import annotations

import re

from .faults import ParseError
from .syntax import (
    Address,
    Immediate,
    Instruction,
    Negated,
    Pair,
    Register,
    Sink,
    Special,
    Symbol,
    Variable,
    Vector,
)
from .tokens import Token, number, tokenise


class Scope:
    """Names between ``{`` and ``}``; inner names hide outer ones."""

    def __init__(self, outer: Scope | None) -> None:
        self.outer = outer
        self.names: dict[str, Register | Variable] = {}
        self.labels: dict[str, int] = {}
        self.tables: dict[str, list[str]] = {}

    def find(self, kind: str, name: str):
        scope: Scope | None = self
        while scope is not None:
            found = getattr(scope, kind).get(name)
            if found is not None:
                return found
            scope = scope.outer
        return None


class InstructionParser:
    """Tokens of a text, with the scope of names at the current place."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens = tokenise(text)
        self.place = 0
        self.scope = Scope(None)

    # -- tokens ----------------------------------------------------------------------------------

    @property
    def token(self) -> Token:
        return self.tokens[self.place]

    def next(self) -> Token:
        token = self.tokens[self.place]
        self.place += 1
        return token

    def accept(self, text: str) -> bool:
        if self.token.text == text:
            self.place += 1
            return True
        return False

    def expect(self, text: str) -> None:
        if not self.accept(text):
            raise self.error(f"expected {text!r}, found {self.token.text!r}")

    def error(self, message: str, token: Token | None = None) -> ParseError:
        line = min((token or self.token).line, self.text.rstrip().count("\n") + 1)
        error = ParseError(message)
        error.line, error.instruction = line, self.text.split("\n")[line - 1].strip()
        return error

    def skip_line(self) -> None:
        line = self.token.line
        while self.token.line == line and self.token.kind != "end":
            self.place += 1

    def integer(self) -> int:
        negative = self.accept("-")
        token = self.next()
        if token.kind != "number":
            raise self.error(f"expected a number, found {token.text!r}", token)
        value = int(number(token.text).value)
        return -value if negative else value

    # -- instructions ----------------------------------------------------------------------------

    def instruction(self) -> Instruction:
        first, guard, negated = self.token, None, False
        if self.accept("@"):
            negated = self.accept("!")
            guard = self.operand()
            if not isinstance(guard, Register) or guard.type != "pred":
                raise self.error("a guard must be a predicate register", first)
        opcode = self.next()
        if opcode.kind != "word" or not re.match(r"[a-z]", opcode.text):
            raise self.error(f"expected an instruction, found {opcode.text!r}", opcode)
        instruction = Instruction(first.line, "", guard, negated, tuple(opcode.text.split(".")), ())
        if instruction.parts[0] == "call":
            self.call(instruction)
        else:
            operands = []
            while self.token.text != ";":
                operands.append(self.operand())
                if self.token.text != ";":
                    self.expect(",")
            instruction.operands = tuple(operands)
        source = self.text[first.start : self.token.start + 1]
        instruction.text = " ".join(source.split())
        self.expect(";")
        return instruction

    def call(self, instruction: Instruction) -> None:
        lists = []
        while self.token.text != ";":
            if self.accept("("):
                names = []
                while not self.accept(")"):
                    names.append(self.operand())
                    self.accept(",")
                lists.append(names)
            else:
                lists.append(self.next().text)
            self.accept(",")
        results = lists.pop(0) if isinstance(lists[0], list) else []
        if isinstance(self.scope.find("names", lists[0]), Register):
            raise self.error("calls through a pointer are not supported")
        instruction.callee, instruction.results = lists[0], tuple(results)
        instruction.arguments = tuple(lists[1]) if len(lists) > 1 else ()

    def operand(self) -> object:
        value = self.primary()
        if self.accept("|"):
            return Pair(value, self.primary())
        return value

    def primary(self) -> object:
        token = self.next()
        if token.text == "[":
            return self.address()
        if token.text == "{":
            return Vector(tuple(self.items("}")))
        if token.text == "!":
            return Negated(self.primary())
        if token.text == "-":
            value = self.primary()
            return Immediate(-value.value, value.type)
        if token.kind == "number":
            return number(token.text)
        if token.kind != "word":
            raise self.error(f"unexpected {token.text!r} in an operand", token)
        return self.named(token)

    def items(self, end: str) -> list:
        items = []
        while not self.accept(end):
            items.append(self.operand())
            self.accept(",")
        return items

    def named(self, token: Token) -> object:
        if token.text == "_":
            return Sink()
        if token.text == "WARP_SZ":
            return Immediate(32)
        found = self.scope.find("names", token.text)
        if isinstance(found, Register):
            return found
        if token.text.startswith("%"):
            return Special(token.text)
        return Symbol(token.text, self.offset(), found)

    def offset(self) -> int:
        offset = 0
        while self.token.text in ("+", "-"):
            sign = 1 if self.next().text == "+" else -1
            offset += sign * self.integer()
        return offset

    def address(self) -> Address:
        base = self.primary()
        offset = self.offset()
        if isinstance(base, Symbol) and base.offset:
            base, offset = Symbol(base.name, 0, base.variable), base.offset + offset
        coordinates: tuple = ()
        if self.accept(","):
            coordinates = self.primary().items
        self.expect("]")
        return Address(base, offset, coordinates)
