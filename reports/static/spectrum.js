// Waveforms and spectrograms on a canvas. Long work is done in slices, so that the page stays alive.
(() => {
  "use strict";
  const codecbench = (window.codecbench = window.codecbench || {});

  const SLICE_MS = 12; // of work before the page gets a turn
  const RANGE_DB = 90; // from the loudest bin of the reference down to black
  // From silence to the loudest, RGB; lightness rises evenly, so it reads without colour, too.
  const COLOURS = [[8, 8, 18], [36, 22, 84], [98, 30, 122], [168, 46, 106], [224, 90, 62], [247, 164, 52], [253, 240, 176]];

  const turn = () => new Promise((done) => setTimeout(done, 0));

  // In place, radix 2; the length of `re` and `im` is a power of two.
  function fft(re, im) {
    const n = re.length;
    for (let i = 1, j = 0; i < n; i++) {
      let bit = n >> 1;
      for (; j & bit; bit >>= 1) j ^= bit;
      j ^= bit;
      if (i < j) {
        [re[i], re[j]] = [re[j], re[i]];
        [im[i], im[j]] = [im[j], im[i]];
      }
    }
    for (let size = 2; size <= n; size <<= 1) {
      const half = size >> 1;
      for (let k = 0; k < half; k++) {
        const angle = (-2 * Math.PI * k) / size;
        const c = Math.cos(angle), s = Math.sin(angle);
        for (let a = k; a < n; a += size) {
          const b = a + half;
          const x = re[b] * c - im[b] * s, y = re[b] * s + im[b] * c;
          re[b] = re[a] - x;
          im[b] = im[a] - y;
          re[a] += x;
          im[a] += y;
        }
      }
    }
  }

  // Power of each bin, 0 to half the rate, around sample `centre`, mean over channels (of powers: nothing cancels).
  // A full-scale sine has power 1.
  function analyser(channels, size) {
    const window = Float64Array.from({ length: size }, (_, i) => 0.5 - 0.5 * Math.cos((2 * Math.PI * i) / size));
    const scale = (4 / size) ** 2 / channels.length;
    const re = new Float64Array(size), im = new Float64Array(size);
    return (centre, power) => {
      for (const channel of channels) {
        const first = Math.round(centre) - size / 2;
        for (let i = 0; i < size; i++) re[i] = (channel[first + i] || 0) * window[i];
        im.fill(0);
        fft(re, im);
        for (let k = 0; k < power.length; k++) power[k] += (re[k] * re[k] + im[k] * im[k]) * scale;
      }
      return power;
    };
  }

  const windowSize = (rate) => (rate > 24000 ? 1024 : 512); // 21 to 43 ms

  // The loudest bin of a few hundred frames, dB: the top of the colours for all sources of a clip.
  codecbench.loudest = (channels, rate) => {
    const size = windowSize(rate), analyse = analyser(channels, size);
    let top = 1e-10;
    for (let i = 0; i < 200; i++) {
      const power = analyse(((i + 0.5) / 200) * channels[0].length, new Float64Array(size / 2 + 1));
      top = Math.max(top, ...power);
    }
    return 10 * Math.log10(top);
  };

  function colour(level) {
    const at = Math.min(Math.max(level, 0), 1) * (COLOURS.length - 1);
    const low = Math.min(Math.floor(at), COLOURS.length - 2), part = at - low;
    return COLOURS[low].map((value, i) => value + (COLOURS[low + 1][i] - value) * part);
  }

  function size(canvas) {
    const ratio = Math.min(window.devicePixelRatio || 1, 2);
    canvas.width = Math.max(1, Math.round(canvas.clientWidth * ratio));
    canvas.height = Math.max(1, Math.round(canvas.clientHeight * ratio));
    return [canvas.getContext("2d"), canvas.width, canvas.height, ratio];
  }

  codecbench.blank = (canvas, text) => {
    const [draw, width, height, ratio] = size(canvas);
    const style = getComputedStyle(canvas);
    draw.clearRect(0, 0, width, height);
    if (!text) return;
    draw.fillStyle = style.color;
    draw.font = `${14 * ratio}px system-ui, sans-serif`;
    draw.textAlign = "center";
    draw.fillText(text, width / 2, height / 2, width - 16 * ratio);
  };

  // One lane a channel, all with the same scale: `peak` fills half a lane.
  codecbench.waveform = (canvas, channels, peak) => {
    const [draw, width, height] = size(canvas);
    const lane = height / channels.length;
    const style = getComputedStyle(canvas);
    draw.clearRect(0, 0, width, height);
    channels.forEach((channel, index) => {
      const middle = lane * (index + 0.5), scale = (lane / 2 - 2) / peak;
      const y = (value) => middle - Math.min(Math.max(value * scale, -lane / 2), lane / 2);
      draw.fillStyle = style.borderTopColor;
      draw.fillRect(0, middle, width, 1);
      draw.fillStyle = style.color;
      for (let x = 0; x < width; x++) {
        const first = Math.floor((x / width) * channel.length);
        const last = Math.max(first + 1, Math.floor(((x + 1) / width) * channel.length));
        let low = Infinity, high = -Infinity;
        for (let i = first; i < last; i++) {
          if (channel[i] < low) low = channel[i];
          if (channel[i] > high) high = channel[i];
        }
        draw.fillRect(x, y(high), 1, Math.max(1, y(low) - y(high)));
      }
    });
  };

  // Linear in frequency. `alive()` turns false when the picture is no longer wanted. Resolves to true when it is whole.
  codecbench.spectrogram = async (canvas, channels, rate, top, alive) => {
    const [draw, width, height, ratio] = size(canvas);
    const length = channels[0].length, n = windowSize(rate), bins = n / 2 + 1;
    const analyse = analyser(channels, n);
    const frames = Math.min(8, Math.max(1, Math.round(length / width / (n / 2)))); // averaged in a column
    const palette = Array.from({ length: 256 }, (_, i) => colour(i / 255));
    const column = draw.createImageData(1, height);
    draw.fillStyle = `rgb(${COLOURS[0]})`;
    draw.fillRect(0, 0, width, height);
    let began = performance.now();
    for (let x = 0; x < width; x++) {
      const power = new Float64Array(bins);
      for (let f = 0; f < frames; f++) analyse(((x + (f + 0.5) / frames) / width) * length, power);
      for (let y = 0; y < height; y++) {
        // A row shows the loudest of its bins.
        const low = Math.floor(((height - 1 - y) / height) * (bins - 1));
        const high = Math.max(low + 1, Math.floor(((height - y) / height) * (bins - 1)));
        let value = 0;
        for (let k = low; k < high; k++) if (power[k] > value) value = power[k];
        const db = 10 * Math.log10(value / frames + 1e-20);
        const [r, g, b] = palette[Math.round(255 * Math.min(1, Math.max(0, (db - top) / RANGE_DB + 1)))];
        column.data.set([r, g, b, 255], 4 * y);
      }
      draw.putImageData(column, x, 0);
      if (performance.now() - began > SLICE_MS) {
        await turn();
        if (!alive()) return false;
        began = performance.now();
      }
    }
    axes(draw, width, height, ratio, rate / 2, length / rate);
    return true;
  };

  function axes(draw, width, height, ratio, nyquist, seconds) {
    draw.font = `${11 * ratio}px system-ui, sans-serif`;
    draw.lineWidth = 3 * ratio;
    draw.strokeStyle = "rgba(0, 0, 0, 0.75)";
    draw.fillStyle = "#ffffff";
    const write = (text, x, y) => {
      draw.strokeText(text, x, y);
      draw.fillText(text, x, y);
    };
    const step = [500, 1000, 2000, 4000, 5000].find((hz) => nyquist / hz <= 6) || 10000;
    draw.textBaseline = "middle";
    for (let hz = step; hz < nyquist * 0.97; hz += step) {
      const y = height * (1 - hz / nyquist);
      draw.fillRect(0, y, 5 * ratio, 1);
      write(`${hz / 1000} kHz`, 8 * ratio, y);
    }
    const every = [0.5, 1, 2, 5, 10, 20, 30, 60].find((s) => (seconds / s) * 60 * ratio <= width) || 300;
    draw.textBaseline = "bottom";
    draw.textAlign = "center";
    for (let second = every; second < seconds - every / 3; second += every) {
      const x = (width * second) / seconds;
      draw.fillRect(x, height - 5 * ratio, 1, 5 * ratio);
      write(`${second} s`, x, height - 5 * ratio);
    }
  }
})();
