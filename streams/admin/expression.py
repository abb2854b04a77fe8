"""A JMESPath expression over a record: {topic, partition, offset, at, key, headers, format, size, value, undecodable}.

A scan evaluates it on many thousand records a second. So the parts of a record are made when the expression asks for them, and
of a decoded value only the fields on the way are converted to JSON's types. An expression that takes a record or a value as a
whole gets all of it converted.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import jmespath
from confluent_kafka import Message
from jmespath.exceptions import JMESPathError, UnknownFunctionError
from jmespath.functions import Functions
from jmespath.visitor import TreeInterpreter

from schemas.errors import UsageError
from streams.admin.records import RecordDecoder, headers_of, json_value, record_json, text_of, time_of

#: Longer expressions are refused: they come over HTTP, too.
LONGEST = 2_000
#: Nodes and functions that look at single fields only.
_FIELDWISE = {"field", "subexpression", "comparator", "literal", "and_expression", "or_expression", "not_expression"}
_FIELDWISE_FUNCTIONS = {"contains", "starts_with", "ends_with", "length", "not_null", "abs"}
_PLAIN = (str, int, bool, dict, type(None))


class Expression:
    """For one thread. Raises UsageError for text that is no JMESPath."""

    def __init__(self, text: str) -> None:
        if len(text) > LONGEST:
            raise UsageError(f"The expression has {len(text)} characters; {LONGEST} are allowed.")
        try:
            self._compiled = jmespath.compile(text)
            _check_functions(self._compiled.parsed)
        except (JMESPathError, RecursionError) as error:
            reason = (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
            raise UsageError(
                f"{text!r} is not a JMESPath expression: {reason}.",
                next_step="Write for example: value.header.tenant == 'a' && size > `1000`. Names with a dash stand in double "
                'quotes: headers."sluice-job". https://jmespath.org has the language.',
            ) from error
        self._fields = _Fields() if all(map(_is_fieldwise, _nodes(self._compiled.parsed))) else None
        #: Records on which the expression could not be evaluated, and the first reason.
        self.failed = 0
        self.failure: str | None = None

    def search(self, document: dict[str, Any]) -> Any:
        """Return the result on a record as JSON data; None where it can't be evaluated, for example a function of text on a
        missing field."""
        return self._guarded(self._compiled.search, document)

    def holds(self, message: Message, decoder: RecordDecoder) -> bool:
        """True if the result on a message is true. The value is decoded if the expression reads it."""
        if self._fields is None:
            return is_true(self.search(record_json(decoder.record(message))))
        return is_true(self._guarded(self._fields.visit, self._compiled.parsed, _MessageFields(message, decoder)))

    def _guarded(self, evaluate: Any, *arguments: Any) -> Any:
        try:
            return evaluate(*arguments)
        except (
            TypeError,
            ValueError,
            ArithmeticError,
            AttributeError,
            RecursionError,
        ) as error:  # JMESPath's are ValueErrors
            self.failed += 1
            self.failure = self.failure or (str(error).splitlines() or [type(error).__name__])[0]
            return None


def is_true(found: Any) -> bool:
    """Return a result's truth by JMESPath: false, null and everything empty are false; the number 0 is true."""
    return found not in (None, False, "", [], {}) or (found == 0 and type(found) in (int, float))


class _Fields(TreeInterpreter):
    """Converts a field to JSON's types when it is read. It keeps its table of methods from record to record."""

    def visit_field(self, node: Any, value: Any) -> Any:
        try:
            found = value.get(node["value"])
        except AttributeError:
            return None
        return found if type(found) in _PLAIN else json_value(found)


class _MessageFields:
    """The parts of a message by name, made when they are asked for."""

    __slots__ = ("_decoded", "_decoder", "_message")

    def __init__(self, message: Message, decoder: RecordDecoder) -> None:
        self._message = message
        self._decoder = decoder
        self._decoded: tuple[Any, str, str | None] | None = None

    def get(self, name: str) -> Any:
        part = _PARTS.get(name)
        if part is not None:
            return part(self._message)
        if name not in ("value", "format", "undecodable"):
            return None
        if self._decoded is None:
            self._decoded = self._decoder.value(self._message.value())
        value, form, reason = self._decoded
        if name == "value":
            return value.hex() if form == "bytes" else value
        return form if name == "format" else reason


def _at(message: Message) -> str | None:
    at = time_of(message)
    return None if at is None else at.isoformat()


_PARTS: Mapping[str, Any] = {
    "topic": Message.topic,
    "partition": Message.partition,
    "offset": Message.offset,
    "at": _at,
    "key": lambda message: text_of(message.key()),
    "headers": lambda message: {name: text_of(content) or "" for name, content in headers_of(message)},
    "size": lambda message: len(message.value() or b""),
}


def _check_functions(node: Mapping[str, Any]) -> None:
    """Raise UnknownFunctionError now, not at the first record."""
    for each in _nodes(node):
        if each["type"] == "function_expression" and each["value"] not in Functions.FUNCTION_TABLE:
            raise UnknownFunctionError(f"there is no function {each['value']}()")


def _is_fieldwise(node: Mapping[str, Any]) -> bool:
    if node["type"] == "function_expression":
        return node["value"] in _FIELDWISE_FUNCTIONS
    return node["type"] in _FIELDWISE and not (node["type"] == "literal" and isinstance(node["value"], dict | list))


def _nodes(node: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield node
    for child in node.get("children", ()):
        if isinstance(child, dict):
            yield from _nodes(child)
