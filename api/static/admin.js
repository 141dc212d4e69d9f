// The page works without this file: it only keeps the content fresh and posts forms without a reload.
"use strict";
const main = document.getElementById("main");
const connection = document.getElementById("connection");
const said = document.getElementById("said");

function show(html) {
  const focused = document.activeElement && document.activeElement.id;
  const open = main.querySelector("details[open]") !== null;
  const scrolled = [...main.querySelectorAll(".scroll")].map((box) => box.scrollLeft);
  main.innerHTML = html; // made by the server's templates, which escape every value
  if (open) main.querySelector("details").open = true;
  main.querySelectorAll(".scroll").forEach((box, at) => { box.scrollLeft = scrolled[at] || 0; });
  if (focused && main.querySelector("#" + CSS.escape(focused))) document.getElementById(focused).focus({ preventScroll: true });
}

function listen() {
  const stream = new EventSource("/admin/live");
  stream.addEventListener("open", () => { connection.textContent = "Live"; connection.className = "live"; });
  stream.addEventListener("overview", (event) => show(JSON.parse(event.data)));
  stream.addEventListener("signed-out", () => { stream.close(); location.assign("/admin/sign-in"); });
  stream.addEventListener("error", () => {
    connection.textContent = "Connection lost, trying again";
    connection.className = "";
    // An answer that is no stream, such as a proxy's while the service restarts, ends it for good.
    if (stream.readyState === EventSource.CLOSED) setTimeout(again, 3000);
  });
}

async function again() {
  const page = await fetch("/admin/ingestion", { redirect: "manual" }).catch(() => null);
  if (page && page.type === "opaqueredirect") location.assign("/admin/sign-in");
  else listen();
}

let fading = 0;

function say(text, seconds) {
  clearTimeout(fading);
  said.textContent = text;
  if (seconds) fading = setTimeout(() => { said.textContent = ""; }, seconds * 1000);
}

async function reason(reply) {
  const problem = await reply.json().catch(() => ({}));
  return problem.detail || problem.title || "status " + reply.status;
}

listen();

document.addEventListener("submit", async (event) => {
  const form = event.target;
  if (!main.contains(form)) return;
  event.preventDefault();
  const button = form.querySelector("button");
  const label = button.textContent;
  button.disabled = true;
  say("");
  try {
    const reply = await fetch(form.action, { method: "POST", body: new URLSearchParams(new FormData(form)), redirect: "manual" });
    const accepted = reply.type === "opaqueredirect" || reply.ok;
    if (accepted) say(label + ": accepted", 8);
    else say(label + ": refused. " + await reason(reply));
  } catch {
    say(label + ": the service did not answer");
  }
  button.disabled = false;
  // It lost the focus by being disabled, and is another one when the content was shown again meanwhile.
  if (document.activeElement === document.body) (document.getElementById(button.id) || button).focus({ preventScroll: true });
});
