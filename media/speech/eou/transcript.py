"""The text of one turn, put together from what a recogniser tells of its utterances. Sans-I/O.

A recogniser cuts utterances as it likes: one turn may have several, and one utterance may reach over the end of a
turn. What of it belongs to the turn before is counted in letters, since the final text of an utterance has other
marks and other capitals than those before it.
"""


class Transcript:
    """The text since `restart`."""

    def __init__(self) -> None:
        self._settled = ""
        self._pending = ""
        """Of the utterance that is not final yet."""
        self._uttered = self._spent = 0
        """Letters of that utterance; how many of them belong to what was before."""

    @property
    def text(self) -> str:
        """All that was said."""
        return f"{self._settled} {self._pending}".strip()

    def heard(self, text: str, *, final: bool, old: bool = False) -> bool:
        """The utterance's whole text by now; `old`: it was said before. Whether `self.text` has changed."""
        before = self.text
        self._uttered = _letters(text)
        if old:
            self._spent = self._uttered
        self._pending = _behind(text, self._spent) if self._uttered > self._spent else ""
        if final:
            self._settled = self.text
            self._pending = ""
            self._uttered = self._spent = 0
        return self.text != before

    def restart(self) -> None:
        """What was said so far is of no interest any more."""
        self._settled = self._pending = ""
        self._spent = self._uttered

    def fresh(self) -> None:
        """The utterance that is told next was begun after the last `restart`: all of it counts."""
        self._spent = 0

    @property
    def within(self) -> bool:
        """Whether an utterance has begun and is not final."""
        return self._uttered > 0


def _letters(text: str) -> int:
    return sum(map(str.isalnum, text))


def _behind(text: str, letters: int) -> str:
    """`text`, which has more letters, without the first `letters` and the marks that follow them."""
    if letters == 0:
        return text.strip()
    places = [index for index, character in enumerate(text) if character.isalnum()]
    return text[places[letters] :].strip()
