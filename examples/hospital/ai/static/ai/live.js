// Keeps the states on the page up to date: polls each open inference once a second, as the hospital's front end does.
"use strict";

async function json(address) {
  const answer = await fetch(address, { headers: { Accept: "application/json" } });
  if (!answer.ok) throw new Error(`HTTP ${answer.status}`);
  return answer.json();
}

function show(element, state) {
  if (element.textContent === state) return;
  element.textContent = state;
  element.className = `state ${state.toLowerCase()}`;
}

async function follow(element) {
  for (;;) {
    await new Promise((resume) => setTimeout(resume, 1000));
    let row;
    try {
      row = await json(element.dataset.poll);
    } catch {
      continue; // the next poll may succeed
    }
    show(element, row.status);
    if (row.status === "COMPLETED" || row.status === "FAILED") break;
  }
  location.reload(); // the page shows times, files and pictures that came with the outcome
}

async function followRequests(table) {
  let before = "";
  for (;;) {
    await new Promise((resume) => setTimeout(resume, 1000));
    try {
      const answer = await json(table.dataset.requests);
      const now = JSON.stringify((answer.requests || []).map((each) => [each.request_id ?? each.id, each.status]));
      if (before && now !== before) location.reload();
      before = now;
    } catch {
      // the next poll may succeed
    }
  }
}

document.querySelectorAll("[data-poll]").forEach(follow);
document.querySelectorAll("[data-requests]").forEach(followRequests);
