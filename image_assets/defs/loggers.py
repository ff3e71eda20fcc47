"""Loggers: what a person sees on a terminal."""

import logging
import sys

import dagster as dg
from dagster import InitLoggerContext


class ReadableFormatter(logging.Formatter):
    """``02:00:07  message`` without run ids and step names; a level only where it matters."""

    def format(self, record: logging.LogRecord) -> str:
        """Return one line."""
        meta = getattr(record, "dagster_meta", None) or {}
        message = meta.get("orig_message") or record.getMessage()
        level = f"{record.levelname}: " if record.levelno >= logging.WARNING else ""
        return f"{self.formatTime(record, '%H:%M:%S')}  {level}{message}"


@dg.logger(
    config_schema={
        "log_level": dg.Field(
            str, default_value="INFO", is_required=False, description="Lowest level printed."
        )
    },
    description="One readable line per message, on standard output.",
)
def console_logger(context: InitLoggerContext) -> logging.Logger:
    """One readable line per message, on standard output; Dagster's own events are left out."""
    logger = logging.Logger("image_assets.console", level=context.logger_config["log_level"])
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(ReadableFormatter())
    # Events carry a "dagster_event"; a run has some 70 of them and the UI shows them better. Errors
    # among them say why a step failed, which the command that started the run says in one sentence.
    handler.addFilter(
        lambda record: not (getattr(record, "dagster_meta", None) or {}).get("dagster_event")
    )
    logger.addHandler(handler)
    return logger
