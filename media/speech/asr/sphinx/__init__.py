"""Recognition by pocketsphinx: grammars, where utterances begin and end, decoders, and the engine of all."""
