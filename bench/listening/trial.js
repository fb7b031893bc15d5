// A trial of each method: what can be heard, how it is judged, and the keys for both.

import { make, say } from "./dom.js";

const LABELS = ["Bad", "Poor", "Fair", "Good", "Excellent"];
const PAUSE = 250; // ms without a further move after which a slider's value is sent

const digits = (x) => `${x.toFixed(2)} s`;

// Returns {element, key(key, shift) -> handled, ready()}.
export function trialView(player, method, trial, actions) {
  const began = performance.now();
  const when = () => ({ seconds: (performance.now() - began) / 1000, position: Math.max(0, player.position) });
  const pending = new Map();
  let leaving = false;

  const judge = (condition, judgement) => actions.store(condition, { ...judgement, ...when() });
  const send = (condition) => {
    const { timer, judgement } = pending.get(condition);
    clearTimeout(timer);
    pending.delete(condition);
    judge(condition, judgement);
  };
  // Send a judgement once it has settled.
  const settle = (condition, judgement) => {
    clearTimeout(pending.get(condition)?.timer);
    pending.set(condition, { judgement, timer: setTimeout(() => send(condition), PAUSE) });
  };

  const status = make("span", { class: "soft" });
  const next = make("button", { type: "button", class: "main", click: () => leave() }, "Next");
  const play = make("button", { type: "button", click: () => toggle() }, "Play");
  let missing = () => "";

  async function leave() {
    const why = missing();
    if (why) {
      status.textContent = why;
      say(why);
      return;
    }
    if (leaving) return;
    leaving = true;
    player.pause();
    for (const condition of [...pending.keys()]) send(condition);
    await actions.next(when().seconds);
    leaving = false;
  }
  const toggle = () => (player.toggle(), shown());
  const shown = () => {
    play.textContent = player.playing ? "Pause" : "Play";
    const why = missing();
    next.setAttribute("aria-disabled", String(Boolean(why)));
    status.textContent = why;
  };

  const parts = { player, trial, judge, settle, shown, play };
  const made = { mushra, abx, acr }[method](parts);
  missing = made.missing;

  const title = make("h2", { tabindex: "-1" }, trial.clip);
  if (trial.training) title.append(make("span", { class: "badge" }, "training, does not count"));
  const keys = made.keys.map(([key, what]) => make("span", {}, make("kbd", {}, key), ` ${what}`));
  const element = make(
    "div",
    {},
    title,
    ...made.elements,
    make("div", { class: "end" }, status, next),
    make("div", { class: "keys", "aria-label": "Keys", role: "note" }, ...keys, make("span", {}, make("kbd", {}, "Enter"), " next")),
  );
  return {
    element,
    ready: () => (title.focus({ preventScroll: true }), made.ready?.(), shown()),
    key(key, shift) {
      if (key === "Enter") leave();
      else if (key === " " && !play.disabled) toggle();
      else if (!made.key(key, shift)) return false;
      shown();
      return true;
    },
  };
}

