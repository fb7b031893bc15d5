// The section Listen: chooses a clip and its sources, shows what is heard. Names reach the page as text alone.
(() => {
  "use strict";
  const codecbench = window.codecbench;
  const { el, rate, title } = codecbench;
  const $ = (id) => document.getElementById(`listen-${id}`);

  if (!$("manifest")) {
    codecbench.listen = () => false; // a page without audio
    return;
  }

  const STEP = 1; // seconds that an arrow key seeks
  const SHORTEST = 0.05; // seconds of a loop

  const manifest = JSON.parse($("manifest").textContent);
  const onKeys = new codecbench.Keys();
  let transport = null;
  let clip = null;
  let pins = []; // source on each key
  let open = 0; // counts clips opened: what an earlier one still awaited is not shown
  let blind = new codecbench.Blind();
  let hearsX = false;
  let scale = null; // of the pictures

  const clock = (seconds) => `${Math.floor(seconds / 60)}:${(seconds % 60).toFixed(1).padStart(4, "0")}`;
  const label = (index) => title(clip.sources[index]);

  function say(text, bad = false) {
    $("now").textContent = text;
    $("now").classList.toggle("bad", bad);
  }

  // The clips

  function listClips() {
    for (const each of manifest.clips) {
      const button = el(
        "button",
        { type: "button", onclick: () => openClip(each) },
        el("strong", { textContent: each.clip }),
        el("span", { textContent: `${each.content}, ${each.seconds.toFixed(1)} s` }),
        el("small", { textContent: each.why }),
      );
      button.dataset.clip = each.id;
      $("clips").append(el("li", {}, button));
    }
  }

  function openClip(next) {
    const turn = ++open;
    const settings = transport && { matched: transport.matched };
    if (transport) transport.close();
    [clip, blind, hearsX, scale] = [next, new codecbench.Blind(), false, null];
    for (const button of $("clips").querySelectorAll("button")) {
      button.setAttribute("aria-pressed", String(button.dataset.clip === clip.id));
    }
    $("choose").hidden = true;
    $("player").hidden = false;
    try {
      transport = new codecbench.Transport(clip, () => update());
    } catch (error) {
      transport = null;
      say(`This browser cannot play ${clip.rate} Hz: ${error.message}`, true);
      return Promise.resolve();
    }
    transport.matched = Boolean(settings && settings.matched);
    $("name").textContent = clip.clip;
    $("about").textContent = [
      `${clip.corpus}, ${clip.rate / 1000} kHz, ${clip.channels === 1 ? "mono" : clip.channels === 2 ? "stereo" : `${clip.channels} channels`}`,
      clip.why,
      [clip.licence, clip.credit].filter(Boolean).join(", "),
    ].filter(Boolean).join(" · ");
    listSources();
    codecbench.listCodecs($("codec"), clip);
    listPoints();
    codecbench.listAll($("a"), clip, 0);
    codecbench.listAll($("b"), clip, 1);
    listAbsent();
    $("x-says").textContent = "";
    say(`Loading ${clip.clip}`);
    return transport
      .buffer(0)
      .then((reference) => {
        if (turn !== open) return undefined;
        scale = codecbench.scale(reference, clip.rate);
        if (!transport.wanted) return hear(0);
        return plot.draw(); // another source was chosen meanwhile
      })
      .catch((error) => turn === open && fail(0, error));
  }

  function fail(index, error) {
    say(`${label(index)} of ${clip.clip} cannot be played. ${error.message}`, true);
    update();
  }

  // The sources and their keys

  function listSources() {
    pins = onKeys.of(clip);
    $("pins").replaceChildren(
      ...pins.map((index, key) => {
        if (index < 0) return el("span", { className: "listen-gap", textContent: `${key + 1} not here` });
        const source = clip.sources[index];
        const button = el(
          "button",
          { type: "button", onclick: () => hear(index) },
          el("kbd", { textContent: key + 1 }),
          el("span", { textContent: title(source) }),
          el("small", { textContent: source.codec ? rate(source) || source.family : "original" }),
        );
        button.dataset.source = index;
        return button;
      }),
    );
    update();
  }

  const listPoints = () => codecbench.listPoints($("point"), clip, $("codec").value);

  function pin() {
    const index = Number($("point").value);
    onKeys.put(clip, Number($("key").value), index);
    listSources();
    hear(index);
  }

  function listAbsent() {
    const reasons = new Map();
    for (const { codec, point, reason } of clip.absent) {
      reasons.set(reason, (reasons.get(reason) || []).concat(`${codec} ${point}`));
    }
    $("absent").hidden = reasons.size === 0;
    $("absent-count").textContent = `${clip.absent.length} decoded clips of this clip are not here`;
    $("absent-list").replaceChildren(
      ...[...reasons].map(([reason, names]) => el("li", { textContent: `${reason}: ${names.join(", ")}` })),
    );
  }

  // Hearing

  async function hear(index, asX = false) {
    const turn = open, player = transport;
    if (!player) return;
    try {
      if (!(await player.select(index)) || turn !== open) return;
    } catch (error) {
      if (turn === open) asX ? say("X cannot be played.", true) : fail(index, error);
      return;
    }
    hearsX = asX;
    say(asX ? "Now: X" : `Now: ${[label(index), rate(clip.sources[index])].filter(Boolean).join(", ")}`);
    update();
    plot.draw();
  }

  async function toggle() {
    if (!transport) return;
    if (transport.playing) transport.pause();
    else {
      try {
        await transport.play();
      } catch (error) {
        fail(transport.source, error);
      }
    }
    update();
  }

  function loop(on, region) {
    if (!transport || (region && region[1] - region[0] < SHORTEST)) return;
    transport.setLoop(on, region).then(update);
    update();
  }

  function hearX() {
    const problem = blind.draw(["a", "b"].map((side) => Number($(side).value)));
    $("x-says").textContent = problem || (blind.open ? "X is A or B, drawn by chance." : "");
    if (!problem) hear(blind.source, true);
  }

  function tell(guess) {
    $("x-says").textContent = blind.tell(guess, label);
    if (hearsX) hear(blind.source);
    update();
  }

  // What is shown

  function update() {
    if (!clip || !transport) return;
    const { playing, source, matched } = transport;
    $("play").textContent = playing ? "Pause" : "Play";
    $("loop").setAttribute("aria-pressed", String(transport.loop));
    $("match").checked = matched;
    for (const button of $("pins").querySelectorAll("button")) {
      button.setAttribute("aria-pressed", String(!hearsX && Number(button.dataset.source) === source));
    }
    $("hear-x").setAttribute("aria-pressed", String(hearsX));
    for (const side of ["a", "b"]) {
      $(`hear-${side}`).setAttribute("aria-pressed", String(!hearsX && Number($(side).value) === source));
      $(`is-${side}`).disabled = !blind.open;
      $(side).disabled = blind.open;
    }
    $("reveal").disabled = !blind.open;
    const [start, end] = transport.region;
    const whole = start === 0 && end === clip.seconds;
    $("clear").disabled = whole;
    plot.region(transport.region);
    $("region-says").textContent = whole ? "" : `${clock(start)} to ${clock(end)}`;
    scores();
    tick();
  }

  function scores() {
    const source = clip.sources[transport.source];
    const plain = !hearsX && source.codec;
    $("scores").hidden = !plain;
    $("no-scores").hidden = Boolean(plain);
    $("no-scores").textContent = hearsX
      ? "Scores are hidden while X is heard."
      : "This is the reference; decoded clips are scored against it.";
    if (!plain) return;
    $("scores-of").textContent = title(source);
    $("scores-rows").replaceChildren(
      ...manifest.metrics[clip.content].map((heading, i) =>
        el(
          "tr",
          {},
          el("th", { scope: "row", textContent: heading }),
          el("td", { textContent: source.scores[i] }),
          el("td", { textContent: source.means[i] }),
        ),
      ),
    );
  }

  let shown = "";

  function tick() {
    if (!transport) return;
    const position = transport.position();
    plot.head(position);
    const text = `${clock(position)} / ${clock(clip.seconds)}`;
    if (text !== shown) {
      shown = text;
      $("time").textContent = text;
    }
    if (transport.playing) requestAnimationFrame(tick);
  }

  // Keys and buttons

  const seek = (position) => transport.seek(position).then(update);
  const hearSide = (side) => hear(Number($(side).value));
  const actions = {
    " ": toggle,
    x: hearX,
    a: () => hearSide("a"),
    b: () => hearSide("b"),
    l: () => transport && loop(!transport.loop),
    m: () => match(!transport.matched),
    "[": () => transport && loop(true, [transport.position(), transport.region[1]]),
    "]": () => transport && loop(true, [transport.region[0], transport.position()]),
    arrowleft: () => seek(transport.position() - STEP),
    arrowright: () => seek(transport.position() + STEP),
    home: () => seek(0),
  };

  function match(on) {
    if (!transport) return;
    transport.setMatched(on);
    update();
  }

  function keys(event) {
    if (!transport || event.ctrlKey || event.altKey || event.metaKey) return;
    if (event.target.closest("select, textarea, input:not([type=checkbox]):not([type=radio])")) return;
    const key = event.key.toLowerCase();
    // A focused control keeps the keys that work it.
    if (key === " " && event.target.closest("button, input, summary")) return;
    if (key.startsWith("arrow") && event.target.closest("input")) return;
    const digit = key.length === 1 ? "123456789".indexOf(key) : -1;
    const action = digit >= 0 ? () => pins[digit] >= 0 && hear(pins[digit]) : actions[key];
    if (!action) return;
    event.preventDefault();
    action();
  }

  function wire() {
    const on = (id, action) => $(id).addEventListener("click", action);
    on("play", toggle);
    on("loop", actions.l);
    on("from", actions["["]);
    on("to", actions["]"]);
    on("clear", () => loop(false, [0, clip.seconds]));
    on("hear", () => hear(Number($("point").value)));
    on("pin", pin);
    on("hear-a", actions.a);
    on("hear-b", actions.b);
    on("hear-x", hearX);
    on("is-a", () => tell(0));
    on("is-b", () => tell(1));
    on("reveal", () => tell());
    $("match").addEventListener("change", () => match($("match").checked));
    $("codec").addEventListener("change", listPoints);
    for (const side of ["a", "b"]) $(side).addEventListener("change", update);
    for (const id of ["signal", "difference"]) $(id).addEventListener("change", () => plot.draw());
    $("body").addEventListener("keydown", keys);
    // After a click the player has the focus, so that the space bar plays instead of pressing the button again.
    $("player").addEventListener("click", (event) => {
      if (event.detail > 0 && event.target.closest("button")) $("player").focus({ preventScroll: true });
    });
  }

  const plot = new codecbench.Plot({
    get transport() { return transport; },
    get scale() { return scale; },
    get hidden() { return hearsX; },
    seek,
    loop,
    fail,
  });

  // Opens a clip, and a source of it if named, from elsewhere on the page. False if there is no audio of it.
  codecbench.listen = (id, codec, point) => {
    const next = manifest.clips.find((each) => each.id === id);
    if (!next) return false;
    const opened = next === clip ? Promise.resolve() : openClip(next);
    opened.then(() => {
      const index = clip === next ? codecbench.find(next, codec, point) : -1;
      if (index > 0) hear(index);
    });
    document.getElementById("listen").scrollIntoView();
    $("player").focus({ preventScroll: true });
    return true;
  };

  // What the player does, for tests and for the curious.
  codecbench.player = {
    get clip() { return clip && clip.id; },
    get current() { return hearsX ? "X" : clip && transport && label(transport.source); },
    get position() { return transport && transport.position(); },
    get clock() { return transport && transport.context.currentTime; },
    get playing() { return Boolean(transport && transport.playing); },
    get loop() { return transport && transport.loop && transport.region; },
    get gain() { return transport && transport.level(transport.source); },
    buffer: (index) => transport.buffer(index),
  };

  listClips();
  codecbench.listKeys($("key"));
  wire();
  $("body").hidden = false;
})();
