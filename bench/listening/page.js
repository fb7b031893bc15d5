// The page of a listening test: begin, one trial after the other, the end. Whatever comes from a run is set as text.

import { make } from "./dom.js";
import { Player } from "./player.js";
import { trialView } from "./trial.js";

const RETRY = 2000;

const main = document.getElementById("main");
const player = new Player();
let test = null; // what the server tells of the test
let session = ""; // in the address, so that a reload goes on
let state = null; // where the session stands
let view = null; // the trial on the page

function problem(text) {
  const box = document.getElementById("problem");
  box.textContent = text;
  box.hidden = !text;
}

class Refused extends Error {}

// Ask the server; while it cannot be reached, say so and try again.
async function ask(path, body) {
  for (;;) {
    try {
      const headers = { "Content-Type": "application/json" };
      const answer = await fetch(path, body ? { method: "POST", headers, body: JSON.stringify(body) } : {});
      const data = await answer.json();
      if (!answer.ok) throw new Refused(data.error);
      problem("");
      return data;
    } catch (error) {
      if (error instanceof Refused) throw error;
      problem("The server does not answer. Is `bench listen` still running? Trying again ...");
      await new Promise((done) => setTimeout(done, RETRY));
    }
  }
}

// Judgements go out one after the other, in the order in which they were made.
let queue = Promise.resolve();
function store(trial, condition, judgement) {
  queue = queue.then(() => ask(`rating/${session}/${trial}/${condition}`, judgement)).catch((e) => problem(e.message));
}

const METHODS = {
  mushra: {
    name: "MUSHRA",
    text: (t) => [
      `You hear ${t.trials} clips, each as a reference and in up to ${t.conditions} versions whose order is drawn anew for each clip.`,
      "Rate the overall quality of each version against the reference, from 0 (bad) to 100 (excellent). Every difference from the reference that you hear lowers the quality.",
      "One of the versions is the reference itself, and some are low-pass filtered on purpose. A version that you cannot tell from the reference deserves 100; nothing forces you to give a 100.",
      "You can move only the slider of the version that you listen to, and go on when all are rated.",
    ],
  },
  abx: {
    name: "ABX",
    text: (t) => [
      `There are ${t.trials} short trials. A is the reference, B is a coded version, and X is one of the two, drawn anew each time.`,
      "Switch between them as often as you like and decide whether X is A or B. If you hear no difference, guess.",
    ],
  },
  acr: {
    name: "ACR",
    text: (t) => [
      `You hear ${t.trials} clips, each once. Rate the quality of each from 1 (bad) to 5 (excellent) when it has ended.`,
      "There is no reference to compare with: judge what you hear by itself.",
    ],
  },
};

function show(...children) {
  main.replaceChildren(...children);
  main.setAttribute("aria-busy", "false");
}

function startPage() {
  view = null;
  const method = METHODS[test.method];
  const name = make("input", { type: "text", id: "name", maxlength: "80", autocomplete: "off" });
  const consent = make("input", { type: "checkbox", id: "consent" });
  const begin = make("button", { class: "main", type: "submit" }, "Begin with the training");
  const form = make(
    "form",
    {
      class: "card",
      submit: async (event) => {
        event.preventDefault();
        if (!consent.checked) {
          problem("Please tick that your ratings may be stored.");
          consent.focus();
          return;
        }
        const bytes = crypto.getRandomValues(new Uint8Array(8));
        const id = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
        begin.disabled = true;
        await enter(id, () => ask(`session/${id}`, { listener: name.value, consent: true }));
        begin.disabled = false;
      },
    },
    make("label", { class: "field", for: "name" }, "Your name (empty: anonymous)"),
    name,
    make(
      "label",
      { class: "check" },
      consent,
      make("span", {}, "I agree that this name, my ratings and the time they took are stored in the run's folder on this computer."),
    ),
    begin,
  );
  const parts = [
    make("h2", {}, `${method.name} listening test`),
    make("ul", {}, ...method.text(test).map((line) => make("li", {}, line))),
    make("p", {}, "Use headphones in a quiet room. Set the volume during the training, which does not count, and leave it then."),
    form,
  ];
  if (test.open.length) {
    const buttons = test.open.map((one) =>
      make(
        "button",
        { type: "button", click: () => enter(one.session, () => ask(`session/${one.session}`)) },
        `${one.listener}: ${one.done} of ${one.trials} done`,
      ),
    );
    parts.push(make("div", { class: "card" }, make("p", {}, "Or go on with a session:"), make("div", { class: "row" }, ...buttons)));
  }
  const notes = test.notes.map((note) => make("li", {}, note));
  if (notes.length) parts.push(make("details", { class: "soft" }, make("summary", {}, "About this test"), make("ul", {}, ...notes)));
  show(...parts);
  count();
}

function count() {
  const where = document.getElementById("where");
  where.hidden = !state || state.current === null;
  if (where.hidden) return;
  document.getElementById("count").textContent = `${state.current + 1} of ${state.trials}`;
  const progress = document.getElementById("progress");
  progress.max = state.trials;
  progress.value = state.current;
}

async function enter(id, request) {
  try {
    state = await request();
    session = id;
    history.replaceState(null, "", `#${id}`);
    await trialPage();
  } catch (error) {
    problem(error.message);
  }
}

async function trialPage() {
  count();
  player.reset();
  if (state.current === null) {
    endPage();
    return;
  }
  main.setAttribute("aria-busy", "true");
  const number = state.current;
  const { trial, method } = state;
  const names = { mushra: ["ref"], abx: ["ref"], acr: [] }[method];
  for (let i = 0; i < trial.conditions; i++) names.push(String(i));
  if (method === "abx") names.push("x");
  await player.load(
    names.map((name) => `audio/${session}/${number}/${name}`),
    method === "acr",
  );
  view = trialView(player, method, trial, {
    store: (condition, judgement) => store(number, condition, judgement),
    next: async (seconds) => {
      await queue;
      try {
        state = await ask(`finish/${session}/${number}`, { seconds });
        await trialPage();
      } catch (error) {
        problem(error.message);
      }
    },
  });
  show(view.element);
  view.ready();
}

function endPage() {
  view = null;
  show(
    make("h2", { tabindex: "-1", id: "end" }, "Done. Thank you!"),
    make("p", {}, "All your ratings are stored. You can close this page."),
    make("button", { type: "button", click: again }, "Another listener"),
  );
  document.getElementById("end").focus();
}

async function again() {
  history.replaceState(null, "", location.pathname);
  [session, state] = ["", null];
  test = await ask("test");
  startPage();
}

document.addEventListener("keydown", (event) => {
  if (!view || event.ctrlKey || event.altKey || event.metaKey) return;
  const onButton = event.target.closest?.("button, summary");
  if (onButton && (event.key === " " || event.key === "Enter")) return; // it presses the button
  if (event.target.closest?.(".loop input") && event.key !== " " && event.key !== "Enter") return;
  if (view.key(event.key, event.shiftKey)) event.preventDefault();
});

async function open() {
  test = await ask("test");
  document.getElementById("title").textContent = test.title;
  document.title = `${METHODS[test.method].name}: ${test.title}`;
  const id = location.hash.slice(1);
  if (/^[0-9a-f]{16}$/.test(id)) await enter(id, () => ask(`session/${id}`));
  if (!state) startPage();
}

// What a test of this page looks at.
window.listening = { player, state: () => state, stored: () => queue };

open().catch((error) => problem(error.message));
