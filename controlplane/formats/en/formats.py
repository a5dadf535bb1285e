"""How dates and numbers are written: to the second, unambiguous, no thousands separator."""

DATETIME_FORMAT = "Y-m-d H:i:s"
DATE_FORMAT = "Y-m-d"
TIME_FORMAT = "H:i:s"
USE_THOUSAND_SEPARATOR = False
