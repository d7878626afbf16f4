import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control.errors import CommandError
from media.api import commands
from media.api.commands import parse
from media.api.options import Model, RecorderOption

SDP = "v=0\r\no=- 1234567890 2 IN IP4 127.0.0.1\r\n..."
ASR = {
    "provider": "tencent",
    "secretId": "your_secret_id",
    "secretKey": "your_secret_key",
    "region": "ap-beijing",
}
SIP = {
    "username": "transfer_user",
    "password": "transfer_password",
    "realm": "example.com",
    "headers": {"X-Transfer-Source": "pbx"},
}
REFER_OPTIONS = {
    "denoise": True,
    "timeout": 30,
    "moh": "http://example.com/hold_music.wav",
    "asr": {**ASR, "model": "16k_zh"},
    "autoHangup": True,
    "sip": SIP,
}
FULL_OPTION = {
    "denoise": True,
    "offer": "SDP offer string",
    "callee": "sip:callee@example.com",
    "caller": "sip:caller@example.com",
    "recorder": {"recorderFile": "/path/to/recording.wav", "samplerate": 16000, "ptime": 20},
    "asr": {**ASR, "modelType": "16k_zh"},
    "vad": {"enable": True, "aggressiveness": 2},
    "tts": {"provider": "tencent", "secretId": "i", "secretKey": "k", "speaker": "xiaoyan"},
    "handshakeTimeout": "30s",
    "enableIpv6": False,
    "sip": {
        "username": "user",
        "password": "password",
        "realm": "example.com",
        "headers": {"X-Custom-Header": "value"},
    },
    "extra": {"custom_field": "custom_value"},
    "codec": "g722",
    "eou": {
        "type": "tencent",
        "endpoint": "https://api.example.com",
        "secretKey": "your_secret_key",
        "secretId": "your_secret_id",
        "timeout": 5000,
    },
}
DOCUMENTED: dict[str, dict[str, Any]] = {
    "invite": {
        "command": "invite",
        "option": {
            "caller": "sip:alice@example.com",
            "callee": "sip:bob@example.com",
            "offer": SDP,
            "codec": "g722",
            "denoise": True,
            "asr": {"provider": "tencent", "secretId": "your_secret_id", "secretKey": "your_secret_key"},
            "tts": {"provider": "tencent", "speaker": "xiaoyan"},
        },
    },
    "invite with all options": {"command": "invite", "option": FULL_OPTION},
    "accept": {
        "command": "accept",
        "option": {
            "caller": "sip:alice@example.com",
            "callee": "sip:bob@example.com",
            "codec": "g722",
            "recorder": {"enable": True, "format": "wav"},
        },
    },
    "reject": {"command": "reject", "reason": "Busy", "code": 486},
    "ringing": {
        "command": "ringing",
        "recorder": False,
        "earlyMedia": True,
        "ringtone": "http://example.com/ringtone.wav",
    },
    "tts": {
        "command": "tts",
        "text": "Hello, this is a test message",
        "speaker": "xiaoyan",
        "playId": "unique_play_id",
        "autoHangup": False,
        "streaming": False,
        "endOfStream": False,
        "waitInputTimeout": 30,
        "option": {"provider": "tencent", "speaker": "xiaoyan", "volume": 5, "speed": 1.0},
    },
    "play": {
        "command": "play",
        "url": "http://example.com/audio.mp3",
        "autoHangup": False,
        "waitInputTimeout": 30,
    },
    "interrupt": {"command": "interrupt"},
    "pause": {"command": "pause"},
    "resume": {"command": "resume"},
    "refer": {
        "command": "refer",
        "caller": "sip:alice@example.com",
        "callee": "sip:charlie@example.com",
        "options": REFER_OPTIONS,
    },
    "mute": {"command": "mute", "trackId": "track-123"},
    "unmute": {"command": "unmute", "trackId": "track-123"},
    "hangup": {"command": "hangup", "reason": "user_requested", "initiator": "user"},
    "history": {"command": "history", "speaker": "user", "text": "Hello, I need help with my account"},
}
MANDATORY = {
    "invite": ["option"],
    "accept": ["option"],
    "reject": ["reason"],
    "tts": ["text"],
    "play": ["url"],
    "refer": ["caller", "callee"],
    "history": ["speaker", "text"],
}
EXAMPLES = pytest.mark.parametrize("example", DOCUMENTED.values(), ids=DOCUMENTED)


