"""The emergency stop: block, cancel, close both sides in step, verify at the venue, latch."""
