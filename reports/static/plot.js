// The picture of what is heard: waveform, spectrogram, playhead and the region of the loop; and the mouse on it.
(() => {
  "use strict";
  const codecbench = (window.codecbench = window.codecbench || {});
  const $ = (id) => document.getElementById(`listen-${id}`);

  const DRAG = 5; // pixels that make a click a drag

  codecbench.channels = (buffer) =>
    Array.from({ length: buffer.numberOfChannels }, (_, channel) => buffer.getChannelData(channel));

  // How pictures of a clip are scaled, from its reference, so that its sources can be compared by eye.
  codecbench.scale = (reference, rate) => {
    const channels = codecbench.channels(reference);
    const peak = channels.reduce((most, c) => c.reduce((m, v) => Math.max(m, Math.abs(v)), most), 1e-4);
    return { peak, top: codecbench.loudest(channels, rate) };
  };

  codecbench.Plot = class {
    // `player` gives transport, scale and hidden (true while X is heard), and has seek(), loop(on, region), fail(error).
    constructor(player) {
      this.player = player;
      this.pictures = 0; // counts them: one that is not the last any more stops
      this.listen();
      let width = 0;
      new ResizeObserver(([entry]) => {
        if (Math.abs(entry.contentRect.width - width) < 1) return;
        width = entry.contentRect.width;
        this.draw();
      }).observe($("plot"));
      matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw());
      new MutationObserver(() => this.draw()).observe(document.documentElement, { attributes: true });
    }

    async draw() {
      const { transport, scale, hidden } = this.player;
      if (!transport || !scale) return;
      const turn = ++this.pictures, source = transport.source;
      const alive = () => turn === this.pictures && transport === this.player.transport;
      const [wave, picture] = [$("wave"), $("spectrogram")];
      const difference = $("difference").checked;
      picture.dataset.whole = "";
      if (hidden || (difference && source === 0)) {
        codecbench.blank(wave, hidden ? "hidden while X is heard" : "the reference differs from itself by nothing");
        codecbench.blank(picture, "");
        return;
      }
      try {
        let channels = codecbench.channels(await transport.buffer(source));
        if (difference) {
          const reference = codecbench.channels(await transport.buffer(0));
          channels = channels.map((channel, c) => channel.map((value, i) => value - reference[c][i]));
        }
        if (!alive()) return;
        codecbench.waveform(wave, channels, scale.peak);
        const whole = await codecbench.spectrogram(picture, channels, transport.clip.rate, scale.top, alive);
        if (whole) picture.dataset.whole = "yes";
      } catch (error) {
        if (alive()) this.player.fail(source, error);
      }
    }

    place(node, start, end) {
      const seconds = this.player.transport.clip.seconds;
      node.style.left = `${(100 * start) / seconds}%`;
      if (end !== undefined) node.style.width = `${(100 * (end - start)) / seconds}%`;
    }

    region([start, end]) {
      $("region").hidden = start === 0 && end === this.player.transport.clip.seconds;
      this.place($("region"), start, end);
    }

    head(position) {
      const seconds = this.player.transport.clip.seconds;
      this.place($("head"), position);
      $("plot").setAttribute("aria-valuemax", seconds.toFixed(2));
      $("plot").setAttribute("aria-valuenow", position.toFixed(2));
      $("plot").setAttribute("aria-valuetext", `${position.toFixed(1)} of ${seconds.toFixed(1)} seconds`);
    }

    listen() {
      const plot = $("plot");
      let from = null;
      const at = (event) => {
        const box = plot.getBoundingClientRect();
        const part = Math.min(Math.max((event.clientX - box.left) / box.width, 0), 1);
        return part * this.player.transport.clip.seconds;
      };
      const span = (event) => [from.position, at(event)].sort((a, b) => a - b);
      const dragged = (event) => Math.abs(event.clientX - from.x) >= DRAG;
      plot.addEventListener("pointerdown", (event) => {
        if (event.button !== 0 || !this.player.transport) return;
        from = { x: event.clientX, position: at(event) };
        plot.setPointerCapture(event.pointerId);
      });
      plot.addEventListener("pointermove", (event) => {
        if (from && dragged(event)) this.region(span(event));
      });
      plot.addEventListener("pointerup", (event) => {
        if (!from) return;
        if (dragged(event)) this.player.loop(true, span(event));
        else this.player.seek(from.position);
        from = null;
      });
      plot.addEventListener("pointercancel", () => {
        from = null;
        this.region(this.player.transport.region);
      });
    }
  };
})();
