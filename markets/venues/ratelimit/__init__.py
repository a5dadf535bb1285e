"""Our own rate limiter: every REST request to a venue passes it, whichever adapter sends it."""
