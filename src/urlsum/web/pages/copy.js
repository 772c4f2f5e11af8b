"use strict";
// Copies the MD5. A page that came over plain http has no clipboard API, but the browser can copy a selection.
const button = document.getElementById("copy");
const md5 = document.getElementById("md5");

async function copy() {
  let copied = true;
  try {
    await navigator.clipboard.writeText(md5.textContent);
  } catch {
    getSelection().selectAllChildren(md5);
    copied = document.execCommand("copy");
  }
  document.getElementById("copied").textContent = copied ? "✓ Copied" : "Your browser blocked copying. The MD5 is selected: press Ctrl+C (⌘C on a Mac).";
}

button.hidden = false;
button.addEventListener("click", copy);
