"""What machines and people say when they answer, in a few languages: a small table, to be found in recognised text."""

import unicodedata

_MACHINE = (
    # English
    "leave a message", "leave your message", "leave me a message", "leave your name", "leave a short message",
    "after the tone", "after the beep", "at the tone", "after the signal", "record your message",
    "not available", "unavailable", "cannot take your call", "can't take your call", "can't come to the phone",
    "cannot come to the phone", "unable to take your call", "sorry i missed your call", "call you back as soon",
    "voicemail", "voice mail", "voice message", "mailbox", "answering machine", "you have reached", "you've reached",
    "has been forwarded", "the number you have dialed", "the number you have dialled", "the person you are calling",
    "not in service", "has been disconnected", "cannot be completed", "press one", "press 1", "stay on the line",
    "is being recorded", "please state your name", "our opening hours", "our office is closed",
    # German
    "nachricht nach dem", "nach dem ton", "nach dem signalton", "nach dem piep", "hinterlassen sie",
    "hinterlass mir", "hinterlasst", "anrufbeantworter", "mailbox", "mobilbox", "sprachbox", "nicht erreichbar",
    "nicht zu erreichen", "sie haben den anschluss", "dies ist der anschluss", "kein anschluss unter dieser nummer",
    "ausserhalb unserer geschaftszeiten", "unsere offnungszeiten", "drucken sie die", "bitte haben sie etwas geduld",
    # French
    "laissez un message", "laissez moi un message", "laisser un message", "laisser votre message",
    "laissez votre message", "apres le bip", "apres le signal", "repondeur", "messagerie", "boite vocale",
    "n'est pas disponible", "vous etes bien chez", "pas la pour le moment", "merci de patienter", "tapez un",
    "n'est pas attribue",
    # Spanish
    "deje su mensaje", "deje un mensaje", "deja un mensaje", "deja tu mensaje", "despues de la senal",
    "despues del tono", "buzon de voz", "contestador", "no esta disponible", "apagado o fuera de cobertura",
    "ha llamado a", "ahora no puedo atender", "pulse uno", "nuestro horario",
    # Chinese
    "请留言", "后留言", "提示音", "嘀声", "语音信箱", "无法接听", "暂时无法接通", "已关机", "您拨打的", "不方便接电话",
    "请按一", "請留言", "後留言", "語音信箱", "您撥打的",
)  # fmt: skip
_HUMAN = (
    "who is this", "who's this", "who is it", "who is there", "who's there", "who am i talking to", "anybody there",
    "how can i help", "how may i help", "speaking", "what's up", "hang on",
    "wer ist da", "wer spricht", "am apparat", "was kann ich fur sie tun",
    "c'est qui", "qui est a l'appareil", "a l'appareil",
    "quien es", "digame", "con quien hablo",
    "哪位", "谁啊", "誰啊",
)  # fmt: skip


def _plain(text: str) -> str:
    """Lower case, no accents, no punctuation but apostrophes, single spaces."""
    decomposed = unicodedata.normalize("NFKD", text.casefold().replace("’", "'"))
    kept = (char for char in decomposed if not unicodedata.combining(char))
    spaced = "".join(char if char.isalnum() or char == "'" else " " for char in kept)
    return f" {' '.join(spaced.split())} "


def _found(plain: str, phrases: tuple[str, ...]) -> bool:
    return any(phrase in plain for phrase in phrases)


def machine(text: str) -> bool:
    """Whether `text` has a phrase of machines."""
    return _found(_plain(text), _MACHINES)


def human(text: str) -> bool:
    """Whether `text` has a phrase of people."""
    return _found(_plain(text), _HUMANS)


def _whole(phrases: tuple[str, ...]) -> tuple[str, ...]:
    """Phrases as they are looked for: Chinese anywhere, others as whole words."""
    return tuple(phrase if ord(phrase[0]) > 0x2E80 else f" {phrase} " for phrase in phrases)


_MACHINES, _HUMANS = _whole(_MACHINE), _whole(_HUMAN)
