"""Who answered, from facts and their times."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from media.speech.amd.detector import (
    CERTAIN,
    END_OF_GREETING_MS,
    LIKELY,
    MODEL,
    Beep,
    Detector,
    Finding,
    GreetingEnd,
    Model,
    Result,
    Verdict,
)
from media.speech.amd.tones import Name

TIMEOUT, WAIT = 4000, 30_000


class Line:
    """A call: what happens at which ms, and what is found when."""

    def __init__(self, timeout: int = TIMEOUT, beep: int = WAIT, model: Model = MODEL) -> None:
        self.detector = Detector(timeout, beep, model)
        self.found: list[tuple[int, Finding]] = []

    def until(self, now: int) -> "Line":
        """Time passes."""
        while (due := self.detector.due()) is not None and due <= now:
            self.found += [(due, finding) for finding in self.detector.expired(due)]
            assert self.detector.due() != due, "nothing happened: time stands still"
        return self

    def say(self, start: int, end: int, padding: int = 250, pause: int = 100) -> "Line":
        """Somebody speaks; both are known a little later."""
        self.until(start + padding)._take(start + padding, self.detector.speaking(start, start + padding))
        return self.until(end + pause)._take(end + pause, self.detector.silent(end, end + pause))

    def tone(self, name: Name, start: int, end: int, later: int = 200) -> "Line":
        now = end + later
        return self.until(now)._take(now, self.detector.tone(name, start, end, now))

    def text(self, text: str, now: int, *, final: bool = True) -> "Line":
        return self.until(now)._take(now, self.detector.heard(text, now, final=final))

    def _take(self, now: int, findings: list[Finding]) -> "Line":
        self.found += [(now, finding) for finding in findings]
        return self

    @property
    def verdict(self) -> tuple[Result, int]:
        """The only one, and when it fell."""
        (found,) = [(what.result, now) for now, what in self.found if isinstance(what, Verdict)]
        return found

    @property
    def after(self) -> Finding | None:
        """What followed the verdict."""
        assert isinstance(self.found[0][1], Verdict)
        assert len(self.found) <= 2
        return self.found[1][1] if len(self.found) == 2 else None


def test_a_few_words_and_a_pause_are_a_human() -> None:
    line = Line().say(600, 1100).until(60_000)
    result, now = line.verdict
    assert result is Result.HUMAN
    assert 1900 < now < 2400
    assert line.detector.done


def test_after_more_words_the_pause_must_be_longer() -> None:
    short, long = (Line().say(500, 500 + ms).until(60_000).verdict[1] - ms for ms in (400, 1800))
    assert long > short + 200


def test_who_talks_on_is_a_machine() -> None:
    line = Line().say(500, 6000).until(60_000)
    result, now = line.verdict
    assert result is Result.MACHINE
    assert 3000 < now < 3600


def test_a_short_pause_within_a_greeting_decides_nothing() -> None:
    result, now = Line().say(500, 1000).say(1500, 6000).until(60_000).verdict
    assert result is Result.MACHINE
    assert now > 3500


def test_nothing_at_all_is_unknown_at_the_time_limit() -> None:
    line = Line(timeout=2500).until(60_000)
    ((now, verdict),) = line.found
    assert (now, verdict) == (2500, Verdict(Result.UNKNOWN, 0.0, 0, 2500, ""))


def test_late_words_are_judged_at_the_time_limit() -> None:
    assert Line().say(3300, 3700).until(60_000).verdict == (Result.HUMAN, TIMEOUT)


def test_speech_that_is_told_after_the_time_limit_changes_nothing() -> None:
    line = Line().say(3900, 4500).until(60_000)
    assert line.verdict == (Result.UNKNOWN, TIMEOUT)
    assert line.after is None


def test_confidence_follows_the_evidence() -> None:
    sure, unsure = Line().say(300, 9000).until(5000), Line().say(1800, 9000).until(5000)
    verdicts = [line.found[0][1] for line in (sure, unsure)]
    first, second = (verdict.confidence for verdict in verdicts if isinstance(verdict, Verdict))
    assert 0.5 < second < first < 1


@pytest.mark.parametrize("text", ["Please leave a message after the tone.", "您拨打的用户暂时无法接听"])
@pytest.mark.parametrize("final", [True, False])
def test_a_phrase_of_machines_decides_at_once(text: str, final: bool) -> None:
    line = Line().say(300, 1300).text(text, 1500, final=final)
    assert line.verdict == (Result.MACHINE, 1500)
    assert line.found[0][1] == Verdict(Result.MACHINE, 0.99, 0, 1500, text)


def test_a_phrase_of_people_makes_the_pause_shorter() -> None:
    without = Line().say(300, 1800).until(60_000).verdict
    line = Line().say(300, 1800).text("Who is this?", 2000).until(60_000)
    assert line.verdict[0] is without[0] is Result.HUMAN
    assert line.verdict[1] < without[1]


@pytest.mark.parametrize(("text", "result"), [("Who is this?", Result.HUMAN), ("Voicemail.", Result.MACHINE)])
def test_words_that_passed_the_voice_detection_by_count(text: str, result: Result) -> None:
    assert Line().text(text, 1500).until(60_000).verdict[0] is result


def test_texts_are_joined() -> None:
    line = Line().say(200, 900).text("Hello.", 1000).text("You have", 1700, final=False)
    line.text("You have reached Bob.", 1800).text("Leave", 2100, final=False)
    (now, verdict), *_ = line.found
    assert isinstance(verdict, Verdict)
    assert (now, verdict.text) == (1800, "Hello. You have reached Bob.")


@pytest.mark.parametrize("name", [Name.CED, Name.CNG])
def test_a_fax(name: Name) -> None:
    line = Line().tone(name, 1800, 2600).until(60_000)
    assert line.found == [(2800, Verdict(Result.FAX, CERTAIN, 0, 2800, "", name))]


def test_a_tone_that_passes_for_speech_is_still_a_fax() -> None:
    line = Line()
    line.detector.speaking(1800, 2050)
    assert line.tone(Name.CNG, 1800, 2300).verdict[0] is Result.FAX


def test_an_announcement_of_a_carrier_is_a_machine_without_beep() -> None:
    line = Line().tone(Name.SIT, 300, 1300).say(1500, 4000).tone(Name.BEEP, 5000, 5400).until(60_000)
    assert line.found == [(1500, Verdict(Result.MACHINE, CERTAIN, 0, 1500, "", Name.SIT))]


@pytest.mark.parametrize("name", [Name.BEEP, Name.CNG])
def test_a_beep_behind_a_short_greeting_is_a_machine_that_records(name: Name) -> None:
    line = Line().say(500, 1300).tone(name, 1500, 2000).until(60_000)
    verdict = Verdict(Result.MACHINE, CERTAIN, 0, 2200, "", Name.BEEP)
    assert line.found == [(2200, verdict), (2200, Beep(verdict, 2000, ""))]


def test_a_beep_alone_is_a_machine_at_the_time_limit() -> None:
    line = Line().tone(Name.BEEP, 900, 1300).until(60_000)
    verdict = Verdict(Result.MACHINE, LIKELY, 0, TIMEOUT, "", Name.BEEP)
    assert line.found == [(TIMEOUT, verdict), (TIMEOUT, Beep(verdict, 1300, ""))]


def test_a_beep_before_words_is_forgotten() -> None:
    assert Line().tone(Name.BEEP, 200, 500).say(900, 1300).until(60_000).verdict[0] is Result.HUMAN


@pytest.mark.parametrize("name", [Name.BEEP, Name.CNG])
def test_the_beep_of_a_machine_is_told_with_all_that_was_said(name: Name) -> None:
    line = Line().say(500, 6000).text("Leave a message.", 6100).tone(name, 6500, 7000).until(60_000)
    assert line.verdict[0] is Result.MACHINE
    assert isinstance(line.after, Beep)
    assert (line.after.at, line.after.text) == (7000, "Leave a message.")
    assert line.detector.done


@pytest.mark.parametrize("name", [Name.SIT, Name.CED])
def test_other_tones_behind_a_greeting_are_no_beep(name: Name) -> None:
    line = Line().say(500, 6000).tone(name, 6500, 7000).until(60_000)
    assert isinstance(line.after, GreetingEnd)


def test_a_long_silence_ends_the_greeting() -> None:
    line = Line().say(500, 6000).say(7000, 9000).until(60_000)
    now, after = line.found[1]
    assert (now, isinstance(after, GreetingEnd)) == (9000 + END_OF_GREETING_MS, True)
    assert isinstance(after, GreetingEnd)
    assert after.at == 9000
    assert line.tone(Name.BEEP, 13_000, 13_500).after is after


def test_the_beep_is_not_waited_for_for_ever() -> None:
    line = Line(beep=5000).say(500, 9000).tone(Name.BEEP, 9100, 9400).until(60_000)
    assert line.after is None
    assert line.detector.done


@pytest.mark.parametrize("name", [Name.BEEP, None])
def test_without_waiting_a_machine_is_all(name: Name | None) -> None:
    line = Line(beep=0).say(500, 1300)
    if name is not None:
        line.tone(name, 1500, 1900)
    line.say(2500, 9000).tone(Name.BEEP, 9100, 9400).until(60_000)
    assert line.verdict[0] is (Result.HUMAN if name is None else Result.MACHINE)
    assert line.after is None


def test_a_call_answered_in_the_middle_of_a_word() -> None:
    line = Line()
    line.detector.speaking(-300, 0)
    line.detector.silent(-100, 10)
    assert line.until(60_000).verdict == (Result.UNKNOWN, TIMEOUT)


def test_silence_may_be_told_again_and_again() -> None:
    line = Line().say(500, 1000)
    for now in range(1200, 1800, 100):
        line.detector.silent(1000, now)
    assert line.until(60_000).verdict == Line().say(500, 1000).until(60_000).verdict


FACTS = st.one_of(
    st.tuples(st.just("speak"), st.integers(-500, 500)),
    st.tuples(st.just("silent"), st.integers(-500, 0)),
    st.tuples(st.sampled_from(list(Name)), st.integers(0, 2000)),
    st.tuples(st.sampled_from(["Hello?", "leave a message", "who is this"]), st.integers(0, 1)),
)


def hundredths(low: int, high: int) -> st.SearchStrategy[float]:
    return st.integers(low, high).map(lambda number: number / 100)


MODELS = st.builds(
    Model,
    bias=hundredths(-200, 200),
    speech=hundredths(1, 300),
    pause=hundredths(1, 500),
    machine=hundredths(0, 400),
    human=hundredths(-400, 0),
)


@given(MODELS, st.integers(0, 700))
def test_a_limit_is_reached_when_it_is_due(model: Model, start: int) -> None:
    """However its moment is rounded; `Line.until` sees to it."""
    for end in (start + 300, 10_000):
        Line(timeout=9000, model=model).say(start, end, padding=0).until(60_000)


def test_a_limit_that_rounding_misses() -> None:
    model = Model(bias=-0.34, speech=0.75, machine=2.0)
    assert Line(model=model).say(608, 9000).until(60_000).verdict == (Result.MACHINE, 3728)


@given(
    st.lists(st.tuples(st.integers(0, 3000), FACTS), max_size=20),
    st.integers(0, 6000),
    st.integers(0, 20_000),
)
def test_one_verdict_in_time_and_one_end_at_most(
    rows: list[tuple[int, tuple[str, int]]], timeout: int, beep: int
) -> None:
    line, now = Line(timeout, beep), 0
    for later, (what, number) in rows:
        now += later
        line.until(now)
        match what:
            case "speak":
                line._take(now, line.detector.speaking(now + min(0, number), now))
            case "silent":
                line._take(now, line.detector.silent(now + number, now))
            case Name():
                line._take(now, line.detector.tone(what, now - number, now, now))
            case _:
                line._take(now, line.detector.heard(what, now, final=bool(number)))
        due = line.detector.due()
        assert due is None or line.detector.done is False
    line.until(60_000)
    (at, verdict), *rest = line.found
    assert isinstance(verdict, Verdict)
    assert at <= timeout
    assert 0 <= verdict.confidence <= 1
    assert line.detector.done
    assert line.detector.due() is None
    assert len(rest) <= (verdict.result is Result.MACHINE and beep > 0)
    assert all(isinstance(finding, Beep | GreetingEnd) for _, finding in rest)
