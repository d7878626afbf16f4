"""What the bot asks of the engine for a call: keys, noise, tones, recording, interruption by voice, quality."""

import numpy as np
import pytest
import soundfile

from control.api import models
from media.engine import tones
from media.engine.g711 import ULAW_ENCODE
from media.engine.reports import Interrupting
from media.session.state import State
from tests.support.sessions import Guest, House, idle

FRAME = 160


def spoken(pcm: "np.ndarray[tuple[int], np.dtype[np.int16]]") -> list[bytes]:
    """`pcm` as payloads of PCMU."""
    whole = pcm[: len(pcm) // FRAME * FRAME].reshape(-1, FRAME)
    return [ULAW_ENCODE[frame.view(np.uint16)].tobytes() for frame in whole]


async def talking(house: House, **option: object) -> Guest:
    """A guest whose call was accepted with `option` and is answered."""
    guest = house.guest()
    await guest.be_offered()
    await guest.do("accept", option=option)
    guest.tell(models.Answered, stream=house.stream(), sdp="v=0")
    return guest


async def test_keys_are_sent_as_telephone_events(house: House) -> None:
    guest = await talking(house)
    await guest.do("dtmf", digits="5a", duration=60, gap=40)
    house.tick(14)
    events = [packet for packet in house.far.read() if packet.payload_type == 101]
    assert [packet.payload[0] for packet in events if packet.marker] == [5, 12]
    assert sum(packet.payload[1] & 0x80 > 0 for packet in events) == 6


@pytest.mark.parametrize(
    ("fields", "code"), [({"digits": "5x"}, 400), ({"digits": "5", "duration": 1}, 400), ({"digits": 5}, 400)]
)
async def test_keys_that_are_none_are_refused(house: House, fields: dict[str, object], code: int) -> None:
    guest = await talking(house)
    await guest.do("dtmf", **fields)
    assert (guest.box.last("error")["code"], guest.state) == (code, State.TALKING)


async def test_keys_need_a_call(house: House) -> None:
    guest = house.guest()
    await guest.do("dtmf", digits="5")
    assert guest.box.last("error")["code"] == 409


async def test_tones_are_keys_when_asked_for(house: House) -> None:
    plain, listening = await talking(house), None
    for payload in spoken(tones.dtmf("7", 8000)):
        house.far.send(payload)
        house.tick()
    assert plain.box.all("dtmf") == []
    await plain.do("hangup")
    listening = await talking(house, dtmf={"inband": True})
    for payload in spoken(tones.dtmf("7", 8000)):
        house.far.send(payload)
        house.tick()
    assert [event["digit"] for event in listening.box.all("dtmf")] == ["7"]


async def test_a_recording_has_both_sides(house: House) -> None:
    guest = await talking(house, recorder={"recorderFile": "calls/{id}", "samplerate": 8000})
    await guest.do("tts", text="one two three")
    for _ in range(40):
        house.far.send(spoken(np.full(FRAME, 4000, np.int16))[0])
        house.tick()
        await idle(1)
    await guest.do("hangup")
    recorder = guest.session.services.recorder
    recorder.close()
    (file,) = recorder.folder.rglob("*.wav")
    pcm, rate = soundfile.read(file, dtype="int16")
    assert (rate, pcm.shape[1], len(pcm)) == (8000, 2, 40 * FRAME)
    assert np.abs(pcm[:, 0]).max() > 3000
    assert np.abs(pcm[:, 1]).max() > 500


async def test_a_recording_outside_its_folder_is_an_error_and_the_call_goes_on(house: House) -> None:
    guest = await talking(house, recorder={"recorderFile": "../other"})
    error = guest.box.last("error")
    assert (error["code"], error["sender"], guest.state) == (400, "recorder", State.TALKING)


async def test_voice_interrupts_by_itself_when_asked_to(house: House) -> None:
    guest = await talking(house, vad={"interrupt": True})
    await guest.do("tts", text="one two three four")
    await guest.hear("trackStart")
    assert guest.session.slot is not None
    house.happen(Interrupting(guest.session.slot, 480))
    assert guest.box.last("interruption")["subtitle"] == "one two three four"


async def test_the_end_says_how_the_call_sounded(house: House) -> None:
    guest = await talking(house)
    for number in range(50):
        if number % 10:
            house.far.send(b"\xff" * FRAME)
        else:
            house.far.sequence += 1
        house.tick()
    await guest.do("hangup")
    quality = guest.box.last("hangup")["quality"]
    assert quality["lossPercent"] == pytest.approx(10, abs=3)
    assert 1 < quality["mos"] < 4
