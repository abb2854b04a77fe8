"""The log: Kafka clients as this project configures them, and what every reader and writer of a topic shares.

May import: schemas, confluent_kafka. Start reading at `kafka.py` (clients), then `port.py` (promises).
"""
