// Keeps states on the page up to date: asks once a second, for a table of jobs or for one job.
"use strict";

async function jobs(address) {
  const answer = await fetch(address, { headers: { Accept: "application/json" } });
  if (!answer.ok) throw new Error(`HTTP ${answer.status}`);
  return answer.json();
}

function show(element, job) {
  const state = element.querySelector(".state");
  if (state.textContent !== job.state) {
    state.textContent = job.state;
    state.className = `state ${job.state.toLowerCase()}`;
  }
  element.querySelector("progress").value = job.progress;
  element.querySelector(".message").textContent = job.error_message || job.message;
}

// Loads the page again; while something is typed or chosen in a form it waits, because that would be lost.
function reload() {
  const typed = [...document.querySelectorAll("input, textarea")].some((field) =>
    field.type === "file" ? field.value !== "" : field.value !== field.defaultValue,
  );
  if (!typed) location.reload();
  return !typed;
}

async function every(act) {
  for (;;) {
    await new Promise((resume) => setTimeout(resume, 1000));
    try {
      if (await act()) return;
    } catch {
      // the next one may succeed
    }
  }
}

document.querySelectorAll("[data-jobs]").forEach((table) =>
  every(async () => {
    const found = await jobs(table.dataset.jobs);
    const row = (job) => document.getElementById(`job-${job.id}`);
    if (!found.every(row) && reload()) return true;
    for (const job of found.filter(row)) show(row(job), job);
    return false;
  }),
);

document.querySelectorAll('[data-follow][data-ended="no"]').forEach((element) =>
  every(async () => {
    const job = (await jobs(element.dataset.follow)).find((each) => each.id === element.dataset.id);
    if (!job) return false;
    show(element, job);
    if (!["COMPLETED", "FAILED"].includes(job.state)) return false;
    return reload();
  }),
);
