"""The log: Kafka clients as this project configures them, topics and offsets on the broker.

May import: confluent_kafka, schemas. Start reading at `kafka.py`.
"""