// The waveform of the reference with the place of playback, and the part that is looped.
function loopBox({ player, play, shown }, ...buttons) {
  const canvas = make("canvas", { class: "wave", role: "img", "aria-label": "Waveform of the reference" });
  const slider = (label) => {
    const range = { type: "range", min: "0", max: String(player.duration), step: "0.01", "aria-label": label };
    return make("input", { ...range, input: () => change(label) });
  };
  const from = slider("Loop from");
  const to = slider("Loop to");
  const read = make("output");
  const set = () => {
    [from.value, to.value] = [player.from, player.to];
    read.textContent = `${digits(player.from)} to ${digits(player.to)}`;
    from.setAttribute("aria-valuetext", digits(player.from));
    to.setAttribute("aria-valuetext", digits(player.to));
  };
  function change(label) {
    if (label === "Loop from") player.loop(Math.min(Number(from.value), player.to - 0.5), player.to);
    else player.loop(player.from, Math.max(Number(to.value), player.from + 0.5));
    set();
    shown();
  }
  const whole = make("button", { type: "button", click: () => (player.loop(0, player.duration), set(), shown()) }, "Whole clip");
  set();

  let peaks = null;
  function draw() {
    if (!canvas.isConnected) return;
    const scale = window.devicePixelRatio || 1;
    const [width, height] = [canvas.clientWidth * scale, canvas.clientHeight * scale].map(Math.round);
    if (canvas.width !== width || canvas.height !== height || !peaks) {
      [canvas.width, canvas.height] = [width, height];
      peaks = player.peaks(0, Math.max(1, Math.floor(width / (2 * scale))));
    }
    const style = getComputedStyle(canvas);
    const paint = canvas.getContext("2d");
    const x = (seconds) => (seconds / player.duration) * width;
    paint.clearRect(0, 0, width, height);
    paint.fillStyle = style.getPropertyValue("--mark-ground");
    paint.fillRect(x(player.from), 0, x(player.to) - x(player.from), height);
    paint.fillStyle = style.getPropertyValue("--wave");
    const top = Math.max(...peaks, 1e-4);
    peaks.forEach((peak, i) => {
      const high = Math.max(scale, (peak / top) * 0.92 * height);
      paint.fillRect((i * width) / peaks.length, (height - high) / 2, scale, high);
    });
    paint.fillStyle = style.getPropertyValue("--mark");
    paint.fillRect(x(player.position) - scale, 0, 2 * scale, height);
    requestAnimationFrame(draw);
  }
  const row = make("div", { class: "loop" }, make("span", {}, "Loop from"), from, make("span", {}, "to"), to, whole);
  const box = make("div", { class: "card" }, make("div", { class: "row" }, play, ...buttons, read), canvas, row);
  return { box, start: () => requestAnimationFrame(draw) };
}

// ITU-R BS.1534-3: all versions beside each other, a slider for each; only the one that is heard can be rated.
function mushra(parts) {
  const { player, trial, settle, shown } = parts;
  const ratings = Array.from({ length: trial.conditions }, (_, i) => trial.given[i] ?? null);
  const reference = make("button", { type: "button", click: () => hear(-1) }, "Reference");
  const loop = loopBox(parts, reference);

  const rows = ratings.map((_, i) => {
    const button = make("button", { type: "button", click: () => hear(i), "aria-label": `Version ${i + 1}` }, String(i + 1));
    const range = { type: "range", min: "0", max: "100", step: "1", "aria-label": `Rating of version ${i + 1}` };
    const slider = make("input", { ...range, input: () => rate(i, Number(slider.value)), click: () => rate(i, Number(slider.value)) });
    const value = make("output");
    const track = make("div", { class: "track" }, slider);
    const row = make("li", { class: "version", pointerdown: () => chosen !== i && hear(i) }, button, track, value);
    return { row, button, slider, value };
  });
  let chosen = -1;

  function paint() {
    reference.setAttribute("aria-pressed", String(chosen === -1));
    rows.forEach(({ row, button, slider, value }, i) => {
      const rating = ratings[i];
      row.classList.toggle("current", i === chosen);
      row.classList.toggle("unrated", rating === null);
      button.setAttribute("aria-pressed", String(i === chosen));
      slider.disabled = i !== chosen;
      slider.value = rating ?? 50;
      const text = rating === null ? "not rated" : `${rating}`;
      value.textContent = text;
      slider.setAttribute("aria-valuetext", rating === null ? text : `${text}, ${LABELS[Math.min(4, Math.floor(rating / 20))]}`);
    });
    shown();
  }
  function hear(i) {
    chosen = i;
    player.select(i + 1);
    player.play();
    paint();
    if (i >= 0) rows[i].slider.focus();
    else say("Reference");
  }
  function rate(i, rating) {
    if (i !== chosen || rating === ratings[i]) return;
    ratings[i] = rating;
    settle(i, { rating });
    paint();
  }
  const move = (by) => rate(chosen, Math.max(0, Math.min(100, (ratings[chosen] ?? 50) + by)));

  const marks = make("div", { "aria-hidden": "true" }, ...LABELS.map((label) => make("span", {}, label)));
  const list = make("ol", { class: "versions" }, ...rows.map(({ row }) => row));
  return {
    elements: [loop.box, make("div", { class: "scale" }, marks), list],
    ready: () => (loop.start(), paint()),
    missing: () => {
      const open = ratings.flatMap((rating, i) => (rating === null ? [i + 1] : []));
      return open.length ? `Not rated yet: ${open.join(", ")}` : "";
    },
    keys: [["1-9", "version"], ["N", "next version"], ["P", "previous"], ["R", "reference"], ["Space", "play, pause"], ["← →", "rating, with Shift by 10"]],
    key(key, shift) {
      const step = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1 }[key];
      const number = "123456789".indexOf(key);
      if (step) chosen >= 0 && move(shift ? 10 * step : step);
      else if (key === "PageUp" || key === "PageDown") chosen >= 0 && move(key === "PageUp" ? 10 : -10);
      else if (key === "Home" || key === "End") chosen >= 0 && move(key === "End" ? 100 : -100);
      else if (number >= 0 && key && number < rows.length) hear(number);
      else if (key === "n" || key === "N") hear((chosen + 1) % rows.length);
      else if (key === "p" || key === "P") hear((chosen <= 0 ? rows.length : chosen) - 1);
      else if (key === "r" || key === "R" || key === "0") hear(-1);
      else return false;
      return true;
    },
  };
}

