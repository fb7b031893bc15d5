// Choosing the metric that a content is judged by; marking the section in view.
(() => {
  "use strict";

  const panels = [...document.querySelectorAll(".panel")];
  const selects = [...document.querySelectorAll("select.by")];

  function judge(content, metric) {
    for (const panel of panels) {
      if (panel.dataset.content === content) panel.hidden = panel.dataset.metric !== metric;
    }
    for (const select of selects) {
      if (select.dataset.content === content) select.value = metric;
    }
  }
  for (const select of selects) {
    select.addEventListener("change", () => {
      // What is above may change its height; the list that was used stays where it was.
      const before = select.getBoundingClientRect().top;
      judge(select.dataset.content, select.value);
      window.scrollBy(0, select.getBoundingClientRect().top - before);
    });
  }

  const links = new Map([...document.querySelectorAll("nav a")].map((a) => [a.hash.slice(1), a]));
  const sections = [...document.querySelectorAll("main > section")].filter((s) => links.has(s.id));
  function mark() {
    const line = 120;
    let now = null;
    for (const section of sections) if (section.getBoundingClientRect().top <= line) now = section;
    if (window.innerHeight + window.scrollY >= document.documentElement.scrollHeight - 2) now = sections.at(-1);
    for (const [id, link] of links) {
      if (now && id === now.id) link.setAttribute("aria-current", "true");
      else link.removeAttribute("aria-current");
    }
  }
  let waiting = false;
  addEventListener("scroll", () => {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => {
      waiting = false;
      mark();
    });
  }, { passive: true });
  mark();
})();
