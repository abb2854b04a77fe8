// Reads COUNT records of TOPIC from the beginning and prints each, decoded, as one JSON line.
// usage: node read.js BROKERS REGISTRY_URL TOPIC COUNT
const { Kafka, logLevel } = require("kafkajs");
const { SchemaRegistry } = require("@kafkajs/confluent-schema-registry");

const [brokers, host, topic, count] = process.argv.slice(2);

async function main() {
  const registry = new SchemaRegistry({ host });
  const kafka = new Kafka({ clientId: "sluice-reader", brokers: brokers.split(","), logLevel: logLevel.ERROR });
  const consumer = kafka.consumer({ groupId: `reader-${process.pid}` });
  await consumer.connect();
  await consumer.subscribe({ topic, fromBeginning: true });
  let left = Number(count);
  await new Promise((done, fail) => {
    consumer.on(consumer.events.CRASH, ({ payload }) => fail(payload.error));
    consumer.run({
      eachMessage: async ({ partition, message }) => {
        if (left <= 0) return;
        const value = await registry.decode(message.value);
        console.log(JSON.stringify({
          partition,
          offset: message.offset,
          key: String(message.key),
          headers: Object.fromEntries(Object.entries(message.headers).map(([name, bytes]) => [name, String(bytes)])),
          value,
        }, (_, item) => (typeof item === "bigint" ? String(item) : item)));
        if (--left === 0) done();
      },
    }).catch(fail);
  });
  await consumer.disconnect();
}

main().then(() => process.exit(0), (error) => { console.error(error); process.exit(1); });
