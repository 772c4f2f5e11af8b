"use strict";
// What the scripts of all pages share: figures as the server writes them, local times, and the list of recent tasks.
const UNITS = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
const SPANS = [["d", 86400], ["h", 3600], ["min", 60], ["s", 1]];
const MOST_RECENT = 20; // about what fits on a screen
const at = id => document.getElementById(id);
const make = (tag, members) => Object.assign(document.createElement(tag), members);

// Writes bytes as urlsum.text.format.human_bytes does.
function human(count) {
  if (count < 1024) return `${count} B`;
  let unit = -1;
  do { count /= 1024; unit++; } while (count >= 1023.95 && unit < UNITS.length - 1);
  return `${count.toFixed(1)} ${UNITS[unit]}`;
}

// Writes seconds as urlsum.web.pages.filters.duration does: in the two largest units that are not zero.
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

function local(iso) {
  return new Date(iso).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" });
}

for (const time of document.querySelectorAll("time"))
  time.after(make("span", { className: "local", textContent: `${local(time.dateTime)} local time` }));

// One host may serve several urlsums under different paths.
const home = document.querySelector("header a").pathname;
const KEY = `urlsum ${home}`;

// Storage may be switched off, full, or hold what another program wrote: then there is no list.
function recent() {
  try {
    return JSON.parse(localStorage.getItem(KEY)).filter(({ id }) => /^[0-9a-f-]{36}$/.test(id));
  } catch {
    return [];
  }
}

function keep(tasks) {
  try {
    localStorage.setItem(KEY, JSON.stringify(tasks.slice(0, MOST_RECENT)));
  } catch {}
}

const shown = document.querySelector("[data-task]");
if (shown) {
  const { task: id, state, at } = shown.dataset;
  keep([{ id, state, at, name: shown.textContent }, ...recent().filter(task => task.id !== id)]);
}
if (document.querySelector("[data-gone]")) {
  const gone = new URLSearchParams(location.search).get("id");
  keep(recent().filter(({ id }) => id !== gone));
}
