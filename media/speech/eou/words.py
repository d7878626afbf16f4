"""Words that tell whether a sentence goes on, for each language: small tables, no grammar.

A word that also ends sentences often is in no table: it would make the caller wait for nothing. So German ``an``,
``auf``, ``mit`` (ends of separable verbs) and English ``on``, ``in``, ``up`` are left out.
"""

from collections.abc import Mapping
from dataclasses import dataclass


def _set(text: str) -> frozenset[str]:
    return frozenset(text.split())


def _phrases(text: str) -> frozenset[str]:
    return frozenset(" ".join(phrase.split()) for phrase in text.split(","))


def _digits(*texts: str) -> Mapping[str, str]:
    """Lists of words for 0, 1, 2 ...; several in a list are alternatives."""
    return {word: str(digit) for digit, text in enumerate(texts) for word in text.split()}


@dataclass(frozen=True, slots=True)
class Spaced:
    """A language with spaces between its words; all in lower case."""

    never: frozenset[str]
    """No sentence ends in these: conjunctions, articles, fillers."""
    seldom: frozenset[str]
    """A sentence ends in these now and then, which a sentence mark tells: prepositions, forms of ``to be``."""
    answers: frozenset[str]
    """All that somebody says, and needs to."""
    digits: Mapping[str, str]
    cues: frozenset[str]
    """A number follows that is told digit by digit."""


@dataclass(frozen=True, slots=True)
class Unspaced:
    """A language without spaces: what the text ends in, the longest counts."""

    goes_on: tuple[str, ...]
    ends: tuple[str, ...]
    answers: frozenset[str]
    cues: tuple[str, ...]


