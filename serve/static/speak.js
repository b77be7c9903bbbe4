// The tab that speaks: asks for speech, plays it while it comes, draws its waveform, keeps it as a file.

import { PROMPT_RATE, decodeFile, openMicrophone, openPlayer, toBase64, toFloat32, toInt16, wavFile } from "./sound.js";

const element = (id) => document.getElementById(id);
const seconds = (value) => `${value.toFixed(value < 10 ? 2 : 1)} s`;

const PITCH = 4; // pixels from bar to bar

let prompt = null; // 16-bit samples of the recording to speak like
let current = null; // what `stop` stops: { abort, player }

/** Speak `text`; called by the page's button with what its fields hold. */
export async function speak(text, voice, transcript, consent, speed) {
  stop();
  const session = { abort: new AbortController(), player: null };
  current = session;
  const picture = new Picture(element("ag-wave"));
  element("ag-speech").querySelector(".ag-kept").hidden = true;
  say("Speaking …");
  try {
    const asked = { text, speed, voice: prompt ? null : voice };
    if (prompt) asked.prompt = { samples: toBase64(prompt), sample_rate: PROMPT_RATE, transcript, consent };
    await play(asked, session, picture);
  } catch (error) {
    if (error.name !== "AbortError") say(error.message, true);
  }
}

/** Fall silent. */
export function stop() {
  current?.abort.abort();
  current?.player?.stop();
  current = null;
}

async function play(asked, session, picture) {
  const begun = performance.now();
  const body = JSON.stringify(asked);
  const headers = { "Content-Type": "application/json" };
  const answer = await fetch("/api/speak", { method: "POST", body, headers, signal: session.abort.signal });
  if (!answer.ok) throw new Error((await answer.json()).error);
  const rate = Number(answer.headers.get("X-Sample-Rate"));
  const blocks = [];
  let first = null;
  session.player = await openPlayer(rate, (played, done) => {
    picture.playedTo(played);
    if (done) session.player.stop();
  });
  for await (const samples of samplesOf(answer.body)) {
    first ??= (performance.now() - begun) / 1000;
    blocks.push(samples);
    session.player.push(toFloat32(samples));
    picture.add(samples);
    say(`First sound after ${seconds(first)}; ${seconds(picture.length / rate)} made …`);
  }
  session.player.end();
  const taken = (performance.now() - begun) / 1000;
  const made = picture.length / rate;
  say(`First sound after ${seconds(first)}. ${seconds(made)} of speech in ${seconds(taken)}: real-time factor ${(taken / made).toFixed(2)}.`);
  keep(wavFile(blocks, rate));
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

function keep(file) {
  URL.revokeObjectURL(element("ag-audio").src);
  const address = URL.createObjectURL(file);
  element("ag-audio").src = address;
  element("ag-download").href = address;
  element("ag-speech").querySelector(".ag-kept").hidden = false;
}

function say(message, wrong = false) {
  const status = element("ag-speech-status");
  status.textContent = message;
  status.classList.toggle("ag-wrong", wrong);
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

/** Wire up the voice prompt's buttons. */
export function wirePrompt() {
  const [file, record, clear] = ["file", "record", "clear"].map((name) => element(`ag-prompt-${name}`));
  const hint = element("ag-prompt-status").textContent;
  let microphone = null;
  let blocks = [];
  const tell = (message, wrong = false) => {
    element("ag-prompt-status").textContent = message;
    element("ag-prompt-status").classList.toggle("ag-wrong", wrong);
  };
  const take = (samples, name) => {
    prompt = samples && toInt16(samples);
    clear.hidden = !prompt;
    tell(prompt ? `${name}: ${seconds(samples.length / PROMPT_RATE)}. It leaves this page only to speak.` : hint);
  };
  file.onchange = async () => {
    try {
      take(await decodeFile(file.files[0], PROMPT_RATE), file.files[0].name);
    } catch (error) {
      tell(error.message, true);
    }
    file.value = "";
  };
  record.onclick = async () => {
    try {
      if (!microphone) {
        blocks = [];
        microphone = await openMicrophone((block) => blocks.push(toInt16(block)));
        record.textContent = "Stop recording";
        tell("Recording …");
        return;
      }
      await microphone.stop();
      const recorded = wavFile(blocks, microphone.rate);
      take(await decodeFile(recorded, PROMPT_RATE), "Recorded");
    } catch (error) {
      tell(error.message, true);
    }
    microphone = null;
    record.textContent = "Record";
  };
  clear.onclick = () => take(null);
}
