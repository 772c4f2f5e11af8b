// Runs the worker script without a worker, for test_md5_script.py: reads lines of JSON, writes an MD5 for each.
"use strict";
const fs = require("node:fs");
const vm = require("node:vm");

globalThis.addEventListener = () => {};
vm.runInThisContext(fs.readFileSync(process.argv[2], "utf8"));

// With a number of MiB: hashes so many, and writes the bytes per second of CPU time, of the best of three runs.
if (process.argv[3]) {
  const chunk = new ArrayBuffer(2 ** 20);
  const rates = [1, 2, 3].map(() => {
    const hash = vm.runInThisContext("new Md5()"), before = process.cpuUsage();
    for (let n = 0; n < process.argv[3]; n++) hash.update(chunk);
    const { user, system } = process.cpuUsage(before);
    return 1e6 * hash.count / (user + system);
  });
  console.log(Math.max(...rates));
  process.exit();
}

for (const line of fs.readFileSync(0, "utf8").trim().split("\n")) {
  const { state, count, updates, last } = JSON.parse(line);
  const hash = vm.runInThisContext("new Md5()");
  if (state) hash.state.set(state);
  hash.count = count;
  const bytes = hex => Uint8Array.from(Buffer.from(hex, "hex")).buffer;
  for (const each of updates) hash.update(bytes(each));
  console.log(hash.finish(bytes(last)));
}
