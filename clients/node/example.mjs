// Submits a job, follows it, and receives its callback: node example.mjs [message]
// Needs SLUICE_GATEWAY_URL, and SLUICE_CALLBACK_SECRETS of the installation. Prints what happened as JSON.

import { createServer } from "node:http";
import { once } from "node:events";
import { Sluice, verify } from "./sluice.mjs";

const message = process.argv[2] ?? "hello";
const seen = new Set();
let received;
const callback = new Promise((resolve) => (received = resolve));

const server = createServer(async (request, response) => {
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  try {
    const event = verify(request.headers, Buffer.concat(chunks));
    if (!seen.has(request.headers["webhook-id"])) {
      seen.add(request.headers["webhook-id"]); // in a backend: a row, in the transaction that stores the result
      received(event);
    }
    response.writeHead(204).end();
  } catch {
    response.writeHead(401).end();
  }
});
server.listen(0, "127.0.0.1");
await once(server, "listening");

const sluice = new Sluice();
const options = {
  idempotencyKey: `example-${process.pid}-${Date.now()}`,
  callback_url: `http://127.0.0.1:${server.address().port}/done`,
};
const job = await sluice.submit("echo", { message }, options);
const again = await sluice.submit("echo", { message }, options); // the same key: the same job

const events = [];
for await (const event of sluice.events(job.job_id)) events.push(event.name);

const ended = await sluice.wait(job.job_id, 60);
const result = await sluice.result(job.job_id);
const event = await callback;
server.close();

console.log(
  JSON.stringify({
    job_id: job.job_id,
    one_job: job.job_id === again.job_id,
    state: ended.state,
    output: result.output,
    events,
    callback: { type: event.type, job_id: event.data.job_id },
  }),
);
