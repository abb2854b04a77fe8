// node --test: a gateway that breaks connections, and signed callbacks.

import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { once } from "node:events";
import { createServer } from "node:http";
import { test } from "node:test";
import { Refused, Sluice, parse, verify } from "./sluice.mjs";

async function withGateway(handler, use) {
  const requests = [];
  const server = createServer(async (request, response) => {
    let body = "";
    for await (const chunk of request) body += chunk;
    requests.push({ url: request.url, headers: request.headers, body });
    handler(request, response, requests.length);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  try {
    await use(new Sluice(`http://127.0.0.1:${server.address().port}`, "slt_x"), requests);
  } finally {
    server.closeAllConnections();
    server.close();
  }
}

const json = (response, status, body) => response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(body));

test("a submit whose connection breaks is sent again with the same key", async () => {
  const handler = (_, response, n) => (n < 3 ? response.destroy() : json(response, 202, { job_id: "j1" }));
  await withGateway(handler, async (sluice, requests) => {
    assert.equal((await sluice.submit("echo", { message: "hi" })).job_id, "j1");
    assert.equal(requests.length, 3);
    assert.equal(new Set(requests.map((request) => request.headers["idempotency-key"])).size, 1);
    assert.equal(requests[0].headers.authorization, "Bearer slt_x");
  });
});

test("a refusal has its code and next step, and is not sent again", async () => {
  const problem = { code: "UNKNOWN_PROCESSOR", detail: "There is no ecko.", next_step: "Did you mean echo?" };
  await withGateway((_, response) => json(response, 422, problem), async (sluice, requests) => {
    await assert.rejects(sluice.submit("ecko", {}), (error) => error instanceof Refused && error.code === problem.code && /echo/.test(error.message));
    assert.equal(requests.length, 1);
  });
});

test("events go on after the last whole event when the connection breaks", async () => {
  const events = [1, 2, 3, 4].map((id) => `id: ${id}\nevent: ${id < 4 ? "progress" : "outcome"}\ndata: {"n":${id}}\n\n`);
  const handler = (request, response) => {
    const after = Number(request.headers["last-event-id"] ?? 0);
    response.writeHead(200, { "content-type": "text/event-stream" });
    response.write(events[after] + (events[after + 1] ?? "").slice(0, 12), () => response.destroy());
  };
  await withGateway(handler, async (sluice) => {
    const seen = [];
    for await (const event of sluice.events("j1")) seen.push(event.data.n);
    assert.deepEqual(seen, [1, 2, 3, 4]);
  });
});

test("any chunking of a stream gives the same events", async () => {
  const bytes = Buffer.from(': hi\nid: 1\nevent: text\ndata: {"text":\ndata: "grüße"}\n\n');
  for (let cut = 0; cut <= bytes.length; cut++) {
    const body = new ReadableStream({
      start(controller) {
        for (const part of [bytes.subarray(0, cut), bytes.subarray(cut)]) controller.enqueue(part);
        controller.close();
      },
    });
    const seen = [];
    for await (const event of parse(body)) seen.push(event);
    assert.deepEqual(seen, [{ id: "1", name: "text", data: { text: "grüße" } }]);
  }
});

test("a callback is verified by any of the secrets, and refused otherwise", () => {
  const [secret, other] = ["a", "b"].map((letter) => "whsec_" + Buffer.from(letter.repeat(24)).toString("base64"));
  const body = Buffer.from('{"type":"job.completed"}');
  const sign = (at) => {
    const timestamp = String(Math.floor(Date.now() / 1000) + at);
    const mac = createHmac("sha256", "a".repeat(24)).update(`msg_1.${timestamp}.${body}`).digest("base64");
    return { "webhook-id": "msg_1", "webhook-timestamp": timestamp, "webhook-signature": `v1,AAAA v1,${mac}` };
  };
  assert.equal(verify(sign(0), body, [other, secret]).type, "job.completed");
  assert.throws(() => verify(sign(0), body, [other]), /No secret/);
  assert.throws(() => verify(sign(0), Buffer.from("{}"), [secret]), /No secret/);
  assert.throws(() => verify(sign(-400), body, [secret]), /too old/);
  assert.throws(() => verify({}, body, [secret]), /no signature/);
});
