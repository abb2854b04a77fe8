"""The ports of the services, on the twins in memory: every call goes through the injector."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import aiohttp
from confluent_kafka import KafkaError, Message

from connectors.callbacks.connection import HttpResponse
from schemas.errors import ConnectionFailed
from streams.log.memory import MemoryLog
from streams.log.memory.consumer import MemoryConsumer
from streams.log.memory.producer import MemoryProducer
from streams.log.memory.topic import plain_headers
from tests.injection.injector import Injector, Kind, kafka_error
from tests.injection.simulation import current


class Port:
    """Passes every call of `target` through the injector. `close` is also how the outside notices that a process is gone."""

    def __init__(self, injector: Injector, name: str, target: Any) -> None:
        self._injector = injector
        self._name = name
        self._target = target

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __getattr__(self, attribute: str) -> Any:
        found = getattr(self._target, attribute)
        return partial(self._call, attribute, found) if callable(found) else found

    def _call(self, method: str, target: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        return self._injector.call(self._name, method, lambda: target(*args, **kwargs))


class ConsumerPort(Port):
    """Local questions (assignment, memberid) are no calls to the outside."""

    _target: MemoryConsumer

    def __init__(self, injector: Injector, log: MemoryLog, config: Mapping[str, Any]) -> None:
        self._on_commit = config.get("on_commit")
        super().__init__(injector, "consumer", MemoryConsumer(log, config))
        current().running.process.on_kill.append(self._target.die)
        self.assignment, self.memberid = self._target.assignment, self._target.memberid

    def subscribe(self, topics: list[str], **callbacks: Any) -> None:
        wrapped = {
            name: (lambda _, partitions, callback=callback: callback(self, partitions)) if callback else None
            for name, callback in callbacks.items()
        }
        self._call("subscribe", self._target.subscribe, topics, **wrapped)

    def commit(self, **options: Any) -> Any:
        """Commit. An asynchronous commit may also fail in its answer, which `on_commit` gets."""
        if options.get("asynchronous", True) and self._on_commit is not None:
            fault = self._injector.next_fault("consumer", "commit_answer")
            if fault is not None:
                self._injector.note(fault)
                if fault.after:
                    self._target._store(options["offsets"])
                answer = partial(self._on_commit, kafka_error(fault.kind), options["offsets"])
                self._target._commit_callbacks.append(answer)
                return None
        return self._call("commit", self._target.commit, **options)


class ProducerPort(Port):
    """A produce may also fail in its delivery report: before, the record is not in the log; after, it is all the same."""

    _target: MemoryProducer

    def __len__(self) -> int:
        return len(self._target)

    def produce(self, topic: str, value: Any = None, key: Any = None, **options: Any) -> None:
        fault = self._injector.next_fault("producer", "delivery_report")
        if fault is None:
            self._call("produce", self._target.produce, topic, value, key, **options)
        elif fault.kind is Kind.KILL:
            if fault.after:
                self._target.produce(topic, value, key, **options)
            self._injector.strike(fault)
        else:
            self._injector.note(fault)
            self._fail(kafka_error(fault.kind), fault.after, topic, value, key, options)

    def _fail(
        self, error: KafkaError, written: bool, topic: str, value: Any, key: Any, options: dict[str, Any]
    ) -> None:
        report = options.pop("on_delivery", None)
        if written:
            self._target.produce(topic, value, key, **options, on_delivery=report and (lambda _, m: report(error, m)))
            return
        key = key.encode() if isinstance(key, str) else key
        fields: Any = {"key": key, "value": value, "headers": plain_headers(options.get("headers")), "error": error}
        with self._target._reported:
            self._target._reports.append((report, error, Message(topic=topic, partition=0, **fields)))
            self._target._reported.notify()


class InjectedLog(MemoryLog):
    def __init__(self, injector: Injector) -> None:
        super().__init__(now_ms=lambda: 0)
        self.injector = injector

    def producer(self, config: Mapping[str, Any] | None = None) -> Any:
        return ProducerPort(self.injector, "producer", MemoryProducer(self, config or {}))

    def consumer(self, config: Mapping[str, Any]) -> Any:
        return ConsumerPort(self.injector, self, config)

    def admin(self) -> Any:
        return Port(self.injector, "admin", super().admin())


class Backend:
    """The backends that callbacks are posted to: takes the place of the function that posts (connectors.callbacks.client)."""

    def __init__(self, injector: Injector) -> None:
        self._injector = injector
        #: Delivery id, URL path and body of each post that arrived.
        self.posts: list[tuple[str, str, bytes]] = []

    async def post(self, target: Any, headers: Mapping[str, str], body: bytes, timeout_s: float) -> Any:
        arrived = (headers["webhook-id"], str(target), body)
        try:
            self._injector.call("http", "post", lambda: self.posts.append(arrived))
        except ConnectionFailed as error:
            raise aiohttp.ClientConnectionError("injected") from error
        return HttpResponse(200, None, b"")
