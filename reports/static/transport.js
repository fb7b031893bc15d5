// Loads, decodes and plays the sources of one clip. All share one time line: to switch is to start another source
// where the present one will be a moment later, and to fade over.
(() => {
  "use strict";
  const codecbench = (window.codecbench = window.codecbench || {});

  const FADE = 0.005; // seconds, from one source to another
  const AHEAD = 0.01; // seconds between the decision and the switch: nothing is scheduled in the past

  const waiting = new Map(); // clip id -> [resolve, reject] of a script under way

  // Called by the scripts audio/ID.js.
  codecbench.audio = (id, files) => {
    const entry = waiting.get(id);
    if (entry) entry[0](files);
    waiting.delete(id);
  };

  // The FLAC files of a clip in base64, from the page or from the folder beside it.
  function load(clip) {
    const block = document.getElementById(`audio-${clip.id}`);
    if (block) return Promise.resolve(JSON.parse(block.textContent));
    return new Promise((resolve, reject) => {
      waiting.set(clip.id, [resolve, reject]);
      const script = document.createElement("script");
      script.src = clip.file;
      script.onload = () => script.remove();
      script.onerror = () => {
        script.remove();
        waiting.delete(clip.id);
        reject(new Error(`${clip.file} cannot be loaded. Keep the folder audio beside the page.`));
      };
      document.head.append(script);
    });
  }

  function bytes(base64) {
    const text = atob(base64), out = new Uint8Array(text.length);
    for (let i = 0; i < text.length; i++) out[i] = text.charCodeAt(i);
    return out.buffer;
  }

  codecbench.Transport = class {
    // Opens at once; sound comes with `play`. `ended` is called when a clip that does not loop is over.
    constructor(clip, ended) {
      this.clip = clip;
      this.ended = ended;
      // At the clip's own rate nothing is resampled in decoding, and sources stay equal to their files sample by sample.
      this.context = new AudioContext({ sampleRate: clip.rate });
      this.files = load(clip);
      this.files.catch(() => {}); // whoever decodes gets it
      this.buffers = new Map(); // source -> promise of its AudioBuffer
      this.playing = false;
      this.loop = false;
      this.region = [0, clip.seconds];
      this.matched = false;
      this.source = 0;
      this.wanted = 0; // counts switches: only the last one happens
      this.origin = 0; // the position that the clip had at the time `since` of the audio clock
      this.since = 0;
    }

    close() {
      this.wanted++;
      this.silence();
      this.playing = false;
      this.context.close();
    }

    buffer(source) {
      if (!this.buffers.has(source)) {
        const decoded = this.files.then(async (files) => {
          try {
            return await this.context.decodeAudioData(bytes(files[source]));
          } catch (error) {
            throw new Error(`This browser cannot decode it as FLAC (${error.message || error.name}).`);
          }
        });
        decoded.catch(() => this.buffers.delete(source));
        this.buffers.set(source, decoded);
      }
      return this.buffers.get(source);
    }

    // Seconds into the clip at a time of the audio clock, now if none is given.
    position(time = this.context.currentTime) {
      if (!this.playing) return this.origin;
      const position = this.origin + Math.max(0, time - this.since);
      const [start, end] = this.region;
      if (!this.loop) return Math.min(position, this.clip.seconds);
      return position < end ? position : start + ((position - start) % (end - start));
    }

    level(source) {
      return this.matched ? this.clip.sources[source].gain : 1;
    }

    // Resolves to true once the source is the one that is heard, or will be; false if another was wanted meanwhile.
    async select(source) {
      const wanted = ++this.wanted;
      const buffer = await this.buffer(source);
      if (wanted !== this.wanted) return false;
      this.source = source;
      if (this.playing) this.start(buffer);
      return true;
    }

    async play() {
      let source, buffer;
      do {
        source = this.source;
        [buffer] = await Promise.all([this.buffer(source), this.context.resume()]);
      } while (source !== this.source); // another was chosen meanwhile
      if (this.playing || this.context.state === "closed") return;
      if (this.origin >= this.clip.seconds) this.origin = 0;
      this.playing = true;
      this.move(this.origin, buffer);
    }

    pause() {
      if (!this.playing) return;
      this.origin = this.position();
      this.playing = false;
      this.silence();
    }

    async seek(position) {
      this.move(Math.min(Math.max(position, 0), this.clip.seconds), this.playing ? await this.buffer(this.source) : null);
    }

    // Loop over a region, or none; the position goes on where it is inside of it.
    async setLoop(loop, region = this.region) {
      const now = this.position();
      this.loop = loop;
      this.region = region;
      this.move(now, this.playing ? await this.buffer(this.source) : null);
    }

    setMatched(matched) {
      this.matched = matched;
      if (this.voice) this.ramp(this.voice.gain.gain, this.level(this.source), this.context.currentTime);
    }

    // A new origin of the time line.
    move(position, buffer) {
      const [start, end] = this.region;
      this.origin = this.loop && (position < start || position >= end) ? start : position;
      this.since = this.context.currentTime + AHEAD;
      if (this.playing && buffer) this.start(buffer);
    }

    // Fade over to a buffer, at the position that the time line has then.
    start(buffer) {
      const time = this.context.currentTime + AHEAD;
      this.silence(time);
      const node = new AudioBufferSourceNode(this.context, { buffer });
      const gain = new GainNode(this.context, { gain: 0 });
      node.connect(gain).connect(this.context.destination);
      if (this.loop) [node.loop, node.loopStart, node.loopEnd] = [true, ...this.region];
      gain.gain.setValueAtTime(0, time);
      gain.gain.linearRampToValueAtTime(this.level(this.source), time + FADE);
      node.start(time, this.position(time));
      const voice = { node, gain, from: time };
      node.onended = () => {
        if (this.voice !== voice) return; // it was another's turn
        this.voice = null;
        this.playing = false;
        this.origin = 0;
        this.ended();
      };
      this.voice = voice;
    }

    silence(time = this.context.currentTime) {
      if (!this.voice) return;
      const { node, gain, from } = this.voice;
      this.voice = null;
      if (time <= from) gain.disconnect(); // it has not begun
      else this.ramp(gain.gain, 0, time);
      node.stop(time + FADE);
    }

    ramp(parameter, value, time) {
      parameter.cancelScheduledValues(time);
      parameter.setValueAtTime(parameter.value, time);
      parameter.linearRampToValueAtTime(value, time + FADE);
    }
  };
})();
