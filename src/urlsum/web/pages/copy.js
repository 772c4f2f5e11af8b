"use strict";
// Copies the MD5. Where the page came over plain http there is no clipboard to write to, but a selection can be copied.
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
  document.getElementById("copied").textContent = copied ? "✓ Copied" : "Your browser lets nobody copy; it is selected now.";
}

button.hidden = false;
button.addEventListener("click", copy);
