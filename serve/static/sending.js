// A card of the page that plays sound while it comes: draws its waveform, tells how fast it is made, keeps it as a file.

import { openPlayer, toFloat32, wavFile } from "./sound.js";

const PITCH = 4; // pixels from bar to bar

export const inSeconds = (value) => `${value.toFixed(value < 10 ? 2 : 1)} s`;

let current = null; // what `stop` stops, on whichever card: { abort, player }

/** Fall silent. */
export function stop() {
  current?.abort.abort();
  current?.player?.stop();
  current = null;
}

/** Ask `address` for sound and play it on the card `id`; `doing` says what is done meanwhile, `made` what comes of it. */
export async function playOn(id, address, asked, doing, made) {
  stop();
  const session = { abort: new AbortController(), player: null };
  current = session;
  const card = new Card(document.getElementById(id));
  card.say(`${doing} …`);
  try {
    await play(card, session, address, asked, made);
  } catch (error) {
    if (error.name !== "AbortError") card.say(error.message, true);
  }
}

async function play(card, session, address, asked, made) {
  const begun = performance.now();
  const body = JSON.stringify(asked);
  const headers = { "Content-Type": "application/json" };
  const answer = await fetch(address, { method: "POST", body, headers, signal: session.abort.signal });
  if (!answer.ok) throw new Error((await answer.json()).error);
  const rate = Number(answer.headers.get("X-Sample-Rate"));
  const blocks = [];
  let first = null;
  session.player = await openPlayer(rate, (played, done) => {
    card.picture.playedTo(played);
    if (done) session.player.stop();
  });
  for await (const samples of samplesOf(answer.body)) {
    first ??= (performance.now() - begun) / 1000;
    blocks.push(samples);
    session.player.push(toFloat32(samples));
    card.picture.add(samples);
    card.say(`First sound after ${inSeconds(first)}; ${inSeconds(card.picture.length / rate)} made …`);
  }
  session.player.end();
  const taken = (performance.now() - begun) / 1000;
  const length = card.picture.length / rate;
  const factor = (taken / length).toFixed(2);
  card.say(`First sound after ${inSeconds(first)}. ${inSeconds(length)} of ${made} in ${inSeconds(taken)}: real-time factor ${factor}.`);
  card.keep(wavFile(blocks, rate));
}

/** The 16-bit samples of a stream of bytes, which may split a sample in two. */
async function* samplesOf(stream) {
  const reader = stream.getReader();
  let rest = new Uint8Array(0);
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const bytes = new Uint8Array(rest.length + value.length);
    bytes.set(rest);
    bytes.set(value, rest.length);
    const whole = bytes.length - (bytes.length % 2);
    rest = bytes.slice(whole);
    if (whole) yield new Int16Array(bytes.buffer, 0, whole / 2);
  }
}

/** What a card shows: a picture, a line of text, and the sound to keep once it is whole. */
class Card {
  constructor(element) {
    [this.status, this.kept] = [".ag-status", ".ag-kept"].map((part) => element.querySelector(part));
    this.picture = new Picture(element.querySelector("canvas"));
    this.kept.hidden = true;
  }

  say(message, wrong = false) {
    this.status.textContent = message;
    this.status.classList.toggle("ag-wrong", wrong);
  }

  keep(file) {
    const [player, link] = ["audio", "a"].map((part) => this.kept.querySelector(part));
    URL.revokeObjectURL(player.src);
    player.src = link.href = URL.createObjectURL(file);
    this.kept.hidden = false;
  }
}

/** The waveform as it grows, a bar for 20 ms or more; what has been played is drawn stronger. */
class Picture {
  constructor(canvas) {
    this.canvas = canvas;
    this.bars = [];
    this.length = 0;
    this.played = 0;
    this.draw();
  }

  add(samples) {
    for (let at = 0; at < samples.length; at += 480) {
      let loudest = 0;
      for (const value of samples.subarray(at, at + 480)) loudest = Math.max(loudest, Math.abs(value));
      this.bars.push(loudest / 32768);
    }
    this.length += samples.length;
    this.draw();
  }

  playedTo(samples) {
    this.played = samples;
    this.draw();
  }

  draw() {
    const { canvas, bars } = this;
    const scale = window.devicePixelRatio;
    const [width, height] = [canvas.clientWidth, 96];
    canvas.width = width * scale;
    canvas.height = height * scale;
    const pen = canvas.getContext("2d");
    pen.scale(scale, scale);
    const loudest = Math.max(0.05, ...bars);
    const style = getComputedStyle(canvas);
    const merged = Math.max(1, Math.ceil((bars.length * PITCH) / width));
    for (let at = 0; at < bars.length; at += merged) {
      const heard = at / bars.length < this.played / this.length;
      pen.fillStyle = style.getPropertyValue(heard ? "--ag-heard" : "--ag-unheard");
      const tall = Math.max(2, (Math.max(...bars.slice(at, at + merged)) / loudest) * (height - 8));
      pen.beginPath();
      pen.roundRect((at / merged) * PITCH, (height - tall) / 2, PITCH - 1.5, tall, 1);
      pen.fill();
    }
  }
}
