"use strict";
// The list of recent tasks, and what to do with several URLs.
const FEW = 5; // URLs that a command line shows at a glance
const several = at("several"), section = at("recent");

function list() {
  const tasks = recent();
  section.hidden = !tasks.length;
  section.querySelector("ul").replaceChildren(...tasks.map(({ id, name, state, at }) => {
    const item = make("li");
    item.append(
      make("a", { href: `${home}check?id=${id}`, textContent: name }),
      make("span", { className: "soft small", textContent: ` ${state}, ${local(at)}` }),
    );
    return item;
  }));
}

at("clear").addEventListener("click", () => {
  keep([]);
  list();
  at("url").focus();
});

// A field of one line joins the lines that are pasted into it.
at("url").addEventListener("paste", event => {
  const text = event.clipboardData.getData("text"), urls = text.match(/(?<=^|[\s(*])https?:\/\/\S+/gi) ?? [];
  several.hidden = urls.length < 2;
  if (several.hidden) return;
  event.preventDefault();
  const server = new URL(home, location).href.replace(/\/$/, "");
  const sums = /^\\?[0-9a-f]{32}\s|\)\s*=\s*[0-9a-f]{32}$/im.test(text);
  const [how, rest] = sums ? ["save the list as MD5SUMS, and let this service verify it.", "-c MD5SUMS"]
    : urls.length > FEW ? ["save the list as urls.txt, and let this service read it.", "-i urls.txt"]
    : ["this service reads them, one task for each.", urls.map(url => `'${url.replaceAll("'", "'\\''")}'`).join(" ")];
  several.replaceChildren(
    make("p", { textContent: `You pasted ${urls.length} URLs, and this form takes one. The command urlsum takes them all: ${how}` }),
    make("pre", { textContent: `urlsum --server ${server} ${rest}` }),
  );
});

list();
addEventListener("pageshow", list); // also when the page comes back from the browser's history
