// The sources of a clip as text, in lists, and on the keys 1 to 9.
(() => {
  "use strict";
  const codecbench = (window.codecbench = window.codecbench || {});

  const KEYS = 9;

  codecbench.el = (tag, properties = {}, ...children) => {
    const node = Object.assign(document.createElement(tag), properties);
    node.append(...children);
    return node;
  };

  codecbench.title = (source) => (source.codec ? `${source.codec} ${source.point}` : "reference");
  codecbench.rate = (source) => (/\d/.test(source.kbps) ? `${source.kbps} kbit/s` : "");

  const option = (value, textContent) => codecbench.el("option", { value, textContent });

  // Codecs by name, each with the indices of its points, the lowest rate first.
  function byCodec(clip) {
    const groups = new Map();
    clip.sources.forEach(({ codec }, index) => codec && groups.set(codec, [...(groups.get(codec) || []), index]));
    const number = (index) => parseFloat(clip.sources[index].kbps) || parseFloat(clip.sources[index].point) || 0;
    for (const indices of groups.values()) indices.sort((a, b) => number(a) - number(b));
    return new Map([...groups].sort(([a], [b]) => (a < b ? -1 : 1)));
  }

  codecbench.listCodecs = (select, clip) => {
    select.replaceChildren(...[...byCodec(clip).keys()].map((codec) => option(codec, codec)));
  };

  codecbench.listPoints = (select, clip, codec) => {
    const text = (index) => [clip.sources[index].point, codecbench.rate(clip.sources[index])].filter(Boolean).join(", ");
    select.replaceChildren(...byCodec(clip).get(codec).map((index) => option(index, text(index))));
  };

  // All sources, the reference first.
  codecbench.listAll = (select, clip, chosen) => {
    const group = ([codec, indices]) =>
      codecbench.el("optgroup", { label: codec }, ...indices.map((i) => option(i, codecbench.title(clip.sources[i]))));
    select.replaceChildren(option(0, "reference"), ...[...byCodec(clip)].map(group));
    select.value = chosen;
  };

  codecbench.listKeys = (select) => {
    select.replaceChildren(...Array.from({ length: KEYS - 1 }, (_, index) => option(index + 2, index + 2)));
  };

  codecbench.find = (clip, codec, point) => clip.sources.findIndex((s) => s.codec === codec && s.point === point);

  // Which source of a clip each key has: what the user put there for this kind of content, else its first sources.
  codecbench.Keys = class {
    constructor() {
      this.chosen = new Map(); // content -> [codec, point] or null by key
    }

    // Indices of sources, -1 where the clip has not what the key is for.
    of(clip) {
      const own = (this.chosen.get(clip.content) || []).map((pair) => (pair ? codecbench.find(clip, ...pair) : -1));
      return own.some((index) => index > 0) ? own : clip.sources.map((_, index) => index).slice(0, KEYS);
    }

    put(clip, key, index) {
      const pair = (i) => [clip.sources[i].codec, clip.sources[i].point];
      const pairs = this.chosen.get(clip.content) || this.of(clip).map(pair);
      while (pairs.length < key) pairs.push(null);
      pairs[key - 1] = pair(index);
      this.chosen.set(clip.content, pairs);
    }
  };
})();
