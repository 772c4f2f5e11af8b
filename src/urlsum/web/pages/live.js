"use strict";
// Keeps the page of an unfinished task up to date: polls its JSON as Retry-After says, never sooner.
const LONGEST_PAUSE = 60; // seconds between attempts while urlsum is unreachable
const HIDDEN_PAUSE = 30; // extra seconds while the page is hidden: only its title is visible then
const TIMEOUT = 30000; // milliseconds for one response: API Gateway's own limit, so that a late 503 still arrives
const ENDED = [200, 404, 410, 424];
const live = at("live");

let activity = live.dataset.activity;
let quarter = Math.floor((at("bar").value || 0) / 25);
let resumed = at("resumed").textContent;
let restarts = Number(live.dataset.restarts);
let paused = "paused" in live.dataset;
let fetching = false;
let lost = 0; // failed polls in a row
let due = performance.now() + live.dataset.after * 1000;
let attempt = live.dataset.attempt;
let wanted = false; // a notification of the end
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
  const progress = task.reader ?? task.progress, percent = progress.percent, bar = at("bar");
  const known = percent === null ? null : `${percent.toFixed(1)} %`;
  at("doing").textContent = at("doing").dataset[task.activity];
  document.title = `${known ?? at("doing").textContent} – ${shown.textContent} – urlsum`;
  at("percent").hidden = known === null;
  at("percent").textContent = known ?? "";
  if (known === null) bar.removeAttribute("value");
  else bar.value = percent;
  bar.hidden = known === null && task.activity !== "hashing";
  const total = progress.total === null ? "" : ` of ${human(progress.total)}`;
  at("reader").hidden = !task.reader;
  fact("ahead", task.ahead === undefined || task.reader ? null : before(task.ahead));
  fact("hashed", progress.bytes || total ? human(progress.bytes) + total : null);
  fact("rate", progress.bytes_per_second === null ? null : `${human(progress.bytes_per_second)}/s`);
  fact("left", progress.eta_seconds === null ? null : `about ${span(progress.eta_seconds)}`);
  fact("resumed", progress.resumed_from === null ? null : human(progress.resumed_from));
  at("restarted").parentElement.hidden = !progress.restarts;
  at("retry").hidden = !task.retry;
  at("why").textContent = (task.retry?.message ?? "").replace(live.dataset.prefix, "");
  attempt = task.retry ? `${task.retry.attempt} of ${task.retry.most_attempts}` : "";
  retryAt = performance.now() + 1000 * (task.retry?.in_seconds ?? 0);
  announce(task, progress, known);
}

// Writes the place in the queue as urlsum.web.pages.filters.ahead does.
function before(count) {
  return count ? `${count === 100 ? "100 or more" : count} ${count === 1 ? "task" : "tasks"} ahead` : "next in line";
}

// For screen readers: what changed, and each quarter. A figure every second would drown out everything else.
function announce(task, progress, known) {
  const passed = Math.floor((progress.percent ?? 0) / 25);
  if (task.activity !== activity) say(`${at("doing").textContent}. ${at("why").textContent}`);
  else if (progress.restarts > restarts) say(`Restarted: ${at("restarted").textContent}.`);
  else if (at("resumed").textContent !== resumed && progress.resumed_from !== null)
    say(`Resumed at ${at("resumed").textContent}.`);
  else if (passed > quarter) say(`${known} hashed.`);
  else if (lost) say("Reconnected.");
  activity = task.activity;
  quarter = passed;
  resumed = at("resumed").textContent;
  restarts = progress.restarts;
}

// On Android only service workers may notify, and the constructor throws.
function leave(status) {
  try {
    if (wanted) new Notification(shown.textContent, { body: status === 200 ? "The MD5 is known." : "There is no MD5.", tag: live.dataset.id });
  } catch {}
  location.reload();
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
    if (ours && ENDED.includes(response.status)) return leave(response.status);
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
  if (!at("retry").hidden) at("when").textContent = `Attempt ${attempt} ${wait > 0 ? `in ${span(wait)}` : "starts now"}.`;
}

at("pause").addEventListener("click", () => {
  paused = !paused;
  at("pause").textContent = paused ? "Resume updates" : "Pause updates";
  tick();
});
at("pause").textContent = paused ? "Resume updates" : "Pause updates";
// Browsers let only pages over https, and of this machine, ask.
at("notify").hidden = !(isSecureContext && window.Notification);
at("notify").addEventListener("click", async () => {
  wanted = !wanted && await Notification.requestPermission() === "granted";
  at("notify").setAttribute("aria-pressed", wanted);
  at("notify").textContent = wanted ? "✓ You will be notified" : Notification.permission === "denied" ? "Your browser blocks notifications" : "Notify me when it ends";
});
at("updates").hidden = false;
document.addEventListener("visibilitychange", tick);
setInterval(tick, 250);
tick();
