"""What may be said: names, phrases and JSGF, as one plain grammar that is known to be harmless. Sans-I/O.

JSGF is read with its weights, groups, ``[...]``, ``*``, ``+``, comments, tags and rules that use each other (but no
recursion and no import), and written again as a single rule without any of them but words, groups and operators: what
a bot wrote never reaches the parser in C, and cannot grow without bound there.

Source: JSpeech Grammar Format, W3C Note 05 June 2000.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from control.errors import ProviderError

MAX_WORDS = 2000
"""Words of a grammar, each rule written out where it is used."""
_MAX_DEPTH = 50
_NAMED = {
    "digits": "zero | oh | one | two | three | four | five | six | seven | eight | nine",
    "yesno": "yes | no",
}

_HEADER = re.compile(r"#JSGF\b[^;\n]*;?")
_COMMENT = re.compile(r"/\*.*?\*/|//[^\n]*", re.DOTALL)
_TOKEN = re.compile(
    r"""\s*(?:(?P<tag>\{(?:\\.|[^}\\])*\})|(?P<weight>/\s*\d*\.?\d+(?:[eE][-+]?\d+)?\s*/)|(?P<rule><[^<>\s]+>)
    |"(?P<quoted>[^"]*)"|(?P<sign>[;=|()\[\]*+])|(?P<word>[^\s;=|()\[\]{}<>*+/"]+))""",
    re.VERBOSE,
)
_WORD = re.compile(r"[a-z0-9][a-z0-9'._-]{0,39}")
_STRIPPED = re.compile(r"[^\w'.\s-]|_")


@dataclass(frozen=True, slots=True)
class Grammar:
    """A grammar that may be given to a decoder."""

    jsgf: str
    words: frozenset[str]
    """All that it uses, in lower case."""

    @property
    def loop(self) -> bool:
        """Whether something in it repeats."""
        return ") +" in self.jsgf or ") *" in self.jsgf


def parse(grammar: str | Sequence[str]) -> Grammar:
    """``digits``, ``yesno``, phrases, or JSGF. Raises ProviderError (400) that says what is wrong where."""
    if not isinstance(grammar, str):
        return _written(" | ".join(f"({phrase})" for phrase in map(plain, grammar)))
    name = grammar.strip().lower()
    if name == "digits":
        return _written(f"({_NAMED[name]}) +")
    if name in _NAMED:
        return _written(_NAMED[name])
    if not grammar.lstrip().startswith("#JSGF"):
        raise _wrong(
            f"{grammar[:40]!r} is neither one of {', '.join(_NAMED)} nor JSGF, which begins with #JSGF V1.0;"
        )
    return _written(_Rules(grammar).text())


def plain(phrase: str) -> str:
    """A phrase as its words: lower case, without punctuation. Raises ProviderError when nothing is left."""
    words = [word.strip(".-'") for word in _STRIPPED.sub(" ", phrase.lower()).split()]
    text = " ".join(word for word in words if word)
    if not text:
        raise _wrong(f"the phrase {phrase[:40]!r} has no words")
    return text


def _written(expression: str) -> Grammar:
    words = [
        token for token in expression.replace("(", " ").replace(")", " ").split() if token[0] not in "|[]*+/"
    ]
    if len(words) > MAX_WORDS:
        raise _wrong(f"it has {len(words)} words, rules written out; {MAX_WORDS} are the most")
    for word in words:
        if not _WORD.fullmatch(word):
            raise _wrong(f"{word[:40]!r} is no English word in small letters: write it out")
    return Grammar(f"#JSGF V1.0; grammar g; public <g> = {expression};", frozenset(words))


def _wrong(what: str) -> ProviderError:
    return ProviderError(f"asr.grammar: {what}", 400, retry=False)


class _Rules:
    """A grammar in JSGF, taken apart into rules, which are written out from the first public one."""

    def __init__(self, jsgf: str) -> None:
        body = _HEADER.sub("", _COMMENT.sub(" ", jsgf), count=1)
        self._rules: dict[str, list[str]] = {}
        self._root: str | None = None
        self._size = _Size()
        for statement in _statements(body):
            self._add(statement)

    def _add(self, statement: list[str]) -> None:
        match statement:
            case ["grammar", _]:
                return
            case ["import", *_]:
                raise _wrong("import is not offered")
            case ["public", str(name), "=", *right] if name.startswith("<"):
                self._root = self._root or name
            case [str(name), "=", *right] if name.startswith("<"):
                pass
            case _:
                raise _wrong(f"{' '.join(statement)[:60]!r} is no rule such as <name> = one | two;")
        if name in self._rules:
            raise _wrong(f"the rule {name} is there twice")
        self._rules[name] = right

    def text(self) -> str:
        """The first public rule, written out."""
        if self._root is None:
            raise _wrong("it has no public rule")
        return self._expand(self._root, ())

    def _expand(self, name: str, above: tuple[str, ...]) -> str:
        if name not in self._rules:
            raise _wrong(f"the rule {name} is used and not there")
        if name in above:
            raise _wrong(f"the rule {name} uses itself; use * or + to repeat")
        reader = _Reader(name, self._rules[name], self._size, lambda rule: self._expand(rule, (*above, name)))
        return reader.alternatives_to_end()


@dataclass(slots=True)
class _Size:
    """What must not grow without bound, over all rules as they are written out."""

    words: int = 0
    depth: int = 0


class _Reader:
    """Reads the right side of one rule: alternatives of sequences of items."""

    def __init__(self, name: str, tokens: list[str], size: _Size, expand: Callable[[str], str]) -> None:
        self._name = name
        self._tokens = [*tokens, ";"]
        self._at = 0
        self._size = size
        self._expand = expand

    def alternatives_to_end(self) -> str:
        """All of it."""
        text = self._alternatives()
        if self._tokens[self._at] != ";":
            raise self._error(f"{self._tokens[self._at]!r} is too much")
        return text

    def _alternatives(self) -> str:
        self._size.depth += 1
        if self._size.depth > _MAX_DEPTH:
            raise self._error("groups and rules are nested too deeply")
        found = [self._sequence()]
        while self._tokens[self._at] == "|":
            self._at += 1
            found.append(self._sequence())
        self._size.depth -= 1
        return f"({' | '.join(found)})"

    def _sequence(self) -> str:
        weight = ""
        if self._tokens[self._at].startswith("/"):
            weight = f"{self._tokens[self._at]} "
            self._at += 1
        items: list[str] = []
        while self._tokens[self._at] not in (";", "|", ")", "]"):
            items.append(self._item())
        if not items:
            raise self._error("an alternative is empty")
        return weight + " ".join(items)

    def _item(self) -> str:
        item = self._tokens[self._at]
        self._at += 1
        match item:
            case "(" | "[":
                closing = {"(": ")", "[": "]"}[item]
                inner = self._alternatives()
                if self._tokens[self._at] != closing:
                    raise self._error(f"{closing!r} is missing")
                self._at += 1
                item = inner if closing == ")" else f"[ {inner} ]"
            case "<NULL>" | "<VOID>":
                raise self._error(f"{item} is not offered")
            case _ if item.startswith("<"):
                item = self._expand(item)
            case "*" | "+" | "=":
                raise self._error(f"{item!r} follows nothing")
            case _ if item.startswith("/"):
                raise self._error("a weight stands before an alternative only")
            case _:
                self._size.words += 1
                if self._size.words > MAX_WORDS:
                    raise _wrong(f"rules written out, it has more than {MAX_WORDS} words")
                item = item.lower()
        if self._tokens[self._at] in ("*", "+"):
            item = f"({item}) {self._tokens[self._at]}"
            self._at += 1
        return item

    def _error(self, what: str) -> ProviderError:
        return _wrong(f"in the rule {self._name}: {what}")


def _statements(body: str) -> Iterator[list[str]]:
    """Tokens up to each semicolon; tags are left out, and what is quoted becomes words."""
    statement: list[str] = []
    at, end = 0, len(body.rstrip())
    while at < end:
        found = _TOKEN.match(body, at)
        if found is None:
            raise _wrong(f"{body[at : at + 20].strip()!r} is not understood")
        at = found.end()
        kind, text = found.lastgroup, found[found.lastgroup or 0]
        if kind == "sign" and text == ";":
            yield statement
            statement = []
        elif kind == "quoted":
            statement += ["(", *text.split(), ")"]
        elif kind != "tag":
            statement.append(re.sub(r"\s", "", text))
    if statement:
        raise _wrong(f"{' '.join(statement)[:60]!r} does not end with a semicolon")
