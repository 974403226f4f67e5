"""PTX text to a `Module`: recursive descent over tokens, with PTX's nested scopes."""

from __future__ import annotations

from .operands import InstructionParser, Scope
from .syntax import DTYPES, Function, Immediate, Instruction, Module, Register, Variable
from .tokens import Token, number

_LINKAGE = {".visible", ".extern", ".weak", ".common"}
_SPACES = {".global", ".const", ".shared", ".local", ".param"}
_FUNCTION_DIRECTIVES = {
    ".maxntid",
    ".minnctapersm",
    ".reqntid",
    ".maxnreg",
    ".maxnctapersm",
    ".noreturn",
    ".explicitcluster",
    ".reqnctapercluster",
    ".maxclusterrank",
    ".pragma",
    ".blocksareclusters",
    ".abi_preserve",
    ".abi_preserve_control",
}


def parse(text: str) -> Module:
    """Parse PTX text.

    Raises
    ------
    ParseError
        Naming the line that is not understood.
    """
    return _Parser(text).module()


class _Parser(InstructionParser):
    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.result = Module("", {}, {})
        self.scope.names = self.result.variables
        self.files: dict[int, str] = {}
        self.places: dict[Instruction, tuple[int, int]] = {}
        self.current: tuple[int, int] | None = None

    # -- the module ------------------------------------------------------------------------------

    def module(self) -> Module:
        while self.token.kind != "end":
            text = self.token.text
            if text in (".version", ".address_size"):
                self.skip_line()
            elif text == ".file":
                self.file()
            elif text == ".target":
                self.result.target = self.tokens[self.place + 1].text
                self.skip_line()
            elif text == ".section":
                self.skip_section()
            elif text in _LINKAGE or self.accept(";"):
                self.place += text in _LINKAGE
            elif text in _SPACES:
                variable = self.variable()
                self.result.variables[variable.name] = variable
                self.expect(";")
            elif text in (".entry", ".func"):
                self.function()
            else:
                raise self.error(f"unknown directive {text!r}")
        for instruction, (file, line) in self.places.items():
            instruction.source = f"{self.files.get(file, file)}:{line}"
        return self.result

    def file(self) -> None:
        """``.file 1 "path"``"""
        line, index = self.token.line, self.tokens[self.place + 1]
        name = self.tokens[self.place + 2]
        if index.kind == "number" and name.line == line:
            self.files[int(number(index.text).value)] = name.text.strip('"')
        self.skip_line()

    def location(self) -> None:
        """``.loc 1 12 5``: file, line and column of what follows."""
        file, line = (int(number(self.tokens[self.place + step].text).value) for step in (1, 2))
        self.current = (file, line) if line else None
        self.skip_line()

    def skip_section(self) -> None:
        while not self.accept("{"):
            self.place += 1
        while not self.accept("}"):
            self.place += 1

    def variable(self) -> Variable:
        """``.space .align 8 .b8 name[16] = {1, 2}``, without what follows."""
        space, alignment, kind = self.next().text[1:], None, None
        vector = 1
        while self.token.text.startswith("."):
            word = self.next().text
            if word == ".align":
                alignment = self.integer()
            elif word in (".v2", ".v4"):
                vector = int(word[2:])
            elif word == ".ptr":
                self.accept(".global")
            elif word[1:] in DTYPES:
                kind = word[1:]
            elif word not in (".shared", ".const", ".global", ".local", ".unified"):
                raise self.error(f"unknown type or attribute {word!r}")
        if kind is None:
            raise self.error("a variable needs a type")
        name, element = self.next().text, DTYPES[kind].itemsize * vector
        size: int | None = element
        while self.accept("["):
            if self.accept("]"):
                size = None
            else:
                size *= self.integer()
                self.expect("]")
        variable = Variable(name, space, kind, size, alignment or element)
        if self.accept("="):
            self.initialise(variable)
        elif space in ("global", "const"):
            variable.initial = b""
        return variable

    def initialise(self, variable: Variable) -> None:
        dtype, data, depth = DTYPES[variable.type], bytearray(), 0
        while True:
            token = self.next()
            if token.text in ("{", "}", ","):
                depth += {"{": 1, "}": -1, ",": 0}[token.text]
            elif token.kind == "word":
                name = self.next().text if self.accept("(") and token.text == "generic" else token.text
                self.accept(")")
                variable.references.append((len(data), name))
                data += bytes(dtype.itemsize)
            else:
                negative = token.text == "-"
                value = number(self.next().text if negative else token.text)
                value = Immediate(-value.value, value.type) if negative else value
                data += value.as_dtype(dtype).tobytes()
            if depth == 0:
                break
        variable.initial = bytes(data)
        if variable.size is None:
            variable.size = len(data)

    # -- functions -------------------------------------------------------------------------------

    def function(self) -> None:
        entry = self.next().text == ".entry"
        self.accept(".attribute")
        returns = self.parameter_list() if self.token.text == "(" else []
        name = self.next().text
        parameters = self.parameter_list() if self.token.text == "(" else []
        limits: dict[str, list[int]] = {}
        while self.token.text in _FUNCTION_DIRECTIVES:
            values = limits[self.next().text] = []
            while self.token.kind in ("number", "string") or self.token.text == ",":
                token = self.next()
                if token.kind == "number":
                    values.append(int(number(token.text).value))
        function = self.result.functions.get(name)
        if function is None or not function.defined:
            function = self.result.functions[name] = Function(name, entry, parameters, returns)
        if self.accept(";"):
            return
        self.expect("{")
        function.defined, function.limits = True, limits
        self.body(function)

    def parameter_list(self) -> list[Variable]:
        self.expect("(")
        parameters = []
        while not self.accept(")"):
            if self.token.text == ".reg":
                raise self.error("register parameters are not supported; compile with the default ABI")
            parameters.append(self.variable())
            self.accept(",")
        return parameters

    def body(self, function: Function) -> None:
        outer, self.current = self.scope, None
        self.scope = Scope(outer)
        for variable in function.parameters + function.returns:
            self.scope.names[variable.name] = variable
        labels: set[int] = set()
        branches: list[tuple[Instruction, Scope, Token]] = []
        while self.scope is not outer:
            token = self.token
            if token.kind == "end":
                raise self.error(f"the body of {function.name!r} has no end")
            if self.accept("{"):
                self.scope = Scope(self.scope)
            elif self.accept("}"):
                self.scope = self.scope.outer
            elif self.tokens[self.place + 1].text == ":":
                self.label(function, labels)
            elif token.text == ".reg":
                self.registers()
            elif token.text in _SPACES:
                variable = self.variable()
                self.scope.names[variable.name] = variable
                function.variables.append(variable)
                self.expect(";")
            elif token.text == ".loc":
                self.location()
            elif token.text == ".file":
                self.file()
            elif token.text == ".pragma":
                self.place += 2
                self.expect(";")
            elif not self.accept(";"):
                instruction = self.instruction()
                function.instructions.append(instruction)
                if self.current is not None:
                    self.places[instruction] = self.current
                if instruction.parts[0] in ("bra", "brx"):
                    branches.append((instruction, self.scope, token))
        for instruction, scope, token in branches:
            instruction.targets = self.targets(instruction, scope, token)
        function.labels = frozenset(labels)

    def label(self, function: Function, labels: set[int]) -> None:
        name = self.next().text
        self.expect(":")
        if self.accept(".branchtargets"):
            table = self.scope.tables[name] = []
            while not self.accept(";"):
                if not self.accept(","):
                    table.append(self.next().text)
            return
        self.scope.labels[name] = len(function.instructions)
        labels.add(len(function.instructions))

    def targets(self, instruction: Instruction, scope: Scope, token: Token) -> tuple[int, ...]:
        name = instruction.operands[-1].name
        names = scope.find("tables", name) if instruction.parts[0] == "brx" else [name]
        places = [scope.find("labels", label) for label in names or []]
        if not places or None in places:
            raise self.error(f"no label {name!r}", token)
        return tuple(places)

    def registers(self) -> None:
        self.next()
        kind = self.next().text[1:]
        if kind not in DTYPES:
            raise self.error(f"unknown register type .{kind}")
        while not self.accept(";"):
            name = self.next().text
            if self.accept("<"):
                for index in range(self.integer()):
                    self.scope.names[f"{name}{index}"] = Register(f"{name}{index}", kind)
                self.expect(">")
            else:
                self.scope.names[name] = Register(name, kind)
            self.accept(",")
