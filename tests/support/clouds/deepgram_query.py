"""The parameters that Deepgram takes, and what the fake finds wrong with those of a request."""

from collections.abc import Iterator

from aiohttp import web

LISTEN = frozenset(
    "callback callback_method channels detect_entities diarize diarize_model dictation encoding endpointing extra "  # noqa: SIM905
    "interim_results keyterm keywords language mip_opt_out model multichannel numerals profanity_filter punctuate "
    "redact replace sample_rate search smart_format tag utterance_end_ms vad_events version".split()
)
SPEAK = frozenset({"encoding", "mip_opt_out", "model", "sample_rate", "speed"})
REQUEST = SPEAK | {"bit_rate", "callback", "callback_method", "container", "tag"}
REPEATED = frozenset({"extra", "keyterm", "keywords", "redact", "replace", "search", "tag"})
SPEAK_RATES = {"8000", "16000", "24000", "32000", "48000"}


def wrong(request: web.Request, known: frozenset[str]) -> Iterator[str]:
    """What is wrong with the parameters of `request`."""
    query = request.query
    if unknown := set(query) - known:
        yield f"unknown parameters {sorted(unknown)}"
    if twice := {name for name in query if len(query.getall(name)) > 1} - REPEATED:
        yield f"parameters that come twice: {sorted(twice)}"
    if query.get("encoding") != "linear16":
        yield f"encoding {query.get('encoding')}"
    if known is not LISTEN:
        if query.get("sample_rate") not in SPEAK_RATES:
            yield f"sample_rate {query.get('sample_rate')}"
        if not query.get("model", "").startswith("aura-"):
            yield "No such model"
        if not 0.7 <= float(query.get("speed", "1")) <= 1.5:
            yield "speed is out of range"
        return
    if query.get("sample_rate") not in ("8000", "16000") or query.get("channels", "1") != "1":
        yield "form of the audio"
    if not query.get("model", "").startswith("nova-"):
        yield "No such model/language/tier combination found."
    for name in ("interim_results", "smart_format", "punctuate", "vad_events"):
        if query.get(name, "true") not in ("true", "false"):
            yield f"{name} must be true or false"
    if not (query.get("endpointing", "10").isdigit() or query["endpointing"] == "false"):
        yield "endpointing must be ms or false"
    if "utterance_end_ms" in query and (
        not query["utterance_end_ms"].isdigit()
        or int(query["utterance_end_ms"]) < 1000
        or query.get("interim_results") != "true"
    ):
        yield "utterance_end_ms must be at least 1000, and needs interim_results"
