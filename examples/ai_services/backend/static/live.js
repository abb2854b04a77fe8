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
    if (found.some((job) => !document.getElementById(`job-${job.id}`))) location.reload();
    for (const job of found) show(document.getElementById(`job-${job.id}`), job);
  }),
);

document.querySelectorAll('[data-follow][data-ended="no"]').forEach((element) =>
  every(async () => {
    const job = (await jobs(element.dataset.follow)).find((each) => each.id === element.dataset.id);
    if (!job) return false;
    show(element, job);
    if (!["COMPLETED", "FAILED"].includes(job.state)) return false;
    location.reload();
    return true;
  }),
);
