"""Media processor: terminates plain RTP from rtpengine and talks to bots."""
