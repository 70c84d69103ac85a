"""Logs: structlog over the standard library, written by a thread of their own.

Theory of operation. A log call formats its line at once (a few tens of microseconds) and puts it into a bounded queue;
one daemon thread writes the queue to stderr or to a rotated file. When the sink is slower than the source, or stands
still, lines are dropped and counted, and a line says so once the sink moves again: a blocked stderr must never stop the
event loop, or a leader would hang with its log. Nothing here writes through `sys.stderr`, whose lock a blocked write
would hold. Every line is one line: control characters from keys, headers and peers are escaped in all formats.
"""

import contextlib
import json
import logging
import logging.handlers
import os
import queue
import re
import ssl
import sys
import threading
import time
from collections.abc import Callable, MutableMapping
from types import TracebackType
from typing import Any, Protocol, Self, TypeAlias

import structlog

from ferrite.io.config import LoggingConfig, LogLevel

QUEUE_LINES_MAX = 10_000  # a second of a very talkative node
QUEUE_CHARACTERS_MAX = 16 * 1024 * 1024  # lines may be long: this bounds the memory
VALUE_CHARACTERS_MAX = 4096  # longer values of a field are cut
TRACEBACK_CHARACTERS_MAX = 16_384
FIELDS_MAX = 64
LIBRARY_LINES_MAX = 20  # lines that one library may log ...
LIBRARY_WINDOW_S = 10  # ... in so many seconds; more are counted
CLOSE_TIMEOUT_S = 2.0  # how long close() waits for a sink that stands still

# Libraries that log for each malformed request or failed accept; whoever reaches the port could fill the disk (SEC20).
_LIMITED_LIBRARIES = frozenset(("aiohttp", "asyncio", "grpc"))
_LEVELS: dict[LogLevel, int] = {
    "trace": logging.DEBUG, "debug": logging.DEBUG, "info": logging.INFO, "warn": logging.WARNING,
    "error": logging.ERROR,
}  # fmt: skip
# C0 and C1 controls, line and paragraph separators, marks that reorder text, lone surrogates.
_UNSAFE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u2028\u2029\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)

EventDict: TypeAlias = MutableMapping[str, Any]


class _Sink(Protocol):
    """Where the writer thread puts lines. May block; must not raise for want of space or readers, but count."""

    failures: int

    def write(self, line: str) -> None: ...
    def close(self) -> None: ...


class Logger(structlog.stdlib.BoundLogger):  # inherits because structlog builds on its class
    """structlog's logger over the standard library; a line below the level costs next to nothing."""

    def debug(self, event: str | None = None, *args: Any, **fields: Any) -> None:
        if self._logger.isEnabledFor(logging.DEBUG):
            super().debug(event, *args, **fields)

    def info(self, event: str | None = None, *args: Any, **fields: Any) -> None:
        if self._logger.isEnabledFor(logging.INFO):
            super().info(event, *args, **fields)


def get_logger(name: str) -> Logger:
    """A logger for a module's `__name__`; its events have fields: `log.info("peer connected", peer=2)`.

    May be called at import, before `configure`. `structlog.get_logger(__name__)` gives the same, a little slower.
    """
    logger = logging.getLogger(name)
    # Bound here, for structlog's lazy proxy would bind anew at every line.
    bound: Logger = structlog.wrap_logger(logger, processors=_PROCESSORS, wrapper_class=Logger).bind()
    return bound


def configure(
    config: LoggingConfig, *, stderr_fd: int = 2, clock: Callable[[], float] = time.monotonic
) -> "LogHandle":
    """Send all logs of the process where `config` says, until the handle is closed.

    Raises OSError when the log file cannot be opened.
    """
    if config.file_path is None:
        sink: _Sink = _DescriptorSink(stderr_fd)
        colors = config.enable_colors and os.isatty(stderr_fd)
    else:
        sink, colors = _FileSink(str(config.file_path), config.max_file_size, config.max_files), False
    formatter = structlog.stdlib.ProcessorFormatter(
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta, _bound_fields, *_renderers(config, colors=colors),
        ],
        foreign_pre_chain=[*_COMMON_PROCESSORS, _add_suppressed],
    )  # fmt: skip
    structlog.configure(  # for loggers from structlog.get_logger(__name__): they are bound to this at their first line
        processors=_PROCESSORS,
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=Logger,
        cache_logger_on_first_use=True,
    )
    writer = _Writer(sink, formatter)
    handler = _QueueHandler(writer, formatter)
    handler.addFilter(_LibraryLimit(clock))
    return LogHandle(handler, writer, _levels(config))


