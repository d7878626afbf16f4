"""Client of the ng protocol of rtpengine."""
