"""Who answered a call: a human, a machine or a fax."""