// Is X the reference A or the coded B?
function abx(parts) {
  const { player, trial, judge, shown } = parts;
  const loop = loopBox(parts);
  let answer = trial.given[0] ?? "";
  const names = ["A", "B", "X"];
  const signals = names.map((name, i) => make("button", { type: "button", click: () => hear(i) }, name));
  const answers = ["A", "B"].map((name) => make("button", { type: "button", click: () => decide(name) }, `X is ${name}`));
  function paint() {
    signals.forEach((button, i) => button.setAttribute("aria-pressed", String(player.current === i)));
    answers.forEach((button, i) => button.setAttribute("aria-pressed", String(answer === "AB"[i])));
    shown();
  }
  function hear(i) {
    player.select(i);
    player.play();
    paint();
    say(`${names[i]} is playing`);
  }
  function decide(name) {
    answer = name;
    judge(0, { answer });
    paint();
    say(`X is ${name}`);
  }
  const group = (label, buttons) => make("div", { class: "pair", role: "group", "aria-label": label }, ...buttons);
  return {
    elements: [loop.box, group("Listen to", signals), make("p", {}, "Which of the two is X?"), group("Your answer", answers)],
    ready: () => (loop.start(), paint()),
    missing: () => (answer ? "" : "Decide first: is X A or B?"),
    keys: [["A B X", "listen"], ["Space", "play, pause"], ["←", "X is A"], ["→", "X is B"]],
    key(key) {
      const signal = names.indexOf(key.toUpperCase());
      if (signal >= 0) hear(signal);
      else if (key === "ArrowLeft" || key === "ArrowRight") decide(key === "ArrowLeft" ? "A" : "B");
      else return false;
      return true;
    },
  };
}

// ITU-T P.800: heard once, then rated in one of five categories.
function acr({ player, trial, judge, shown, play }) {
  let rating = trial.given[0] ?? null;
  let heard = rating !== null;
  const buttons = [5, 4, 3, 2, 1].map((grade) =>
    make("button", { type: "button", click: () => rate(grade) }, make("strong", {}, String(grade)), LABELS[grade - 1]),
  );
  function paint() {
    buttons.forEach((button, i) => {
      button.disabled = !heard;
      button.setAttribute("aria-pressed", String(rating === 5 - i));
    });
    play.disabled = heard;
    shown();
  }
  function rate(grade) {
    if (!heard) return;
    rating = grade;
    judge(0, { rating });
    paint();
    say(`${grade}, ${LABELS[grade - 1]}`);
  }
  player.onend = () => {
    heard = true;
    paint();
    buttons[2].focus({ preventScroll: true });
    say("Rate it now, from 1 to 5");
  };
  return {
    elements: [
      make("div", { class: "card row" }, play, make("span", { class: "soft" }, "It is played once.")),
      make("div", { class: "grades", role: "group", "aria-label": "Quality" }, ...buttons),
    ],
    ready: paint,
    missing: () => (!heard ? "Listen to the end first" : rating === null ? "Rate it from 1 to 5" : ""),
    keys: [["Space", "play"], ["1-5", "rating"]],
    key(key) {
      if (!/^[1-5]$/.test(key)) return false;
      rate(Number(key));
      return true;
    },
  };
}
