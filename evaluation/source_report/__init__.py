"""Report on sources before anything expensive: what was found, how it was paired, and what looks wrong."""