class LogHandle:
    """What `configure` set up. While it is open, it holds the root logger; `close` gives everything back."""

    def __init__(self, handler: "_QueueHandler", writer: "_Writer", levels: dict[str, int]) -> None:
        self._handler = handler
        self._writer = writer
        root = logging.getLogger()
        self._before = (root.handlers[:], {name: logging.getLogger(name).level for name in ("", *levels)})
        root.handlers[:] = [handler]
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)

    @property
    def dropped(self) -> int:
        """Lines lost since the start: the queue was full, or the sink refused them."""
        return self._writer.dropped

    def close(self) -> None:
        """Write what is queued, as far as the sink takes it within `CLOSE_TIMEOUT_S`, and stop. May be repeated."""
        handlers, levels = self._before
        root = logging.getLogger()
        if self._handler in root.handlers:
            root.handlers[:] = handlers
            for name, level in levels.items():
                logging.getLogger(name).setLevel(level)
        self._handler.close()
        self._writer.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _levels(config: LoggingConfig) -> dict[str, int]:
    """Level by logger name; "" is the root, which the libraries inherit."""
    level = _LEVELS[config.level]
    libraries = logging.DEBUG if config.level == "trace" else max(level, logging.WARNING)
    return {"": libraries, "ferrite": level} | {
        name: _LEVELS[chosen] for name, chosen in config.module_levels
    }


# ------------------------------------------------------------------------------------------------ from event to line


def _add_suppressed(_: Any, __: str, event: EventDict) -> EventDict:
    suppressed = getattr(event.get("_record"), "suppressed", 0)
    if suppressed:
        event["suppressed"] = suppressed
    return event


def _format_exception(_: Any, __: str, event: EventDict) -> EventDict:
    """A traceback as text; of an error that a client or the network caused, only its last line."""
    exc_info = event.get("exc_info")
    error = (
        sys.exc_info()[1] if exc_info is True else exc_info[1] if isinstance(exc_info, tuple) else exc_info
    )
    if isinstance(error, BaseException) and _is_foreign(error):
        event.pop("exc_info")
        event["error"] = f"{type(error).__name__}: {error}"
        return event
    return structlog.processors.format_exc_info(_, __, event)


def _is_foreign(error: BaseException) -> bool:
    """Whether others cause this error, so that its traceback tells nothing about us (SEC20)."""
    return isinstance(error, ConnectionError | TimeoutError | ssl.SSLError) or type(
        error
    ).__module__.startswith("aiohttp.http_exceptions")


_COMMON_PROCESSORS: list[structlog.typing.Processor] = [
    structlog.stdlib.add_logger_name,
    structlog.stdlib.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True, key="timestamp"),
    _format_exception,
]
_PROCESSORS: list[structlog.typing.Processor] = [
    structlog.stdlib.filter_by_level,
    structlog.contextvars.merge_contextvars,
    *_COMMON_PROCESSORS,
    structlog.stdlib.PositionalArgumentsFormatter(),
    structlog.processors.StackInfoRenderer(),
    structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
]
_FIRST = ("timestamp", "level", "logger", "event")
_LAST = ("exception", "stack")


def _bound_fields(_: Any, __: str, event: EventDict) -> EventDict:
    """Fields in a fixed order, not too many, not too long, and JSON can write each."""
    names = [name for name in event if name not in _FIRST and name not in _LAST]
    ordered = {
        name: _bounded(event[name], VALUE_CHARACTERS_MAX)
        for name in (*_FIRST, *names[:FIELDS_MAX])
        if name in event
    }
    if len(names) > FIELDS_MAX:
        ordered["fields_cut"] = len(names) - FIELDS_MAX
    ordered |= {name: _bounded(event[name], TRACEBACK_CHARACTERS_MAX) for name in _LAST if name in event}
    return ordered


