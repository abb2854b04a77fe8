"""The transport of a lab worker: a machine that reaches the gateway over HTTPS and nothing else (docs/lab_workers.md).

May import: connectors, connectors.gateway_client, streams.{health,wiring}, streams.worker.command_state,
streams.worker.in_flight, streams.worker.job, streams.worker.job_source, streams.worker.lease_source, streams.worker.protocol,
streams.worker.schema_ids, streams.worker.supervision, streams.worker.transport; never confluent_kafka. Start reading at
`transport.py`.
"""