def read(data: object) -> Any:
    return parse(json.dumps(data))


def refusal(data: object) -> str:
    with pytest.raises(CommandError) as caught:
        read(data)
    assert caught.value.code == 400
    return str(caught.value)


def with_extra_keys(value: object) -> object:
    if isinstance(value, dict):
        inside = {k: v if k in ("headers", "extra") else with_extra_keys(v) for k, v in value.items()}
        return inside | {"somethingNew": {"a": [1, None]}, "mediaPass": None}
    return value


def given_keys(value: object) -> object:
    """A model's given fields, in the shape of the JSON it was read from."""
    assert isinstance(value, Model)
    return value.model_dump(mode="json", by_alias=True, exclude_unset=True)


@EXAMPLES
def test_every_documented_example_is_read_without_loss(example: dict[str, Any]) -> None:
    command = read(example)
    assert command.command == example["command"]
    expected = json.loads(json.dumps(example).replace('"modelType"', '"model"').replace('"30s"', "30.0"))
    if example["command"] == "ringing":
        expected["recorder"] = None
    assert given_keys(command) == expected


@EXAMPLES
def test_unknown_keys_are_ignored_everywhere(example: dict[str, Any]) -> None:
    assert read(with_extra_keys(example)) == read(example)


@EXAMPLES
def test_bytes_and_text_give_the_same(example: dict[str, Any]) -> None:
    assert parse(json.dumps(example).encode()) == read(example)


@EXAMPLES
def test_optional_fields_may_be_absent_or_null(example: dict[str, Any]) -> None:
    needed = ["command", *MANDATORY.get(example["command"], [])]
    least = {key: example[key] for key in needed}
    if "option" in least:
        least["option"] = {}
    nulled = {key: least.get(key) for key in example}
    if "option" in least:
        nulled["option"] = dict.fromkeys(FULL_OPTION)
    assert read(least) == read(nulled)
    assert read(nulled).model_fields_set == set(needed)


@pytest.mark.parametrize(("name", "field"), [(n, f) for n, fields in MANDATORY.items() for f in fields])
def test_a_missing_mandatory_field_is_named(name: str, field: str) -> None:
    without = {key: value for key, value in DOCUMENTED[name].items() if key != field}
    assert refusal(without) == f'command "{name}": field "{field}" is missing'
    assert refusal(without | {field: None}) == f'command "{name}": field "{field}" is missing'


OPTION = {"command": "invite", "option": {}}


