// A/B/X: one of two sources is drawn, and what it was is told after a guess.
(() => {
  "use strict";
  const codecbench = (window.codecbench = window.codecbench || {});

  codecbench.Blind = class {
    constructor() {
      this.open = false; // drawn and not told
      this.right = 0;
      this.of = 0;
    }

    // Draws X from two sources, unless one is drawn and not told yet. Returns what is wrong, or nothing.
    draw(sides) {
      if (this.open) return "";
      if (sides[0] === sides[1]) return "Choose two different sources for A and B.";
      this.side = crypto.getRandomValues(new Uint8Array(1))[0] & 1;
      this.source = sides[this.side];
      this.open = true;
      return "";
    }

    // What X was, in words, and with a guess (0 or 1) how many were right so far.
    tell(guess, label) {
      if (!this.open) return "Hear X first.";
      this.open = false;
      const truth = `X was ${"AB"[this.side]}, ${label(this.source)}.`;
      if (guess === undefined) return truth;
      this.of++;
      if (guess === this.side) this.right++;
      return `${guess === this.side ? "Right" : "Wrong"}: ${truth} ${this.right} of ${this.of} right.`;
    }
  };
})();
