// The signals of a trial, played at once and in step: switching turns one off and the next on at the same position.
// ITU-R BS.1534-3, 5.3: 5 ms raised-cosine fades at every switch and at both ends of a loop, and no cross-fade.

const FADE = 0.005;
const SHORTEST_LOOP = 0.5;

const UP = Float32Array.from({ length: 65 }, (_, i) => 0.5 - 0.5 * Math.cos((Math.PI * i) / 64));
const DOWN = UP.slice().reverse();

export class Player {
  constructor() {
    this.context = new AudioContext();
    this.buffers = [];
    this.reset();
  }

  reset() {
    this.stop();
    this.current = 0;
    this.from = 0;
    this.to = 0;
    this.offset = 0; // seconds after `from` at which playing goes on
    this.pieces = null;
    this.once = false;
    this.onend = null;
  }

  // Fetch and decode signals; once: play to the end a single time instead of looping.
  async load(urls, once = false) {
    this.reset();
    const buffers = await Promise.all(
      urls.map(async (url) => {
        const answer = await fetch(url);
        if (!answer.ok) throw new Error((await answer.json()).error);
        return this.context.decodeAudioData(await answer.arrayBuffer());
      }),
    );
    this.buffers = buffers;
    this.once = once;
    this.to = this.duration;
  }

  get duration() {
    return Math.min(...this.buffers.map((buffer) => buffer.duration));
  }

  get playing() {
    return this.voices !== null;
  }

  // Seconds from the start of the clip, by the clock of the audio.
  get position() {
    if (!this.playing) return this.from + this.offset;
    const passed = this.offset + Math.max(0, this.context.currentTime - this.began);
    const length = this.to - this.from;
    return this.from + (this.once ? Math.min(passed, length) : passed % length);
  }

  async play() {
    if (this.playing || !this.buffers.length) return;
    this.voices = []; // before anything is awaited: a second call must not start a second set
    const mine = this.voices;
    this.began = Infinity;
    await this.context.resume();
    if (this.voices !== mine) return;
    this.pieces ??= this.buffers.map((buffer) => this.piece(buffer));
    this.began = this.context.currentTime + 0.03;
    this.free = this.began;
    this.pieces.forEach((buffer, i) => {
      const gain = new GainNode(this.context, { gain: 0 });
      const source = new AudioBufferSourceNode(this.context, { buffer, loop: !this.once });
      source.connect(gain).connect(this.context.destination);
      source.start(this.began, this.offset);
      mine.push({ source, gain });
      if (i === this.current) gain.gain.setValueCurveAtTime(UP, this.began, FADE);
    });
    this.free += FADE;
    mine[this.current].source.onended = () => {
      if (this.voices !== mine) return;
      this.offset = this.to - this.from;
      this.voices = null;
      this.onend?.();
    };
  }

  pause() {
    if (!this.playing) return;
    this.offset = this.position - this.from;
    const at = Math.max(this.context.currentTime, this.free ?? 0);
    this.voices.forEach(({ source, gain }, i) => {
      if (i === this.current) gain.gain.setValueCurveAtTime(DOWN, at, FADE);
      source.stop(at + FADE);
    });
    this.voices = null;
  }

  toggle() {
    return this.playing ? this.pause() : this.play();
  }

  stop() {
    this.voices?.forEach(({ source }) => source.stop());
    this.voices = null;
  }

  // Hear another signal, at the same position.
  select(i) {
    const before = this.current;
    this.current = i;
    if (!this.playing || before === i || !this.voices.length) return;
    // A switch begins when the one before has ended, so that no two fades overlap.
    const at = Math.max(this.context.currentTime, this.free);
    this.voices[before].gain.gain.setValueCurveAtTime(DOWN, at, FADE);
    this.voices[i].gain.gain.setValueCurveAtTime(UP, at + FADE, FADE);
    this.free = at + 2 * FADE + 0.001;
  }

  // Loop a part of the clip, at least half a second of it.
  loop(from, to) {
    const length = Math.min(SHORTEST_LOOP, this.duration);
    const position = this.position;
    const playing = this.playing;
    this.stop();
    this.from = Math.max(0, Math.min(from, this.duration - length));
    this.to = Math.min(this.duration, Math.max(to, this.from + length));
    this.offset = position >= this.from && position < this.to ? position - this.from : 0;
    this.pieces = null;
    if (playing) this.play();
  }

  // The looped part of a buffer, with its ends faded.
  piece(buffer) {
    const { sampleRate, numberOfChannels } = buffer;
    const first = Math.round(this.from * sampleRate);
    const length = Math.min(Math.round((this.to - this.from) * sampleRate), buffer.length - first);
    const out = new AudioBuffer({ length, numberOfChannels, sampleRate });
    const fade = Math.min(Math.round(FADE * sampleRate), length >> 1);
    for (let channel = 0; channel < numberOfChannels; channel++) {
      const data = buffer.getChannelData(channel).slice(first, first + length);
      for (let i = 0; i < fade; i++) {
        const gain = 0.5 - 0.5 * Math.cos((Math.PI * (i + 0.5)) / fade);
        data[i] *= gain;
        data[length - 1 - i] *= gain;
      }
      out.copyToChannel(data, channel);
    }
    return out;
  }

  // Highest magnitude of a signal in each of so many equal parts.
  peaks(i, count) {
    const data = this.buffers[i].getChannelData(0);
    return Array.from({ length: count }, (_, part) => {
      let high = 0;
      const last = Math.floor(((part + 1) * data.length) / count);
      for (let j = Math.floor((part * data.length) / count); j < last; j++) high = Math.max(high, Math.abs(data[j]));
      return high;
    });
  }
}