def _bounded(value: object, limit: int) -> object:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int | float) and -(2**63) <= value < 2**64:  # not nan, not inf: JSON has neither
        return value
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= limit else f"{text[:limit]}...({len(text) - limit} characters cut)"


def _renderers(config: LoggingConfig, *, colors: bool) -> list[structlog.typing.Processor]:
    fold: list[structlog.typing.Processor] = [] if config.structured else [_fold_fields]
    match config.format:
        case "json":
            return [*fold, _render_json]
        case "compact":
            return [*fold, _escape_fields, _render_compact]
        case "pretty":
            renderer = structlog.dev.ConsoleRenderer(
                colors=colors, force_colors=colors, sort_keys=False, pad_event_to=32,
                exception_formatter=structlog.dev.plain_traceback,
            )  # fmt: skip
            return [*fold, _escape_fields, renderer]


def _fold_fields(_: Any, __: str, event: EventDict) -> EventDict:
    """`structured = false`: the fields become part of the message's text."""
    fields = [f"{name}={event.pop(name)}" for name in list(event) if name not in _FIRST and name not in _LAST]
    if fields:
        event["event"] = f"{event['event']}: {', '.join(fields)}"
    return event


def _escape(text: str) -> str:
    return _UNSAFE.sub(lambda match: match[0].encode("unicode_escape").decode("ascii"), text)


def _escape_fields(_: Any, __: str, event: EventDict) -> EventDict:
    """Text without anything that could end the line or move the cursor. A traceback keeps its lines, each behind a mark
    that no message can begin with, since every message stands behind a time.
    """
    return {
        _escape(name): "\n".join(f"    | {_escape(line)}" for line in value.split("\n"))
        if name in _LAST
        else _escape(value)
        if isinstance(value, str)
        else value
        for name, value in event.items()
    }


def _render_json(_: Any, __: str, event: EventDict) -> str:
    return json.dumps(event, allow_nan=False)  # ASCII only: escapes every control and every separator


def _render_compact(_: Any, __: str, event: EventDict) -> str:
    head = f"{event['timestamp'][11:23]} {event['level'][:1].upper()} {event['logger']} {event['event']}"
    fields = [
        f" {name}={_quoted(value)}"
        for name, value in event.items()
        if name not in _FIRST and name not in _LAST
    ]
    traces = [f"\n{event[name]}" for name in _LAST if name in event]
    return "".join((head, *fields, *traces))


def _quoted(value: object) -> str:
    return (
        json.dumps(value, ensure_ascii=False)
        if isinstance(value, str) and (" " in value or "=" in value)
        else str(value)
    )


# ------------------------------------------------------------------------------------------------ from line to sink


class _QueueHandler(logging.Handler):  # inherits because logging calls handlers that way
    """Formats in the caller's thread, where the values still are what they were, and queues the line."""

    def __init__(self, writer: "_Writer", formatter: logging.Formatter) -> None:
        super().__init__()
        self.setFormatter(formatter)
        self._writer = writer

    def emit(self, record: logging.LogRecord) -> None:
        try:
            line = self.format(record)
        except Exception as error:  # noqa: BLE001 - a __repr__ may raise anything, and logging must not
            line = (
                f"a log line of {record.name}:{record.lineno} could not be formatted: {type(error).__name__}"
            )
        self._writer.put(line)


