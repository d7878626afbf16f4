"""Control plane: call legs over Kamailio and rtpengine, without a SIP socket of its own."""