@pytest.mark.parametrize(
    ("path", "value", "complaint"),
    [
        ("option", [], "must be an object, got a list"),
        ("option.caller", 5, "must be text, got a number"),
        ("option.caller", "sip:a@b\r\nEvil: 1", "must be one line without control characters"),
        ("option.caller", "x" * 1025, "must have at most 1024 characters"),
        ("option.denoise", "true", "must be true or false, got text"),
        ("option.denoise", 1, "must be true or false, got a number"),
        ("option.enableIpv6", [], "must be true or false, got a list"),
        ("option.offer", {}, "must be text, got an object"),
        ("option.codec", 8, "must be text, got a number"),
        ("option.extra", "x", "must be an object, got text"),
        ("option.handshakeTimeout", "soon", 'must be seconds: 30, "30" or "30s"'),
        ("option.handshakeTimeout", False, "must be a number, got true or false"),
        ("option.handshakeTimeout", -1, "must be 0 to 86400, got -1"),
        ("option.inactivityTimeout", "30", "must be a number, got text"),
        ("option.recorder", "yes", "must be an object, got text"),
        ("option.recorder.samplerate", 7999, "must be 8000 to 48000, got 7999"),
        ("option.recorder.ptime", 2.5, "must be a whole number, got 2.5"),
        ("option.recorder.format", "mp3", "must be one of wav, pcm, pcmu, pcma, g722, ogg"),
        ("option.vad.aggressiveness", 4, "must be 0 to 3, got 4"),
        ("option.vad.aggressiveness", "2", "must be a whole number, got text"),
        ("option.vad.voiceThreshold", 1.5, "must be 0 to 1, got 1.5"),
        ("option.vad.silenceTimeout", 1e300, "must be 0 to 86400000, got a huge number"),
        ("option.asr.provider", True, "must be text, got true or false"),
        ("option.asr.startWhenAnswer", "no", "must be true or false, got text"),
        ("option.tts.volume", 101, "must be 0 to 100, got 101"),
        ("option.tts.speed", "fast", "must be a number, got text"),
        ("option.tts.maxConcurrentTasks", 0, "must be 1 to 100, got 0"),
        ("option.eou.timeout", "5s", "must be a whole number, got text"),
        ("option.sip.headers", [], "must be an object, got a list"),
        ("option.sip.headers", {"Via": "x"}, "must not set Via: the server writes this header itself"),
        (
            "option.sip.headers",
            {"X A": "x"},
            "has a name that is no SIP header name (letters, digits and '-')",
        ),
        ("option.sip.headers", {"X-A": "a\r\nb"}, "must have in X-A one line of at most 2048 characters"),
        ("option.sip.headers", {f"X-{n}": "" for n in range(65)}, "must have at most 64 headers, got 65"),
        ("option.sip.hangup_headers", {"l": "0"}, "must not set l: the server writes this header itself"),
    ],
)
def test_a_wrong_option_is_named_with_its_path(path: str, value: object, complaint: str) -> None:
    for key in reversed(path.split(".")):
        value = {key: value}
    assert isinstance(value, dict)
    assert refusal({"command": "invite", **value}) == f'command "invite": "{path}" {complaint}'


@pytest.mark.parametrize(
    ("command", "complaint"),
    [
        ({"command": "reject", "reason": "x", "code": 200}, '"code" must be 400 to 699, got 200'),
        ({"command": "reject", "reason": 486}, '"reason" must be text, got a number'),
        ({"command": "ringing", "recorder": 1}, '"recorder" must be an object, got a number'),
        ({"command": "ringing", "earlyMedia": "no"}, '"earlyMedia" must be true or false, got text'),
        ({"command": "tts", "text": ["a"]}, '"text" must be text, got a list'),
        ({"command": "tts", "text": "a", "playId": 7}, '"playId" must be text, got a number'),
        ({"command": "tts", "text": "a", "waitInputTimeout": "5"}, '"waitInputTimeout" must be a number, got text'),
        ({"command": "tts", "text": "a" * 100_001}, '"text" must have at most 100000 characters, got 100001'),
        ({"command": "play", "url": ""}, '"url" must not be empty'),
        ({"command": "interrupt", "graceful": 1}, '"graceful" must be true or false, got a number'),
        ({"command": "interrupt", "fadeOutMs": -1}, '"fadeOutMs" must be 0 to 86400000, got -1'),
        ({"command": "refer", "caller": "a", "callee": "b", "options": 1}, '"options" must be an object, got a number'),
        ({"command": "mute", "trackId": 1}, '"trackId" must be text, got a number'),
        ({"command": "unmute", "trackId": {}}, '"trackId" must be text, got an object'),
        ({"command": "hangup", "headers": {"X-A": 5}}, '"headers.X-A" must be text, got a number'),
        ({"command": "history", "speaker": "u", "text": 1}, '"text" must be text, got a number'),
    ],
)  # fmt: skip
def test_a_wrong_field_is_named(command: dict[str, Any], complaint: str) -> None:
    assert refusal(command) == f'command "{command["command"]}": {complaint}'


def test_several_faults_are_told_together_but_not_all() -> None:
    wrong = {"caller": 1, "callee": 2, "offer": 3, "codec": 4}
    message = refusal({"command": "invite", "option": wrong})
    assert message.count("must be text") == 3


