// A client of a sluice gateway for Node 18 and later, with the standard library alone. Copy it into your backend.
// docs/client.md says what is sent again and why; the interface is at /v1/openapi.json of the gateway.

import { createHmac, randomUUID, timingSafeEqual } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";

const ATTEMPTS = 6;
const PASSING = new Set([429, 502, 503, 504]);
const ENDED = new Set(["COMPLETED", "FAILED", "CANCELLED", "EXPIRED"]);
const SILENCE_MS = 45_000; // event streams have a heartbeat every 15 s

/** The gateway's answer to a request that it refuses (RFC 9457). `code` is for programs, `nextStep` for people. */
export class Refused extends Error {
  constructor(status, problem) {
    super(`${problem.detail ?? `HTTP ${status}`} ${problem.next_step ?? ""}`.trim());
    this.status = status;
    this.code = problem.code ?? "";
    this.nextStep = problem.next_step ?? "";
  }
}

export class Sluice {
  constructor(url = process.env.SLUICE_GATEWAY_URL, token = process.env.SLUICE_GATEWAY_TOKEN) {
    if (!url) throw new Error("Set SLUICE_GATEWAY_URL, such as https://sluice.example.");
    this.url = url.replace(/\/+$/, "");
    this.headers = token ? { authorization: `Bearer ${token}` } : {};
  }

  /** Submit a job. The idempotency key makes every repetition the same job: this function's own and, if you give the key, yours. */
  async submit(processor, input, { idempotencyKey = randomUUID(), ...options } = {}) {
    const body = JSON.stringify({ processor, input, ...options });
    const headers = { "content-type": "application/json", "idempotency-key": idempotencyKey };
    return (await this.request("/v1/jobs", { method: "POST", body, headers })).json();
  }

  async job(jobId) {
    return (await this.request(`/v1/jobs/${encodeURIComponent(jobId)}`)).json();
  }

  async result(jobId) {
    return (await this.request(`/v1/jobs/${encodeURIComponent(jobId)}/result`)).json();
  }

  /** Return the job once it has ended; by long polls. Throws after `seconds`; the job goes on. */
  async wait(jobId, seconds = 600) {
    const until = Date.now() + seconds * 1000;
    for (;;) {
      const left = Math.max(0, Math.min(25, (until - Date.now()) / 1000));
      const asked = Date.now();
      const answer = await this.request(`/v1/jobs/${encodeURIComponent(jobId)}?wait=${left.toFixed(3)}`);
      const job = await answer.json();
      if (ENDED.has(job.state)) return job;
      if (Date.now() >= until) throw new Error(`The job had not ended after ${seconds} s.`);
      if (Date.now() - asked < left * 500) await sleep(500); // answered before its time: a stopping gateway
    }
  }

  /** Yield the events of a job until its outcome: {id, name, data}. Connects again after the last event that was whole. */
  async *events(jobId, after = "") {
    let lastId = after;
    for (let failures = 0; ; ) {
      try {
        const headers = { accept: "text/event-stream", ...(lastId && { "last-event-id": lastId }) };
        const answer = await this.request(`/v1/jobs/${encodeURIComponent(jobId)}/events`, { headers });
        failures = 0;
        for await (const event of parse(answer.body, lastId)) {
          lastId = event.id;
          yield event;
          if (event.name === "outcome") return;
        }
      } catch (error) {
        if (error instanceof Refused || ++failures >= ATTEMPTS) throw error;
      }
      await sleep(delay(failures + 1));
    }
  }

  /** Send a request until it succeeds. A submit may be sent again, because it carries its key. */
  async request(path, { headers = {}, ...options } = {}) {
    for (let attempt = 1; ; attempt++) {
      let answer;
      try {
        answer = await fetch(this.url + path, { ...options, headers: { ...this.headers, ...headers }, redirect: "error" });
        if (answer.ok) return answer;
      } catch (error) {
        if (attempt >= ATTEMPTS) throw error;
      }
      if (answer && (!PASSING.has(answer.status) || attempt >= ATTEMPTS)) {
        throw new Refused(answer.status, await answer.json().catch(() => ({})));
      }
      const retryAfter = Number(answer?.headers.get("retry-after") ?? 0);
      await answer?.body?.cancel();
      await sleep((retryAfter || 0) * 1000 + delay(attempt));
    }
  }
}

/** Milliseconds before the next attempt: doubled each time, shortened at random so that clients do not come back together. */
function delay(failures) {
  return Math.min(200 * 2 ** (failures - 1), 10_000) * (0.5 + Math.random() / 2);
}

/** Parse text/event-stream. An event counts only once the blank line after it has come. */
export async function* parse(body, id = "") {
  const decoder = new TextDecoder();
  let rest = "";
  let [name, data] = ["", []];
  for await (const chunk of untilSilence(body)) {
    const lines = (rest + decoder.decode(chunk, { stream: true })).split("\n"); // the gateway ends lines by \n
    rest = lines.pop();
    for (const line of lines) {
      const [, field, value] = /^([^:]*):? ?(.*?)\r?$/.exec(line);
      if (line.trim() === "") {
        if (data.length) yield { id, name: name || "message", data: JSON.parse(data.join("\n")) };
        [name, data] = ["", []];
      } else if (field === "data") data.push(value);
      else if (field === "event") name = value;
      else if (field === "id") id = value;
    }
  }
}

/** Yield the chunks of a body; throw when none has come for SILENCE_MS. */
async function* untilSilence(body) {
  const reader = body.getReader();
  try {
    for (;;) {
      let timer;
      const silence = new Promise((_, reject) => {
        timer = setTimeout(() => reject(new Error("The stream is silent.")), SILENCE_MS);
      });
      const { done, value } = await Promise.race([reader.read(), silence]).finally(() => clearTimeout(timer));
      if (done) return;
      yield value;
    }
  } finally {
    await reader.cancel().catch(() => {});
  }
}

/**
 * Return the event of a callback, or throw if none of the secrets has signed it. `body` is the Buffer as it came.
 * `webhook-id` is the same in every attempt of a delivery: store it with the result, and do nothing if it is there already.
 */
export function verify(headers, body, secrets = (process.env.SLUICE_CALLBACK_SECRETS ?? "").split(","), toleranceS = 300) {
  const [id, timestamp, signatures] = ["id", "timestamp", "signature"].map((part) => headers[`webhook-${part}`] ?? "");
  if (!id || !/^\d{1,11}$/.test(timestamp) || !signatures) throw new Error("The callback has no signature.");
  if (Math.abs(Date.now() / 1000 - Number(timestamp)) > toleranceS) throw new Error("The callback is too old.");
  const expected = secrets.filter(Boolean).map((secret) =>
    createHmac("sha256", Buffer.from(secret.trim().replace(/^whsec_/, ""), "base64"))
      .update(`${id}.${timestamp}.`)
      .update(body)
      .digest(),
  );
  const given = signatures
    .split(" ")
    .filter((signature) => signature.startsWith("v1,"))
    .map((signature) => Buffer.from(signature.slice(3), "base64"));
  const equal = given.some((one) => expected.some((other) => one.length === other.length && timingSafeEqual(one, other)));
  if (!equal) throw new Error("No secret fits the signature of the callback.");
  return JSON.parse(body.toString("utf8"));
}
