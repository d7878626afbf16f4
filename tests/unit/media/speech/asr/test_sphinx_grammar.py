import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from control.errors import ProviderError
from media.speech.asr.sphinx.grammar import MAX_WORDS, Grammar, parse, plain

HEAD = "#JSGF V1.0;\ngrammar test;\n"


def rule(grammar: Grammar) -> str:
    """The right side of the only rule, with single blanks."""
    start, end = "#JSGF V1.0; grammar g; public <g> = ", ";"
    assert grammar.jsgf.startswith(start)
    assert grammar.jsgf.endswith(end)
    return " ".join(grammar.jsgf[len(start) : -len(end)].split())


def refusal(grammar: str | list[str]) -> str:
    with pytest.raises(ProviderError) as caught:
        parse(grammar)
    assert (caught.value.code, caught.value.retry) == (400, False)
    assert str(caught.value).startswith("asr.grammar: ")
    return str(caught.value)


def test_names() -> None:
    digits = parse(" Digits ")
    assert len(digits.words) == 11
    assert digits.loop
    yesno = parse("yesno")
    assert yesno.words == {"yes", "no"}
    assert not yesno.loop


def test_phrases_become_alternatives() -> None:
    grammar = parse(["Sales, please!", "Talk to an operator", "o'clock"])
    assert rule(grammar) == "(sales please) | (talk to an operator) | (o'clock)"
    assert "operator" in grammar.words
    assert not grammar.loop


def test_phrases_as_words() -> None:
    assert plain("  Don't - STOP. ") == "don't stop"
    with pytest.raises(ProviderError, match="has no words"):
        plain("?!")


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("public <a> = yes | No;", "(yes | no)"),
        ("public <a> = please [ call ] me;", "(please [ (call) ] me)"),
        ("public <a> = (one | two)+ hash*;", "(((one | two)) + (hash) *)"),
        ("public <a> = /0.3/ yes | /2/ no;", "(/0.3/ yes | /2/ no)"),
        ("public <a> = <b> now; <b> = call | ring;", "((call | ring) now)"),
        ("<b> = call; public <a> = <b> | <b> <b>; public <c> = no;", "((call) | (call) (call))"),
        ('public <a> = "good bye" {tag \\} more} | // end\n no /* all */;', "((good bye) | no)"),
        ("public <a> = <b>+; <b> = one;", "(((one)) +)"),
    ],
)
def test_jsgf_is_written_again_as_one_rule(body: str, expected: str) -> None:
    assert rule(parse(HEAD + body)) == expected


def test_what_is_written_is_read_the_same() -> None:
    once = parse(HEAD + "public <a> = [ /2/ please | kindly ] (one | two <b>)+; <b> = three*;")
    assert parse(once.jsgf).words == once.words
    assert parse(once.jsgf).loop


@pytest.mark.parametrize(
    ("grammar", "reason"),
    [
        ("numbers", "neither one of digits, yesno nor JSGF"),
        ("public <a> = yes;", "neither"),
        ([""], "has no words"),
        (["schöne grüße"], "no English word"),
        (HEAD, "no public rule"),
        (HEAD + "<a> = yes;", "no public rule"),
        (HEAD + "import <other.*>; public <a> = yes;", "import is not offered"),
        (HEAD + "public <a> = yes", "does not end with a semicolon"),
        (HEAD + "public <a> = <b>;", "<b> is used and not there"),
        (HEAD + "public <a> = yes <a>;", "<a> uses itself"),
        (HEAD + "public <a> = <b>; <b> = <a>;", "uses itself"),
        (HEAD + "public <a> = yes; <a> = no;", "there twice"),
        (HEAD + "public <a> = (yes;", "')' is missing"),
        (HEAD + "public <a> = [yes;", "']' is missing"),
        (HEAD + "public <a> = yes);", "too much"),
        (HEAD + "public <a> = yes | ;", "an alternative is empty"),
        (HEAD + "public <a> = ;", "an alternative is empty"),
        (HEAD + "public <a> = * yes;", "follows nothing"),
        (HEAD + "public <a> = yes = no;", "follows nothing"),
        (HEAD + "public <a> = yes /2/ no;", "a weight stands before"),
        (HEAD + "public <a> = <NULL>;", "<NULL> is not offered"),
        (HEAD + "public <a> = yes > no;", "not understood"),
        (HEAD + "something else;", "is no rule"),
        (HEAD + "public <a> = " + "(" * 60 + "yes" + ")" * 60 + ";", "nested too deeply"),
        (HEAD + "public <a> = $money;", "no English word"),
        ([f"word{number}" for number in range(MAX_WORDS + 1)], "are the most"),
    ],
)
def test_refusals_say_what_is_wrong(grammar: str | list[str], reason: str) -> None:
    assert reason in refusal(grammar)


def test_rules_that_grow_without_bound_are_refused() -> None:
    rules = "".join(f"<r{number}> = <r{number + 1}> <r{number + 1}>;" for number in range(40))
    assert "more than 2000 words" in refusal(f"{HEAD}public <a> = <r0>; {rules} <r40> = yes;")


def test_deep_chains_of_rules_are_refused() -> None:
    rules = "".join(f"<r{number}> = <r{number + 1}>;" for number in range(100))
    assert "nested too deeply" in refusal(f"{HEAD}public <a> = <r0>; {rules} <r100> = yes;")


@given(st.text(max_size=80) | st.text('<>abc()[]|*+;/"{}=. 12', max_size=60))
@example("public <a> = <<>;")
def test_any_text_is_a_harmless_grammar_or_refused(body: str) -> None:
    try:
        grammar = parse(HEAD + body)
    except ProviderError as error:
        refused = error
    else:
        assert grammar.jsgf.count(";") == 3
        assert not set("<>{}\"'") & set(rule(grammar)) - {"'"}
        return
    assert refused.code == 400


@given(st.lists(st.text(max_size=30), min_size=1, max_size=5))
def test_any_phrases_are_harmless_or_refused(phrases: list[str]) -> None:
    try:
        grammar = parse(phrases)
    except ProviderError as error:
        refused = error
    else:
        assert set(rule(grammar)) <= set("abcdefghijklmnopqrstuvwxyz0123456789'._-()| ")
        return
    assert refused.code == 400
