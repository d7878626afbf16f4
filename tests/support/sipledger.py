"""Keeps the books of a SIP machine: every effect is checked against the promises that all machines give."""

from collections.abc import Iterable

from control.sip.effects import (
    CancelInvite,
    Effect,
    Ended,
    Offered,
    Reply,
    Report,
    Send,
    StartTimer,
    StopTimer,
    Timer,
)


class Ledger:
    """Replies go to open transactions, one final each; `Ended` comes once, last, with no loose ends."""

    def __init__(self, *, forks: bool = False) -> None:
        """`forks`: ACK and BYE may be sent after the end, to other branches of a forked INVITE."""
        self.open: set[str] = set()
        """Transactions of the peer that wait for a final response."""
        self.timers: set[Timer] = set()
        self.sent: list[Send] = []
        self.offers: list[str] = []
        self.reports: list[Report] = []
        self.ended: Ended | None = None
        self._forks = forks
        self._transactions = 0

    def receive(self) -> str:
        """The transaction of a new request of the peer."""
        self._transactions += 1
        transaction = f"1:{self._transactions}"
        self.open.add(transaction)
        return transaction

    def take(self, effects: Iterable[Effect]) -> None:
        """Check and note effects in order."""
        for effect in effects:
            self._take(effect)
        if self.ended:
            assert not self.open, f"never answered: {self.open}"
            assert not self.timers, f"still running: {self.timers}"

    def _take(self, effect: Effect) -> None:
        match effect:
            case Reply(transaction=transaction, code=code):
                assert transaction in self.open, f"{code} for {transaction}, which is not open"
                assert not self.ended or code == 481
                if code >= 200:
                    self.open.remove(transaction)
            case Send(method=method):
                assert not self.ended or (self._forks and method in ("ACK", "BYE")), f"{method} after the end"
                self.sent.append(effect)
            case CancelInvite():
                assert not self.ended
            case StartTimer(timer=timer):
                assert not self.ended
                self.timers.add(timer)
            case StopTimer(timer=timer):
                self.timers.discard(timer)
            case _:
                assert not self.ended, f"{effect} after the end"
                self.reports.append(effect)
                if isinstance(effect, Ended):
                    self.ended = effect
                if isinstance(effect, Offered):
                    self.offers.append(effect.transaction)
