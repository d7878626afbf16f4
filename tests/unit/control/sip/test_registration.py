import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from control.sip.digest import Credentials
from control.sip.effects import (
    Effect,
    Headers,
    RegistrationChanged,
    RegistrationState,
    Send,
    StartTimer,
    StopTimer,
    Timer,
)
from control.sip.message import Response
from control.sip.registration import RegistrationClient
from control.sip.uri import parse_uri
from tests.support.siptext import OUR_TAG, challenge, field, response

US = "<sip:reg-pbx@198.51.100.1:5060>"
REGISTERED = RegistrationState.REGISTERED
FAILED = RegistrationState.FAILED
STOPPED = RegistrationState.STOPPED
REGISTERING = RegistrationState.REGISTERING


def client(
    credentials: Credentials | None = None, refresh_at: float = 0.8, retry: float = 30.0
) -> RegistrationClient:
    return RegistrationClient(
        registrar=parse_uri("sip:pbx.example.com"),
        aor=parse_uri("sip:bot@pbx.example.com"),
        contact=parse_uri("sip:reg-pbx@198.51.100.1:5060"),
        call_id="reg-1@us",
        local_tag=OUR_TAG,
        credentials=credentials,
        next_hop="sip:192.0.2.5",
        refresh_at=refresh_at,
        retry=retry,
    )


def sole(effects: list[Effect]) -> Send:
    (send,) = [effect for effect in effects if isinstance(effect, Send)]
    return send


def granted(sent: Send, contact: str = f"{US};expires=100", headers: Headers = ()) -> Response:
    return response(sent, 200, "OK", contact=contact, headers=headers)


def registered() -> RegistrationClient:
    registration = client()
    registration.on_response(granted(sole(registration.start())))
    return registration


def test_the_first_register() -> None:
    registration = client()

    assert registration.start() == [
        StopTimer(Timer.REFRESH),
        RegistrationChanged(REGISTERING, 0, ""),
        Send(
            "REGISTER",
            "sip:pbx.example.com",
            "sip:192.0.2.5",
            (
                ("From", f"<sip:bot@pbx.example.com>;tag={OUR_TAG}"),
                ("To", "<sip:bot@pbx.example.com>"),
                ("Call-ID", "reg-1@us"),
                ("CSeq", "1 REGISTER"),
                ("Max-Forwards", "70"),
                ("Contact", US),
                ("Expires", "600"),
            ),
        ),
    ]
    assert registration.start() == []


@pytest.mark.parametrize(
    ("contact", "headers", "seconds"),
    [
        (f"{US};expires=100", (), 100),
        (f"<sip:other@198.51.100.1:5060>;expires=5, {US};q=1;expires=100", (("Expires", "7"),), 100),
        ("<sip:reg-pbx@198.51.100.1>;expires=200", (), 200),
        (US, (("Expires", "300"),), 300),
        (f"{US};expires=soon", (("Expires", "300"),), 300),
        ("<sip:other@198.51.100.1>;expires=5", (), 600),
        ("", (), 600),
        (f"{US};expires=280297596632815", (), 86_400),
    ],
)
def test_the_granted_time_is_kept(contact: str, headers: Headers, seconds: int) -> None:
    registration = client()
    sent = sole(registration.start())

    assert registration.on_response(response(sent, 100)) == []
    assert registration.on_response(granted(sent, contact, headers)) == [
        RegistrationChanged(REGISTERED, 200, "OK", seconds),
        StartTimer(Timer.REFRESH, seconds * 0.8),
    ]


def test_a_grant_of_a_second_is_no_storm() -> None:
    registration = client()

    assert registration.on_response(granted(sole(registration.start()), f"{US};expires=1"))[-1] == StartTimer(
        Timer.REFRESH, 1.0
    )


def test_a_grant_of_nothing_is_a_failure() -> None:
    registration = client()

    assert registration.on_response(granted(sole(registration.start()), f"{US};expires=0")) == [
        RegistrationChanged(FAILED, 200, "the registrar granted no time"),
        StartTimer(Timer.REFRESH, 30.0),
    ]


def test_a_refresh_is_only_reported_when_it_fails() -> None:
    registration = registered()

    assert registration.on_timer(Timer.ACK) == []
    (again,) = registration.on_timer(Timer.REFRESH)

    assert isinstance(again, Send)
    assert (field(again, "CSeq"), field(again, "Call-ID")) == ("2 REGISTER", "reg-1@us")
    assert registration.on_timer(Timer.REFRESH) == []
    assert registration.on_response(granted(again)) == [StartTimer(Timer.REFRESH, 80.0)]
    third = sole(registration.on_timer(Timer.REFRESH))
    assert registration.on_response(response(third, 503, "Busy")) == [
        RegistrationChanged(FAILED, 503, "Busy"),
        StartTimer(Timer.REFRESH, 30.0),
    ]