class _Writer:
    """The bounded queue and the one thread that empties it into the sink."""

    def __init__(self, sink: _Sink, formatter: logging.Formatter) -> None:
        self._sink = sink
        self._formatter = formatter
        self._queue: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._queued_characters = 0  # under _lock
        self._overflowed = 0  # lines that found the queue full; under _lock
        self._lock = threading.Lock()  # never held across a write
        self._reported = 0
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="ferrite-logs", daemon=True)
        self._thread.start()

    @property
    def dropped(self) -> int:
        return self._overflowed + self._sink.failures

    def put(self, line: str) -> None:
        """Queue a line, or drop and count it. Never blocks."""
        with self._lock:
            full = self._queue.qsize() >= QUEUE_LINES_MAX or self._queued_characters >= QUEUE_CHARACTERS_MAX
            if self._closed or full:
                self._overflowed += 1
            else:
                self._queued_characters += len(line)
                self._queue.put(line)

    def close(self) -> None:
        with self._lock:
            if self._closed:
                return
            self._closed = True
            self._queue.put(None)
        self._thread.join(CLOSE_TIMEOUT_S)
        # When the sink stands still the thread is left behind: it is a daemon and holds no lock that others need.

    def _run(self) -> None:
        while (line := self._queue.get()) is not None:
            self._report_dropped()
            self._sink.write(line)
            with self._lock:
                self._queued_characters -= len(line)
        self._report_dropped()
        self._sink.close()

    def _report_dropped(self) -> None:
        dropped = self.dropped
        if dropped > self._reported:
            lost, self._reported = dropped - self._reported, dropped
            message = f"{lost} log lines dropped, {dropped} since the start: the log's sink is too slow or refuses them"
            record = {"name": __name__, "levelno": logging.WARNING, "levelname": "WARNING", "msg": message}
            self._sink.write(self._formatter.format(logging.makeLogRecord(record)))


class _DescriptorSink:
    """Writes to a file descriptor, without Python's buffers and their locks."""

    def __init__(self, fd: int) -> None:
        self.failures = 0
        self._fd = os.dup(fd)  # ours stays valid when others redirect theirs

    def write(self, line: str) -> None:
        data = memoryview((line + "\n").encode("utf-8", "backslashreplace"))
        try:
            while data:
                try:
                    data = data[os.write(self._fd, data) :]
                except BlockingIOError:  # somebody made it non-blocking; this thread may wait
                    time.sleep(0.01)
        except OSError:  # nobody reads any more (EPIPE), or no space
            self.failures += 1

    def close(self) -> None:
        with contextlib.suppress(OSError):  # nothing is buffered here, so nothing can be lost by it
            os.close(self._fd)


class _FileSink:
    """A file that is put aside as .1, .2, ... when it is full."""

    def __init__(self, path: str, bytes_max: int, files_max: int) -> None:
        self.failures = 0
        self._handler = logging.handlers.RotatingFileHandler(
            path, maxBytes=bytes_max, backupCount=files_max - 1, encoding="utf-8", errors="backslashreplace"
        )
        self._handler.handleError = self._count_failure  # type: ignore[method-assign] # the default writes to sys.stderr

    def write(self, line: str) -> None:
        self._handler.emit(logging.makeLogRecord({"msg": line}))

    def close(self) -> None:
        try:
            self._handler.close()
        except OSError:  # the last lines did not reach the disk
            self.failures += 1

    def _count_failure(self, record: logging.LogRecord) -> None:
        del record
        self.failures += 1


# ------------------------------------------------------------------------------------------------ noisy libraries


class _LibraryLimit(logging.Filter):  # inherits because logging calls filters that way
    """At most `LIBRARY_LINES_MAX` lines of each noisy library in `LIBRARY_WINDOW_S`; the next window's first line carries
    the number of those suppressed.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        super().__init__()
        self._clock = clock
        self._lock = threading.Lock()  # grpc logs from its own threads
        self._windows = {name: _Window() for name in _LIMITED_LIBRARIES}

    def filter(self, record: logging.LogRecord) -> bool:
        window = self._windows.get(record.name.partition(".")[0])
        if window is None:
            return True
        with self._lock:
            suppressed = window.admit(self._clock())
        if suppressed is None:
            return False
        record.suppressed = suppressed
        return True


class _Window:
    """Lines let through and suppressed since the window began."""

    __slots__ = ("_admitted", "_begin", "_suppressed")

    def __init__(self) -> None:
        self._begin = float("-inf")
        self._admitted = 0
        self._suppressed = 0

    def admit(self, now: float) -> int | None:
        """None when the line is too much, else how many were suppressed since the last one that passed."""
        if now - self._begin >= LIBRARY_WINDOW_S:
            self._begin, self._admitted = now, 0
        if self._admitted >= LIBRARY_LINES_MAX:
            self._suppressed += 1
            return None
        self._admitted += 1
        suppressed, self._suppressed = self._suppressed, 0
        return suppressed
