"""What a bot may ask for by the API and is not to be had here: it is told, never left waiting for events."""

from collections.abc import Iterator

from media.api.options import CallOption, ReferOption


def complaints(option: CallOption | ReferOption) -> Iterator[tuple[str, str]]:
    """(sender, message) of each such wish in `option`."""
    if option.asr is not None:
        yield (
            "asr",
            f'no speech is recognised: provider "{option.asr.provider or "default"}" is not offered here',
        )
    if isinstance(option, CallOption) and option.eou is not None:
        yield (
            "eou",
            f'ends of utterance are not told: type "{option.eou.type or "default"}" is not offered here',
        )