def test_a_challenge_is_answered_once() -> None:
    registration = client(Credentials("bot", "secret"))
    sent = sole(registration.start())

    again = sole(registration.on_response(challenge(sent)))

    assert field(again, "CSeq") == "2 REGISTER"
    assert 'uri="sip:pbx.example.com"' in (field(again, "Authorization") or "")
    assert registration.on_response(challenge(sent)) == []
    report, timer = registration.on_response(challenge(again, nonce="n2"))
    assert isinstance(report, RegistrationChanged)
    assert (report.state, report.code) == (FAILED, 401)
    assert "refused the credentials" in report.reason
    assert timer == StartTimer(Timer.REFRESH, 30.0)


def test_each_register_may_be_challenged_anew() -> None:
    registration = client(Credentials("bot", "secret"))
    first = sole(registration.on_response(challenge(sole(registration.start()))))
    registration.on_response(granted(first))

    refresh = sole(registration.on_timer(Timer.REFRESH))

    assert field(refresh, "Authorization") is None
    assert field(sole(registration.on_response(challenge(refresh))), "CSeq") == "4 REGISTER"


def test_a_stale_nonce_is_replaced() -> None:
    registration = client(Credentials("bot", "secret"))
    again = sole(registration.on_response(challenge(sole(registration.start()))))

    assert sole(registration.on_response(challenge(again, nonce="n2", stale=True)))


def test_without_credentials_a_challenge_is_a_failure() -> None:
    registration = client()

    report, _ = registration.on_response(challenge(sole(registration.start())))

    assert isinstance(report, RegistrationChanged)
    assert "none are configured" in report.reason


def test_a_longer_time_is_asked_for_when_the_registrar_wants_it() -> None:
    registration = client()
    sent = sole(registration.start())

    again = sole(registration.on_response(response(sent, 423, headers=(("Min-Expires", "1800"),))))

    assert field(again, "Expires") == "1800"
    assert registration.on_response(response(again, 423, "Brief", headers=(("Min-Expires", "1800"),))) == [
        RegistrationChanged(FAILED, 423, "Brief"),
        StartTimer(Timer.REFRESH, 30.0),
    ]


@pytest.mark.parametrize("headers", [(), (("Min-Expires", "86401"),)])
def test_an_absurd_minimum_is_a_failure(headers: Headers) -> None:
    registration = client()

    report, _ = registration.on_response(response(sole(registration.start()), 423, headers=headers))

    assert isinstance(report, RegistrationChanged)
    assert report.state is FAILED


def test_pauses_double_and_start_anew_after_success() -> None:
    registration = client(retry=200.0)
    pauses = []
    sent = sole(registration.start())
    for _ in range(4):
        *_, timer = registration.on_timeout(408)
        assert isinstance(timer, StartTimer)
        pauses.append(timer.seconds)
        effects = registration.on_timer(Timer.REFRESH)
        assert effects[0] == RegistrationChanged(REGISTERING, 0, "")
        sent = sole(effects)

    assert pauses == [200.0, 400.0, 600.0, 600.0]
    registration.on_response(granted(sent))
    registration.on_timer(Timer.REFRESH)
    assert registration.on_timeout() == [
        RegistrationChanged(FAILED, 408, "Request Timeout"),
        StartTimer(Timer.REFRESH, 200.0),
    ]


@pytest.mark.parametrize(
    ("value", "pause"), [("120", 120.0), ("5 (soon)", 5.0), ("0", 30.0), ("999999", 3600.0)]
)
def test_retry_after_is_honoured(value: str, pause: float) -> None:
    registration = client()

    effects = registration.on_response(
        response(sole(registration.start()), 503, headers=(("Retry-After", value),))
    )

    assert effects[-1] == StartTimer(Timer.REFRESH, pause)


def test_start_tries_again_at_once() -> None:
    registration = client()
    registration.start()
    registration.on_timeout()

    assert field(sole(registration.start()), "CSeq") == "2 REGISTER"


def test_stop_takes_the_binding_back() -> None:
    registration = registered()

    stop, sent = registration.stop()

    assert stop == StopTimer(Timer.REFRESH)
    assert isinstance(sent, Send)
    assert (field(sent, "Expires"), field(sent, "Contact")) == ("0", US)
    assert registration.stop() == []
    assert registration.on_timer(Timer.REFRESH) == []
    assert registration.on_response(response(sent, 200, "OK", contact="")) == [
        RegistrationChanged(STOPPED, 200, "OK")
    ]
    assert registration.on_response(response(sent, 200, "OK")) == []
    assert registration.state is STOPPED


