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

const stream = new EventSource("/admin/live");
stream.addEventListener("open", () => { connection.textContent = "Live"; connection.className = "live"; });
stream.addEventListener("error", () => { connection.textContent = "Connection lost, trying again"; connection.className = ""; });
stream.addEventListener("overview", (event) => show(JSON.parse(event.data)));
stream.addEventListener("signed-out", () => { stream.close(); location.assign("/admin/sign-in"); });

document.addEventListener("submit", async (event) => {
  const form = event.target;
  if (!main.contains(form)) return;
  event.preventDefault();
  const button = form.querySelector("button");
  const label = button.textContent;
  button.disabled = true;
  try {
    const reply = await fetch(form.action, { method: "POST", body: new URLSearchParams(new FormData(form)), redirect: "manual" });
    const accepted = reply.type === "opaqueredirect" || reply.ok;
    said.textContent = accepted ? label + ": accepted" : label + ": refused (" + reply.status + ")";
  } catch {
    said.textContent = label + ": the service did not answer";
  }
  button.disabled = false;
  button.focus();
});
