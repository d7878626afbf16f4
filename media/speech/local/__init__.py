"""Engines that cost CPU, in child processes of the speech process. A generic host: it knows nothing of speech.

An engine is a class that works on many streams in one thread, without asyncio::

    class Shout(Engine):
        busy = False

        def __init__(self, settings: Settings) -> None:
            self._model = load(settings["model"])   # once per child, before its first stream
            self._made: list[Report] = []

        def open(self, stream: int, parameters: Parameters) -> None: ...   # may raise ProviderError
        def data(self, stream: int, data: bytes) -> None:
            self._made.append(Data(stream, data.upper()))
        def finish(self, stream: int) -> None:
            self._made.append(Done(stream))
        def cancel(self, stream: int) -> None: ...
        def step(self) -> Iterable[Report]:
            made, self._made = self._made, []
            return made

The rules are those of `engine.Engine`. Its module is imported in the child only: it imports the package that it wraps
at the top, and nothing of ours that is heavy (no aiohttp, no options). The provider, in the speech process, names it::

    host = Host("shout", "media.speech.asr.shout_engine:Shout", {"model": path})
    async for result in host.run({"loud": True}, audio):     # audio: async iterator of bytes
        ...                                                  # bytes of Data, dicts of Told
    await host.close()

One `Host` for each set of settings; everything that differs from stream to stream is a parameter of the stream. A
child is started when the first stream needs it, has lower priority than media, and dies with the speech process. When
it dies, each of its streams gets one ProviderError (retry), and the next stream starts another child.

Files: `frames` what goes over the socket, `engine` what an engine is, `server` the loop in the child, `host` the
parent's end.
"""
