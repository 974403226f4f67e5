"""PTX text to tokens, each with its line."""

from __future__ import annotations

import re
import struct
from typing import NamedTuple

from .faults import ParseError
from .syntax import Immediate

_COMMENT = re.compile(r"//[^\n]*|/\*.*?\*/", re.S)
_TOKEN = re.compile(
    r"""
    (?P<space>\s+)
  | (?P<string>"[^"]*")
  | (?P<number>0[fF][0-9a-fA-F]{8}\b | 0[dD][0-9a-fA-F]{16}\b | 0[xX][0-9a-fA-F]+U?
      | 0[bB][01]+U?\b | \d+\.\d*(?:[eE][-+]?\d+)? | \d+[eE][-+]?\d+ | \d+U?)
  | (?P<word>[%.$_A-Za-z][\w$]*(?:::\w+|\.[\w$]+)*)
  | (?P<mark>[][{}()<>,;:=+\-@!|~*/&^])
""",
    re.X,
)


class Token(NamedTuple):
    """`kind` is "string", "number", "word", "mark" or "end"; `start` is the place in the text."""

    kind: str
    text: str
    line: int
    start: int


def tokenise(text: str) -> list[Token]:
    """Split PTX text; comments vanish but keep their lines."""
    text = _COMMENT.sub(lambda match: re.sub(r"[^\n]", " ", match[0]), text)
    tokens, line, position = [], 1, 0
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            error = ParseError(f"unexpected character {text[position]!r}")
            error.line, error.instruction = line, text[position:].split("\n", 1)[0].strip()
            raise error
        if match.lastgroup == "space":
            line += match[0].count("\n")
        else:
            tokens.append(Token(match.lastgroup, match[0], line, position))
        position = match.end()
    tokens.append(Token("end", "", line, len(text)))
    return tokens


def number(text: str) -> Immediate:
    """The value of a PTX number: ``12``, ``0x1fU``, ``0f3F800000``, ``1.5``."""
    head = text[:2].lower()
    if head == "0f":
        return Immediate(struct.unpack(">f", bytes.fromhex(text[2:]))[0], "f32")
    if head == "0d":
        return Immediate(struct.unpack(">d", bytes.fromhex(text[2:]))[0], "f64")
    digits = text.rstrip("U")
    if head in ("0x", "0b"):
        return Immediate(int(digits, 0))
    if "." in digits or "e" in digits or "E" in digits:
        return Immediate(float(digits), "f64")
    return Immediate(int(digits, 8) if len(digits) > 1 and digits[0] == "0" else int(digits))
