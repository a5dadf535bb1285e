"""The last gate before a log: nothing that looks like a credential passes."""

import logging

from controlplane.kernel.secrets import redact


class RedactingFilter(logging.Filter):
    """Masks credentials in messages, arguments and tracebacks."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg = redact(record.getMessage())
        record.args = None
        if record.exc_info:
            text = logging.Formatter().formatException(record.exc_info)
            record.exc_text = redact(text)
            record.exc_info = None
        return True
