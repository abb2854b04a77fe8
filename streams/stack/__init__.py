"""Kafka, a schema registry and Postgres on this machine, without Docker and without a system Java.

May import: streams.health. Start reading at local_stack.py; supervise.py runs any process,
stack_supervisor.py starts again what died.
"""

from __future__ import annotations

from streams.stack.events import EventKind, StackEvent
from streams.stack.local_stack import COMPONENTS, LocalStack
from streams.stack.restarts import Restarts
from streams.stack.state import ComponentState, StackState
from streams.stack.supervise import ProcessSupervisor, ServiceSpec

__all__ = [
    "COMPONENTS",
    "ComponentState",
    "EventKind",
    "LocalStack",
    "ProcessSupervisor",
    "Restarts",
    "ServiceSpec",
    "StackEvent",
    "StackState",
]
