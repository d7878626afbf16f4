"""Phrases in recognised text."""

import pytest

from media.speech.amd import phrases


@pytest.mark.parametrize(
    "text",
    [
        "PLEASE LEAVE A MESSAGE AFTER THE TONE",
        "you’ve reached the office",
        "Bitte sprechen Sie nach dem Signalton.",
        "Unsere Öffnungszeiten sind von acht bis fünf",
        "Sie rufen außerhalb unserer Geschäftszeiten an",
        "veuillez laisser votre message, merci",
        "Deje su mensaje después de la señal",
        "deje su mensaje despues de la senal",
        "您好,请在提示音后留言",
        "對不起,您撥打的電話已關機",
    ],
)
def test_machines(text: str) -> None:
    assert phrases.machine(text)
    assert not phrases.human(text)


@pytest.mark.parametrize(
    "text", ["Hello, who is this?", "Meier am Apparat", "¿Quién es?", "你好,请问哪位?", "Allô, c'est qui ?"]
)
def test_people(text: str) -> None:
    assert phrases.human(text)
    assert not phrases.machine(text)


@pytest.mark.parametrize("text", ["", "Hello?", "the compressed onesie", "unavailables", "喂"])
def test_neither(text: str) -> None:
    assert not phrases.machine(text)
    assert not phrases.human(text)
