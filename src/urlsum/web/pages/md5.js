"use strict";
// A worker: the MD5 (RFC 1321) of a file on the visitor's machine, which stays there. The policy in this script's own
// headers lets it load and send nothing.
const BLOCK = 64; // bytes, MD5's block
const CHUNK = 4 * 2 ** 20; // bytes per read: reads cost little then, and a megabyte or two more of memory costs nothing
const PAUSE = 100; // milliseconds between two reports: ten a second look smooth

class Md5 {
  state = Int32Array.of(0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476);
  count = 0; // bytes hashed; exact up to 8 PiB

  // Hashes whole blocks. The words are little-endian, as all machines with a browser are.
  update(buffer, bytes = buffer.byteLength) {
    const x = new Int32Array(buffer, 0, bytes / 4), state = this.state;
    let [a, b, c, d] = state;
    // The 64 steps are written out, because engines inline only some calls. | 0 keeps every sum a 32-bit integer.
    for (let at = 0; at < x.length; at += BLOCK / 4) {
      const a0 = a, b0 = b, c0 = c, d0 = d;
      a = a + (d ^ b & (c ^ d)) + x[at] - 680876936 | 0; a = (a << 7 | a >>> 25) + b | 0;
      d = d + (c ^ a & (b ^ c)) + x[at + 1] - 389564586 | 0; d = (d << 12 | d >>> 20) + a | 0;
      c = c + (b ^ d & (a ^ b)) + x[at + 2] + 606105819 | 0; c = (c << 17 | c >>> 15) + d | 0;
      b = b + (a ^ c & (d ^ a)) + x[at + 3] - 1044525330 | 0; b = (b << 22 | b >>> 10) + c | 0;
      a = a + (d ^ b & (c ^ d)) + x[at + 4] - 176418897 | 0; a = (a << 7 | a >>> 25) + b | 0;
      d = d + (c ^ a & (b ^ c)) + x[at + 5] + 1200080426 | 0; d = (d << 12 | d >>> 20) + a | 0;
      c = c + (b ^ d & (a ^ b)) + x[at + 6] - 1473231341 | 0; c = (c << 17 | c >>> 15) + d | 0;
      b = b + (a ^ c & (d ^ a)) + x[at + 7] - 45705983 | 0; b = (b << 22 | b >>> 10) + c | 0;
      a = a + (d ^ b & (c ^ d)) + x[at + 8] + 1770035416 | 0; a = (a << 7 | a >>> 25) + b | 0;
      d = d + (c ^ a & (b ^ c)) + x[at + 9] - 1958414417 | 0; d = (d << 12 | d >>> 20) + a | 0;
      c = c + (b ^ d & (a ^ b)) + x[at + 10] - 42063 | 0; c = (c << 17 | c >>> 15) + d | 0;
      b = b + (a ^ c & (d ^ a)) + x[at + 11] - 1990404162 | 0; b = (b << 22 | b >>> 10) + c | 0;
      a = a + (d ^ b & (c ^ d)) + x[at + 12] + 1804603682 | 0; a = (a << 7 | a >>> 25) + b | 0;
      d = d + (c ^ a & (b ^ c)) + x[at + 13] - 40341101 | 0; d = (d << 12 | d >>> 20) + a | 0;
      c = c + (b ^ d & (a ^ b)) + x[at + 14] - 1502002290 | 0; c = (c << 17 | c >>> 15) + d | 0;
      b = b + (a ^ c & (d ^ a)) + x[at + 15] + 1236535329 | 0; b = (b << 22 | b >>> 10) + c | 0;
      a = a + (c ^ d & (b ^ c)) + x[at + 1] - 165796510 | 0; a = (a << 5 | a >>> 27) + b | 0;
      d = d + (b ^ c & (a ^ b)) + x[at + 6] - 1069501632 | 0; d = (d << 9 | d >>> 23) + a | 0;
      c = c + (a ^ b & (d ^ a)) + x[at + 11] + 643717713 | 0; c = (c << 14 | c >>> 18) + d | 0;
      b = b + (d ^ a & (c ^ d)) + x[at] - 373897302 | 0; b = (b << 20 | b >>> 12) + c | 0;
      a = a + (c ^ d & (b ^ c)) + x[at + 5] - 701558691 | 0; a = (a << 5 | a >>> 27) + b | 0;
      d = d + (b ^ c & (a ^ b)) + x[at + 10] + 38016083 | 0; d = (d << 9 | d >>> 23) + a | 0;
      c = c + (a ^ b & (d ^ a)) + x[at + 15] - 660478335 | 0; c = (c << 14 | c >>> 18) + d | 0;
      b = b + (d ^ a & (c ^ d)) + x[at + 4] - 405537848 | 0; b = (b << 20 | b >>> 12) + c | 0;
      a = a + (c ^ d & (b ^ c)) + x[at + 9] + 568446438 | 0; a = (a << 5 | a >>> 27) + b | 0;
      d = d + (b ^ c & (a ^ b)) + x[at + 14] - 1019803690 | 0; d = (d << 9 | d >>> 23) + a | 0;
      c = c + (a ^ b & (d ^ a)) + x[at + 3] - 187363961 | 0; c = (c << 14 | c >>> 18) + d | 0;
      b = b + (d ^ a & (c ^ d)) + x[at + 8] + 1163531501 | 0; b = (b << 20 | b >>> 12) + c | 0;
      a = a + (c ^ d & (b ^ c)) + x[at + 13] - 1444681467 | 0; a = (a << 5 | a >>> 27) + b | 0;
      d = d + (b ^ c & (a ^ b)) + x[at + 2] - 51403784 | 0; d = (d << 9 | d >>> 23) + a | 0;
      c = c + (a ^ b & (d ^ a)) + x[at + 7] + 1735328473 | 0; c = (c << 14 | c >>> 18) + d | 0;
      b = b + (d ^ a & (c ^ d)) + x[at + 12] - 1926607734 | 0; b = (b << 20 | b >>> 12) + c | 0;
      a = a + (b ^ c ^ d) + x[at + 5] - 378558 | 0; a = (a << 4 | a >>> 28) + b | 0;
      d = d + (a ^ b ^ c) + x[at + 8] - 2022574463 | 0; d = (d << 11 | d >>> 21) + a | 0;
      c = c + (d ^ a ^ b) + x[at + 11] + 1839030562 | 0; c = (c << 16 | c >>> 16) + d | 0;
      b = b + (c ^ d ^ a) + x[at + 14] - 35309556 | 0; b = (b << 23 | b >>> 9) + c | 0;
      a = a + (b ^ c ^ d) + x[at + 1] - 1530992060 | 0; a = (a << 4 | a >>> 28) + b | 0;
      d = d + (a ^ b ^ c) + x[at + 4] + 1272893353 | 0; d = (d << 11 | d >>> 21) + a | 0;
      c = c + (d ^ a ^ b) + x[at + 7] - 155497632 | 0; c = (c << 16 | c >>> 16) + d | 0;
      b = b + (c ^ d ^ a) + x[at + 10] - 1094730640 | 0; b = (b << 23 | b >>> 9) + c | 0;
      a = a + (b ^ c ^ d) + x[at + 13] + 681279174 | 0; a = (a << 4 | a >>> 28) + b | 0;
      d = d + (a ^ b ^ c) + x[at] - 358537222 | 0; d = (d << 11 | d >>> 21) + a | 0;
      c = c + (d ^ a ^ b) + x[at + 3] - 722521979 | 0; c = (c << 16 | c >>> 16) + d | 0;
      b = b + (c ^ d ^ a) + x[at + 6] + 76029189 | 0; b = (b << 23 | b >>> 9) + c | 0;
      a = a + (b ^ c ^ d) + x[at + 9] - 640364487 | 0; a = (a << 4 | a >>> 28) + b | 0;
      d = d + (a ^ b ^ c) + x[at + 12] - 421815835 | 0; d = (d << 11 | d >>> 21) + a | 0;
      c = c + (d ^ a ^ b) + x[at + 15] + 530742520 | 0; c = (c << 16 | c >>> 16) + d | 0;
      b = b + (c ^ d ^ a) + x[at + 2] - 995338651 | 0; b = (b << 23 | b >>> 9) + c | 0;
      a = a + (c ^ (b | ~d)) + x[at] - 198630844 | 0; a = (a << 6 | a >>> 26) + b | 0;
      d = d + (b ^ (a | ~c)) + x[at + 7] + 1126891415 | 0; d = (d << 10 | d >>> 22) + a | 0;
      c = c + (a ^ (d | ~b)) + x[at + 14] - 1416354905 | 0; c = (c << 15 | c >>> 17) + d | 0;
      b = b + (d ^ (c | ~a)) + x[at + 5] - 57434055 | 0; b = (b << 21 | b >>> 11) + c | 0;
      a = a + (c ^ (b | ~d)) + x[at + 12] + 1700485571 | 0; a = (a << 6 | a >>> 26) + b | 0;
      d = d + (b ^ (a | ~c)) + x[at + 3] - 1894986606 | 0; d = (d << 10 | d >>> 22) + a | 0;
      c = c + (a ^ (d | ~b)) + x[at + 10] - 1051523 | 0; c = (c << 15 | c >>> 17) + d | 0;
      b = b + (d ^ (c | ~a)) + x[at + 1] - 2054922799 | 0; b = (b << 21 | b >>> 11) + c | 0;
      a = a + (c ^ (b | ~d)) + x[at + 8] + 1873313359 | 0; a = (a << 6 | a >>> 26) + b | 0;
      d = d + (b ^ (a | ~c)) + x[at + 15] - 30611744 | 0; d = (d << 10 | d >>> 22) + a | 0;
      c = c + (a ^ (d | ~b)) + x[at + 6] - 1560198380 | 0; c = (c << 15 | c >>> 17) + d | 0;
      b = b + (d ^ (c | ~a)) + x[at + 13] + 1309151649 | 0; b = (b << 21 | b >>> 11) + c | 0;
      a = a + (c ^ (b | ~d)) + x[at + 4] - 145523070 | 0; a = (a << 6 | a >>> 26) + b | 0;
      d = d + (b ^ (a | ~c)) + x[at + 11] - 1120210379 | 0; d = (d << 10 | d >>> 22) + a | 0;
      c = c + (a ^ (d | ~b)) + x[at + 2] + 718787259 | 0; c = (c << 15 | c >>> 17) + d | 0;
      b = b + (d ^ (c | ~a)) + x[at + 9] - 343485551 | 0; b = (b << 21 | b >>> 11) + c | 0;
      a = a + a0 | 0;
      b = b + b0 | 0;
      c = c + c0 | 0;
      d = d + d0 | 0;
    }
    state.set([a, b, c, d]);
    this.count += bytes;
  }

