"use strict";
// Copies the MD5 and the JSON, and compares the visitor's own copy, which a worker hashes.
const compare = at("compare"), size = Number(compare.dataset.size), verdict = at("own-verdict");
const md5 = at("md5");
let worker;

// A page that came over plain http has no clipboard API, but the browser can copy a selection.
async function copy(what, source) {
  let copied = true;
  try {
    await navigator.clipboard.writeText(source.textContent);
  } catch {
    source.closest("details")?.setAttribute("open", "");
    getSelection().selectAllChildren(source);
    copied = document.execCommand("copy");
  }
  at("copied").textContent = copied ? `✓ ${what} copied` : `Your browser blocked copying. The ${what} is selected: press Ctrl+C (⌘C on a Mac).`;
}

for (const [id, what, source] of [["copy", "MD5", md5], ["copy-json", "JSON", at("json")]]) {
  at(id).hidden = false;
  at(id).addEventListener("click", () => copy(what, source));
}

function end(text, same) {
  worker?.terminate();
  worker = null;
  at("own-progress").hidden = true;
  verdict.hidden = !text;
  verdict.className = `verdict ${same === undefined ? "" : same ? "good" : "bad"}`;
  verdict.firstChild.textContent = same === undefined ? "!" : same ? "✓" : "✗";
  verdict.lastChild.textContent = text;
}

function hash(file) {
  end("");
  if (file.size !== size)
    return end(`Different: your copy has ${file.size.toLocaleString("en")} bytes, the file at the URL ${size.toLocaleString("en")}.`, false);
  const started = performance.now();
  const show = done => {
    const rate = 1000 * done / (performance.now() - started) || 0;
    at("own-bar").value = 100 * done / (size || 1);
    at("own-figures").textContent = `${human(done)} of ${human(size)} of ${file.name}` + (rate ? `, ${human(rate)}/s, about ${span((size - done) / rate)} left` : "");
  };
  show(0);
  at("own-progress").hidden = false;
  worker = new Worker(compare.dataset.worker);
  worker.onerror = () => end("The script that computes the MD5 did not load. Choose the file again.");
  worker.onmessage = ({ data }) => {
    if (data.done) show(data.done);
    else if (data.error) end(`Your browser could not read the file (${data.error}). Was it changed or moved? Choose it again.`);
    else if (data.md5 === md5.textContent) end(`Same: ${file.name} has the MD5 of the file at the URL.`, true);
    else end(`Different: the MD5 of ${file.name} is ${data.md5}.`, false);
  };
  worker.postMessage({ file, size });
}

compare.hidden = false;
at("own").addEventListener("click", () => { at("own").value = ""; }); // or choosing the same file again would be no change
at("own").addEventListener("change", () => { if (at("own").files.length) hash(at("own").files[0]); });
at("own-stop").addEventListener("click", () => { end("Stopped."); at("own").focus(); });
// Anywhere: a browser would leave the page for a file that misses a small target.
addEventListener("dragover", event => event.preventDefault());
addEventListener("drop", event => {
  event.preventDefault();
  const { files, items } = event.dataTransfer;
  if (files.length !== 1 || items[0].webkitGetAsEntry?.()?.isDirectory) return end("Drop one file, and no folder.");
  at("own").value = ""; // which would name another file
  hash(files[0]);
});