def test_a_timer_that_fires_late_does_nothing() -> None:
    assert client().on_timer(Timer.REFRESH) == []


def test_stop_answers_a_challenge() -> None:
    registration = client(Credentials("bot", "secret"))
    registration.on_response(granted(sole(registration.start())))

    again = sole(registration.on_response(challenge(sole(registration.stop()))))

    assert field(again, "Expires") == "0"


def test_stop_ends_even_when_the_registrar_is_gone() -> None:
    registration = registered()
    registration.stop()

    assert registration.on_timeout(408, 99) == []
    assert registration.on_timeout(408, 2) == [RegistrationChanged(STOPPED, 408, "Request Timeout")]
    assert registration.on_timeout() == []


def test_stop_without_a_binding_sends_nothing() -> None:
    assert client().stop() == [StopTimer(Timer.REFRESH), RegistrationChanged(STOPPED, 0, "")]


def test_stop_while_registering_ignores_the_first_outcome() -> None:
    registration = client()
    first = sole(registration.start())
    registration.stop()

    assert registration.on_response(granted(first)) == []


def test_it_can_be_started_again() -> None:
    registration = registered()
    registration.on_response(response(sole(registration.stop()), 200))

    assert field(sole(registration.start()), "Expires") == "600"


@pytest.mark.parametrize("part", [0.5, 1.0])
def test_refreshing_too_early_or_late_is_an_error(part: float) -> None:
    with pytest.raises(ValueError, match="refresh_at"):
        client(refresh_at=part)


class Registration(RuleBasedStateMachine):
    """In any order: reports tell of changes only, one REGISTER is on its way, and there is always a next step."""

    @initialize(credentials=st.sampled_from([None, Credentials("u", "p")]))
    def begin(self, credentials: Credentials | None) -> None:
        self.client = client(credentials)
        self.sent: list[Send] = []
        self.waiting = False
        self.timer = False
        self.state = RegistrationState.UNREGISTERED

    def take(self, effects: list[Effect]) -> None:
        for effect in effects:
            match effect:
                case Send():
                    self.sent.append(effect)
                    self.waiting = True
                case StartTimer(timer=Timer.REFRESH, seconds=seconds):
                    assert 1.0 <= seconds <= 86_400
                    self.timer = True
                case StopTimer(timer=Timer.REFRESH):
                    self.timer = False
                case RegistrationChanged(state=state):
                    assert state is not self.state
                    self.state = state
                case _:
                    pytest.fail(f"unexpected {effect}")
        if self.client.state in (REGISTERED, REGISTERING, FAILED):
            assert self.state is self.client.state
            assert self.waiting or self.timer
        numbers = [int((field(send, "CSeq") or "").split()[0]) for send in self.sent]
        assert numbers == list(range(1, len(numbers) + 1))

    @rule()
    def start(self) -> None:
        self.take(self.client.start())

    @rule()
    def stop(self) -> None:
        if self.state is not STOPPED:
            self.state = (
                RegistrationState.UNREGISTERED
            )  # STOPPED is reported later, or never after a new start.
        self.take(self.client.stop())

    @precondition(lambda self: self.timer)
    @rule()
    def fires(self) -> None:
        self.timer = False
        self.take(self.client.on_timer(Timer.REFRESH))

    @precondition(lambda self: self.sent)
    @rule(
        back=st.integers(1, 3),
        code=st.sampled_from([100, 200, 200, 302, 401, 407, 423, 503]),
        contact=st.sampled_from(["", US, f"{US};expires=90", f"{US};expires=0"]),
        header=st.sampled_from([("Min-Expires", "900"), ("Retry-After", "7"), ("Expires", "60")]),
        stale=st.booleans(),
    )
    def response(self, back: int, code: int, contact: str, header: tuple[str, str], stale: bool) -> None:
        sent = self.sent[-min(back, len(self.sent))]
        if sent is self.sent[-1] and code >= 200:
            self.waiting = False
        if code in (401, 407):
            self.take(self.client.on_response(challenge(sent, code, stale=stale)))
        else:
            self.take(self.client.on_response(response(sent, code, contact=contact, headers=(header,))))

    @rule(code=st.sampled_from([408, 503]))
    def timeout(self, code: int) -> None:
        self.waiting = False
        self.take(self.client.on_timeout(code))


TestRegistration = Registration.TestCase
TestRegistration.settings = settings(max_examples=150, stateful_step_count=25, deadline=None)