  // Hashes the last bytes, of which there may be more than a block, and returns the MD5 in hexadecimal.
  finish(buffer) {
    const whole = buffer.byteLength - buffer.byteLength % BLOCK, rest = new Uint8Array(buffer, whole);
    this.update(buffer, whole);
    const count = this.count + rest.length;
    const last = new Uint8Array(rest.length < BLOCK - 8 ? BLOCK : 2 * BLOCK), view = new DataView(last.buffer);
    last.set(rest);
    last[rest.length] = 0x80;
    // The length in bits, as two words: their count may exceed what one word or a 32-bit operation holds.
    view.setUint32(last.length - 8, count % 2 ** 29 * 8, true);
    view.setUint32(last.length - 4, Math.floor(count / 2 ** 29), true);
    this.update(last.buffer);
    return Array.from(new Uint8Array(this.state.buffer), byte => byte.toString(16).padStart(2, "0")).join("");
  }
}

// Reads one chunk ahead, so that reading and hashing overlap. A file that is gone has a size of 0, so the page says what
// size it had.
async function md5(file, size, report) {
  const hash = new Md5(), read = at => file.slice(at, at + CHUNK).arrayBuffer();
  let next = read(0), reported = performance.now();
  for (let at = 0; ; at += CHUNK) {
    const buffer = await next, end = at + buffer.byteLength;
    if (end !== Math.min(at + CHUNK, size)) throw new DOMException("the file changed", "NotReadableError");
    if (end === size) return hash.finish(buffer);
    next = read(end);
    hash.update(buffer);
    if (performance.now() - reported < PAUSE) continue;
    reported = performance.now();
    report(end);
  }
}

addEventListener("message", async ({ data: { file, size } }) => {
  try {
    postMessage({ md5: await md5(file, size, done => postMessage({ done })) });
  } catch (error) {
    postMessage({ error: error.name });
  }
});