@pytest.mark.parametrize("option", ["asr", "tts", "eou"])
def test_no_message_repeats_a_text_that_was_given(option: str) -> None:
    secret = "s3cret-value"
    wrong = {"secretKey": [secret], "provider": {"k": secret}, "endpoint": secret + "\n"}
    assert secret not in refusal(
        {"command": "invite", "option": {option: wrong, "sip": {"password": [secret]}}}
    )


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "the command is not JSON: EOF"),
        ("hello", "the command is not JSON: expected"),
        ('{"command": "pause"', "the command is not JSON: EOF"),
        ('{"command": NaN}', "the command is not JSON: expected"),
        ("[" * 10_000, "the command is not JSON: recursion limit"),
        ('{"command":"pause","x":"\ud800"}', "the command is not JSON: it has half a surrogate pair"),
        ("[]", "a command must be a JSON object, got a list"),
        ("null", "a command must be a JSON object, got null"),
        ("5", "a command must be a JSON object, got a number"),
        ("{}", 'the field "command" is missing'),
        ('{"command": null}', 'the field "command" is missing'),
        ('{"command": 5}', 'the field "command" must be text, got a number'),
        ('{"command": "explode"}', 'unknown command "explode"; there are accept, dtmf, hangup, history,'),
        ('{"command": "pause", "x": 1e999}', "the command holds a number too large to be used"),
    ],
)
def test_what_is_no_command_is_refused(text: str, complaint: str) -> None:
    with pytest.raises(CommandError) as caught:
        parse(text)
    assert str(caught.value).startswith(complaint)
    assert caught.value.code == 400