SPACED: Mapping[str, Spaced] = {
    "en": Spaced(
        never=_set(
            "a an the my your our their its every and or but because if whether although though unless while "
            "whereas when uh uhm um er erm hmm double triple very i'm i'd i'll i've we're we'd we'll it's that's "
            "there's"
        ),
        seldom=_set(
            "to of for with from at by into onto than as about between during without under until since per via his "
            "her is are was were am be been will would can could should must so then also plus maybe well like that "
            "which who i we they he she want need have has some any"
        ),
        answers=_phrases(
            "yes, yeah, yep, yup, yes please, yes it is, yes i do, yes i am, yes that is right, yes that's right, "
            "yes that is correct, yes that's correct, correct, right, that is right, that's right, that is correct, "
            "that's correct, exactly, sure, of course, okay, ok, fine, alright, all right, no, nope, no thanks, "
            "no thank you, no it is not, no it isn't, no i don't, no i do not, not really, never, nothing, "
            "nothing else, that is all, that's all, thanks, thank you, hello, hi, goodbye, bye, bye bye, stop, "
            "cancel, help, agent, operator, repeat, mhm, uh huh, i do, i am, it is, today, tomorrow"
        ),
        digits=_digits("zero oh o", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"),
        cues=_set("number code pin account phone zip postcode id extension password digits"),
    ),
    "de": Spaced(
        never=_set(
            "der den dem des eine einen einem einer eines mein meine meinen meinem meiner dein ihr ihre ihren unser "
            "unsere kein keine keinen jeder jede und oder aber sondern weil wenn dass falls obwohl damit sowie denn "
            "äh ähm öh hm im am zum zur beim vom ins sehr"
        ),
        seldom=_set(
            "die ein in für von gegen ohne durch wegen seit bis zwischen über unter neben als ob wo wie ist sind war "
            "bin wird würde kann könnte möchte will muss soll habe hat hätte ich wir er sie also dann noch nach bei "
            "welche bitte"
        ),
        answers=_phrases(
            "ja, ja bitte, ja gerne, ja genau, ja das stimmt, ja richtig, jawohl, jo, genau, richtig, stimmt, "
            "das stimmt, das ist richtig, sicher, klar, natürlich, okay, ok, gut, in ordnung, einverstanden, nein, "
            "nee, nein danke, nein das stimmt nicht, nichts, nie, danke, danke schön, vielen dank, das ist alles, "
            "das war alles, hallo, guten tag, tschüss, auf wiederhören, stopp, hilfe, abbrechen, heute, morgen"
        ),
        digits=_digits("null", "eins", "zwei zwo", "drei", "vier", "fünf", "sechs", "sieben", "acht", "neun"),
        cues=_set("nummer telefonnummer kundennummer kontonummer vorwahl postleitzahl code pin durchwahl"),
    ),
    "fr": Spaced(
        never=_set(
            "le la les un une des du de au aux mon ma mes ton ta tes votre vos notre nos leur leurs ce cet cette ces "
            "et ou mais car parce que qu si quand lorsque puisque donc euh heu hum très je j'ai c'est il"
        ),
        seldom=_set(
            "à en dans par pour avec sans sur sous chez vers entre depuis jusque comme est sont était suis ai a ont "
            "voudrais veux peux dois alors aussi puis qui dont où nous vous on elle"
        ),
        answers=_phrases(
            "oui, ouais, oui merci, oui s'il vous plaît, oui c'est ça, oui bien sûr, c'est ça, c'est exact, exact, "
            "exactement, d'accord, bien sûr, ok, okay, parfait, très bien, non, non merci, pas du tout, rien, "
            "jamais, merci, merci beaucoup, c'est tout, bonjour, allô, au revoir, stop, aide, annuler, "
            "aujourd'hui, demain"
        ),
        digits=_digits("zéro zero", "un", "deux", "trois", "quatre", "cinq", "six", "sept", "huit", "neuf"),
        cues=_set("numéro code téléphone compte postal"),
    ),
    "es": Spaced(
        never=_set(
            "el la los las un una unos unas del de al mi mis tu tus su sus nuestro nuestra este esta y e o u pero "
            "porque aunque si cuando que pues eh este em muy mientras"
        ),
        seldom=_set(
            "a en con por para sin sobre entre desde hasta hacia según como es son era soy está estoy he ha quiero "
            "quisiera puedo necesito tengo entonces también luego quien donde yo me se le"
        ),
        answers=_phrases(
            "sí, si, sí por favor, sí claro, sí gracias, sí correcto, claro, correcto, exacto, así es, de acuerdo, "
            "vale, bueno, está bien, ok, okay, no, no gracias, para nada, nada, nada más, nunca, gracias, "
            "muchas gracias, eso es todo, hola, buenos días, diga, adiós, alto, ayuda, cancelar, hoy, mañana"
        ),
        digits=_digits("cero", "uno", "dos", "tres", "cuatro", "cinco", "seis", "siete", "ocho", "nueve"),
        cues=_set("número código teléfono cuenta postal"),
    ),
}

UNSPACED: Mapping[str, Unspaced] = {
    "zh": Unspaced(
        goes_on=(
            *(
                "和",
                "跟",
                "与",
                "或",
                "或者",
                "还有",
                "以及",
                "但",
                "但是",
                "可是",
                "不过",
                "因为",
                "所以",
                "如果",
            ),
            *(
                "然后",
                "而且",
                "那么",
                "就是",
                "就是说",
                "那个",
                "这个",
                "嗯",
                "呃",
                "额",
                "在",
                "把",
                "给",
                "被",
                "对",
            ),
            *("从", "到", "是", "我", "我想", "我要", "我叫", "的", "很", "想", "要", "请", "一个"),
        ),
        ends=(
            "了",
            "吗",
            "吧",
            "呢",
            "啊",
            "呀",
            "谢谢",
            "多少",
            "什么",
            "哪里",
            "可以",
            "好的",
            "是的",
            "对的",
        ),
        answers=frozenset(
            (
                "是",
                "是的",
                "对",
                "对的",
                "好",
                "好的",
                "可以",
                "行",
                "没错",
                "嗯嗯",
                "不",
                "不是",
                "不要",
                "不用",
            )
            + ("不用了", "没有", "谢谢", "喂", "你好", "您好", "再见", "没了", "今天", "明天")
        ),
        cues=(
            "号码",
            "电话",
            "手机号",
            "手机号码",
            "号码是",
            "电话是",
            "验证码",
            "验证码是",
            "密码",
            "密码是",
        ),
    ),
    "ja": Unspaced(
        goes_on=(
            *(
                "は",
                "が",
                "を",
                "に",
                "で",
                "と",
                "も",
                "の",
                "て",
                "から",
                "ので",
                "けど",
                "けれど",
                "ですが",
            ),
            *(
                "それで",
                "でも",
                "しかし",
                "だから",
                "それから",
                "そして",
                "また",
                "えっと",
                "えーと",
                "えと",
                "あの",
            ),
            *("あのー", "その", "そのー", "まあ", "ええと", "んー", "えー", "や", "へ", "より"),
        ),
        ends=(
            *(
                "です",
                "ます",
                "でした",
                "ました",
                "ません",
                "ください",
                "下さい",
                "たい",
                "だ",
                "した",
                "ですか",
            ),
            *("ますか", "か", "ね", "よ", "よね", "ありがとう", "お願いします", "ですね", "ますね"),
        ),
        answers=frozenset(
            (
                "はい",
                "はいそうです",
                "そうです",
                "ええ",
                "うん",
                "わかりました",
                "お願いします",
                "いいえ",
                "いや",
            )
            + (
                "違います",
                "結構です",
                "大丈夫です",
                "ありがとう",
                "ありがとうございます",
                "もしもし",
                "今日",
                "明日",
            )
        ),
        cues=(
            "番号",
            "番号は",
            "電話",
            "電話番号",
            "電話番号は",
            "暗証番号",
            "暗証番号は",
            "コード",
            "コードは",
        ),
    ),
}
