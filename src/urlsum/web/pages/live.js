"use strict";
// Keeps the page of an unfinished task up to date: polls its JSON as Retry-After says, never sooner.
const UNITS = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
const SPANS = [["d", 86400], ["h", 3600], ["min", 60], ["s", 1]];
const LONGEST_PAUSE = 60; // seconds between attempts while urlsum is unreachable
const HIDDEN_PAUSE = 30; // extra seconds while the page is hidden: only its title is visible then
const TIMEOUT = 30000; // milliseconds for one response: API Gateway's own limit, so that a late 503 still arrives
const ENDED = [200, 404, 410, 424];
const at = id => document.getElementById(id);
const live = at("live");

// Writes bytes as urlsum.text.format.human_bytes does.
function human(count) {
  if (count < 1024) return `${count} B`;
  let unit = -1;
  do { count /= 1024; unit++; } while (count >= 1023.95 && unit < UNITS.length - 1);
  return `${count.toFixed(1)} ${UNITS[unit]}`;
}

// Writes seconds as urlsum.web.pages.duration does: in the two largest units that are not zero.
function span(seconds) {
  const parts = [];
  for (const [unit, length] of SPANS) {
    const count = Math.floor(seconds / length);
    seconds %= length;
    if (count || (unit === "s" && !parts.length)) parts.push(`${count} ${unit}`);
    else if (parts.length) break;
  }
  return parts.slice(0, 2).join(" ");
}

let activity = live.dataset.activity;
let quarter = Math.floor((at("bar").value || 0) / 25);
let resumed = at("resumed").textContent;
let restarts = Number(live.dataset.restarts);
let paused = "paused" in live.dataset;
let fetching = false;
let lost = 0; // failed polls in a row
let due = performance.now() + live.dataset.after * 1000;
let retryAt = performance.now() + live.dataset.retry * 1000;

// Retry-After in seconds. A proxy may give a date, by its own clock (RFC 9110, 10.2.3).
function retryAfter(headers) {
  const value = headers.get("Retry-After"), seconds = Number(value);
  if (Number.isFinite(seconds)) return seconds;
  return (Date.parse(value) - (Date.parse(headers.get("Date")) || Date.now())) / 1000 || 0;
}

function say(text) {
  at("announcement").textContent = text;
}

function fact(id, text) {
  at(id).parentElement.hidden = text === null;
  at(id).textContent = text ?? "";
}

function show(task) {
  const progress = task.progress, percent = progress.percent, bar = at("bar");
  const known = percent === null ? null : `${percent.toFixed(1)} %`;
  at("doing").textContent = at("doing").dataset[task.activity];
  document.title = `${known ?? at("doing").textContent} – urlsum`;
  at("percent").hidden = known === null;
  at("percent").textContent = known ?? "";
  if (known === null) bar.removeAttribute("value");
  else bar.value = percent;
  bar.hidden = known === null && task.activity !== "hashing";
  const total = progress.total === null ? "" : ` of ${human(progress.total)}`;
  fact("hashed", progress.bytes || total ? human(progress.bytes) + total : null);
  fact("rate", progress.bytes_per_second === null ? null : `${human(progress.bytes_per_second)}/s`);
  fact("left", progress.eta_seconds === null ? null : `about ${span(progress.eta_seconds)}`);
  fact("resumed", progress.resumed_from === null ? null : human(progress.resumed_from));
  at("restarted").parentElement.hidden = !progress.restarts;
  at("retry").hidden = !task.retry;
  at("why").textContent = (task.retry?.message ?? "").replace(live.dataset.prefix, "");
  retryAt = performance.now() + 1000 * (task.retry?.in_seconds ?? 0);
  announce(task, known);
}

// For screen readers: what changed, and each quarter. A figure every second would drown out everything else.
function announce(task, known) {
  const passed = Math.floor((task.progress.percent ?? 0) / 25);
  if (task.activity !== activity) say(`${at("doing").textContent}. ${at("why").textContent}`);
  else if (task.progress.restarts > restarts) say(`Restarted: ${at("restarted").textContent}.`);
  else if (at("resumed").textContent !== resumed && task.progress.resumed_from !== null)
    say(`Resumed at ${at("resumed").textContent}.`);
  else if (passed > quarter) say(`${known} hashed.`);
  else if (lost) say("Reconnected.");
  activity = task.activity;
  quarter = passed;
  resumed = at("resumed").textContent;
  restarts = task.progress.restarts;
}

async function poll() {
  fetching = true;
  let after = 0;
  try {
    const response = await fetch(`?id=${live.dataset.id}`, {
      headers: { Accept: "application/json" },
      cache: "no-store", // the browser would keep a 410 from a proxy
      signal: AbortSignal.timeout(TIMEOUT),
    });
    after = retryAfter(response.headers);
    // A 404 from a proxy says nothing about the task.
    const ours = /json/.test(response.headers.get("Content-Type"));
    if (ours && ENDED.includes(response.status)) return location.reload();
    if (!ours || response.status !== 202) throw new Error(`status ${response.status}`);
    show(await response.json());
    lost = 0;
    after = Math.max(after, 1);
  } catch {
    lost++;
    after = Math.max(after, Math.min(2 ** lost, LONGEST_PAUSE));
    if (lost === 1) say("Can't reach urlsum. This page keeps trying.");
  }
  fetching = false;
  due = performance.now() + after * 1000;
  tick();
}

function tick() {
  const now = performance.now();
  const rest = document.hidden ? HIDDEN_PAUSE * 1000 : 0;
  if (!paused && !fetching && now >= due + rest) poll();
  const left = Math.max(Math.ceil((due - now) / 1000), 0);
  at("next").textContent = paused ? "Updates are paused." : left ? `Next update in ${span(left)}.` : "Updating now.";
  at("lost").hidden = !lost;
  const again = paused ? "" : left ? ` Trying again in ${span(left)}.` : " Trying again now.";
  at("lost").textContent = lost ? `Can't reach urlsum; these figures may be out of date.${again}` : "";
  const wait = Math.ceil((retryAt - now) / 1000);
  if (!at("retry").hidden) at("when").textContent = wait > 0 ? `Next attempt in ${span(wait)}.` : "Retrying now.";
}

at("pause").addEventListener("click", () => {
  paused = !paused;
  at("pause").textContent = paused ? "Resume updates" : "Pause updates";
  tick();
});
at("pause").textContent = paused ? "Resume updates" : "Pause updates";
at("updates").hidden = false;
document.addEventListener("visibilitychange", tick);
setInterval(tick, 250);
tick();