def test_a_command_may_have_a_megabyte() -> None:
    frame = '{"command":"tts","base64":true,"text":"%s"}'
    room = commands.MAX_COMMAND - len(frame) + 2
    assert parse(frame % ("A" * room)).command == "tts"
    with pytest.raises(CommandError, match="this one has 1048577") as caught:
        parse(frame % ("A" * (room + 1)))
    assert caught.value.code == 413
    with pytest.raises(CommandError, match="1048576 bytes"):
        parse("ü" * (commands.MAX_COMMAND // 2 + 1))


def test_extensions_of_later_servers() -> None:
    assert read({"command": "play", "url": "a.wav", "playId": "p"}).play_id == "p"
    interrupt = read({"command": "interrupt", "graceful": True, "fadeOutMs": 200})
    assert (interrupt.graceful, interrupt.fade_out_ms) == (True, 200)
    hangup = read({"command": "hangup", "headers": {"X-Why": "done"}})
    assert hangup.headers == {"X-Why": "done"}
    option = {
        "subscribe": True,
        "asr": {"sampleRate": 16000, "modelType": "m", "startWhenAnswer": True},
        "tts": {"sampleRate": 8000, "model": "n", "maxConcurrentTasks": 3},
        "recorder": {"sampleRate": 8000, "format": "WAV"},
        "vad": {"type": "silero", "speechPadding": 160, "silencePadding": 200, "silenceTimeout": 5000},
        "sip": {"hangup_headers": {"X-A": "1"}},
    }
    read_option = read({"command": "accept", "option": option}).option
    assert read_option.subscribe
    assert (read_option.asr.samplerate, read_option.asr.model) == (16000, "m")
    assert (read_option.tts.samplerate, read_option.tts.model) == (8000, "n")
    assert (read_option.recorder.samplerate, read_option.recorder.format) == (8000, "wav")
    assert read_option.vad.silence_timeout == 5000
    assert read_option.sip.hangup_headers == {"X-A": "1"}
    camel = read(
        {"command": "invite", "option": {"sip": {"hangupHeaders": {"X-A": "1"}}, "enableIPv6": True}}
    )
    assert camel.option.sip.hangup_headers == {"X-A": "1"}
    assert camel.option.enable_ipv6


@pytest.mark.parametrize(
    ("given_timeout", "seconds"),
    [(30, 30.0), (30.0, 30.0), ("30", 30.0), ("30s", 30.0), (" 1.5 s ", 1.5), (0, 0.0)],
)
def test_handshake_timeout_in_all_its_forms(given_timeout: object, seconds: float) -> None:
    option = {"handshakeTimeout": given_timeout}
    assert read({"command": "invite", "option": option}).option.handshake_timeout == seconds


def test_whole_numbers_may_be_written_as_floats() -> None:
    option = {"vad": {"aggressiveness": 2.0}, "recorder": {"ptime": 20.0}}
    read_option = read({"command": "invite", "option": option}).option
    assert (read_option.vad.aggressiveness, read_option.recorder.ptime) == (2, 20)
    assert type(read_option.vad.aggressiveness) is int


@pytest.mark.parametrize(
    ("recorder", "expected"),
    [
        (True, RecorderOption()),
        (False, None),
        (None, None),
        ({"recorderFile": "a.wav"}, RecorderOption(recorder_file="a.wav")),
    ],
)
def test_ringing_takes_a_recorder_as_switch_or_option(recorder: object, expected: object) -> None:
    assert read({"command": "ringing", "recorder": recorder}).recorder == expected


@pytest.mark.parametrize(
    ("given_wait", "seconds"),
    [(None, None), (0, None), (0.5, 0.5), (30, 30.0), (600, 600.0), (601, 0.601), (5000, 5.0)],
)
def test_wait_input_timeout_is_seconds_or_old_milliseconds(given_wait: object, seconds: float | None) -> None:
    assert read({"command": "play", "url": "a", "waitInputTimeout": given_wait}).input_seconds == seconds


def test_a_reason_never_stands_in_the_way_of_a_hangup() -> None:
    hangup = read({"command": "hangup", "reason": "line\r\nbreak\x00" + "x" * 1000})
    assert hangup.reason.startswith("line break x")
    assert len(hangup.reason) == 256


def test_base64_text_is_samples() -> None:
    pcm = bytes(range(8))
    command = read({"command": "tts", "base64": True, "text": base64.b64encode(pcm).decode()})
    assert command.pcm() == pcm
    long = base64.b64encode(bytes(120_000)).decode()
    assert len(read({"command": "tts", "base64": True, "text": long}).pcm()) == 120_000


@pytest.mark.parametrize(
    ("text", "complaint"), [("?", "is not base64"), ("ü", "is not base64"), ("AAAA", "holds 3 bytes")]
)
def test_bad_base64_is_refused(text: str, complaint: str) -> None:
    command = read({"command": "tts", "base64": True, "text": text})
    with pytest.raises(CommandError, match=complaint):
        command.pcm()


def test_commands_can_be_made_in_code() -> None:
    made = commands.Play(url="a.wav", play_id="p")
    assert made == read({"command": "play", "url": "a.wav", "playId": "p"})


def test_all_commands_of_the_document_are_there() -> None:
    extensions = {"dtmf"}
    assert set(commands.NAMES) == {name.split()[0] for name in DOCUMENTED} | extensions


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(st.binary() | st.text())
def test_arbitrary_frames_give_a_command_error(frame: bytes | str) -> None:
    with pytest.raises(CommandError):
        parse(frame)


@given(json_values)
def test_arbitrary_json_gives_a_command_error(value: object) -> None:
    with pytest.raises(CommandError):
        parse(json.dumps(value))


KEYS = sorted({key for example in DOCUMENTED.values() for key in example} - {"command"})
OPTION_KEYS = sorted({*FULL_OPTION, *REFER_OPTIONS, "hangup_headers", "subscribe", "sampleRate", "volume"})


@given(
    st.sampled_from(commands.NAMES),
    st.dictionaries(
        st.sampled_from(KEYS),
        json_values | st.dictionaries(st.sampled_from(OPTION_KEYS), json_values, max_size=6),
        max_size=6,
    ),
)
def test_arbitrary_fields_give_a_command_or_a_command_error(name: str, data: dict[str, Any]) -> None:
    try:
        command = read({**data, "command": name})
    except CommandError:
        return
    assert command.command == name
