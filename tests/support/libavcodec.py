"""FFmpeg's G.722 (written from the Recommendation, unlike those that share ours' ancestry): comes with rtpengine."""

import ctypes
import ctypes.util
from ctypes import c_char_p, c_int, c_int64, c_void_p
from typing import Any

import numpy as np

from media.engine.arrays import Pcm

_PACKET_DATA, _PACKET_SIZE = 24, 32
"""Offsets in AVPacket of 64-bit systems."""
_FRAME_SAMPLES = 112
"""Offset of nb_samples in AVFrame; the address of the samples stands first."""


class G722Decoder:
    """Decodes one stream to 16 kHz."""

    def __init__(self) -> None:
        self._codec, self._util = _library("avcodec"), _library("avutil")
        _declare(self._codec, c_void_p, "avcodec_find_decoder_by_name", c_char_p)
        _declare(self._codec, c_void_p, "avcodec_alloc_context3", c_void_p)
        _declare(self._codec, c_void_p, "av_packet_alloc")
        _declare(self._util, c_void_p, "av_frame_alloc")
        _declare(self._util, c_int, "av_opt_set_int", c_void_p, c_char_p, c_int64, c_int)
        _declare(self._codec, c_int, "avcodec_open2", c_void_p, c_void_p, c_void_p)
        _declare(self._codec, c_int, "av_new_packet", c_void_p, c_int)
        _declare(self._codec, c_int, "avcodec_send_packet", c_void_p, c_void_p)
        _declare(self._codec, c_int, "avcodec_receive_frame", c_void_p, c_void_p)
        for library, name in (
            (self._codec, "av_packet_free"),
            (self._codec, "avcodec_free_context"),
            (self._util, "av_frame_free"),
        ):
            _declare(library, None, name, c_void_p)
        _declare(self._codec, None, "av_packet_unref", c_void_p)
        self._context = self._codec.avcodec_alloc_context3(self._codec.avcodec_find_decoder_by_name(b"g722"))
        self._packet, self._frame = self._codec.av_packet_alloc(), self._util.av_frame_alloc()
        assert self._util.av_opt_set_int(self._context, b"ar", 16000, 0) == 0
        assert self._util.av_opt_set_int(self._context, b"ac", 1, 0) == 0
        assert self._codec.avcodec_open2(self._context, None, None) == 0

    def decode(self, payload: bytes) -> Pcm:
        """int16, two samples a byte."""
        assert self._codec.av_new_packet(self._packet, len(payload)) == 0
        data = c_void_p.from_address(self._packet + _PACKET_DATA).value
        assert data is not None
        assert c_int.from_address(self._packet + _PACKET_SIZE).value == len(payload)
        ctypes.memmove(data, payload, len(payload))
        assert self._codec.avcodec_send_packet(self._context, self._packet) == 0
        self._codec.av_packet_unref(self._packet)
        assert self._codec.avcodec_receive_frame(self._context, self._frame) == 0
        count = c_int.from_address(self._frame + _FRAME_SAMPLES).value
        samples = c_void_p.from_address(self._frame).value
        assert samples is not None
        assert count == 2 * len(payload)
        return np.frombuffer(ctypes.string_at(samples, 2 * count), np.int16)

    def close(self) -> None:
        """Free its memory."""
        self._codec.av_packet_free(ctypes.byref(c_void_p(self._packet)))
        self._util.av_frame_free(ctypes.byref(c_void_p(self._frame)))
        self._codec.avcodec_free_context(ctypes.byref(c_void_p(self._context)))


def _library(name: str) -> Any:
    path = ctypes.util.find_library(name)
    assert path is not None, f"lib{name} is not installed"
    return ctypes.CDLL(path)


def _declare(library: Any, result: Any, name: str, *arguments: Any) -> None:
    function = getattr(library, name)
    function.restype, function.argtypes = result, list(arguments)
