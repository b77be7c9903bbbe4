// Sound in the browser: files and the microphone to samples, samples to files. Formats are the browser's business.

const FOLDER = new URL(".", import.meta.url).href;
const PROMPT_RATE = 24000;

/** A sound file as mono samples at `rate`. */
export async function decodeFile(file, rate) {
  const data = await file.arrayBuffer();
  let sound;
  try {
    sound = await new OfflineAudioContext(1, 1, rate).decodeAudioData(data);
  } catch {
    throw new Error(`${file.name} is not a sound file this browser can read`);
  }
  const mono = new Float32Array(sound.length);
  for (let channel = 0; channel < sound.numberOfChannels; channel++) {
    sound.getChannelData(channel).forEach((value, index) => (mono[index] += value / sound.numberOfChannels));
  }
  return mono;
}

/** The microphone: `onBlock(samples)` as it records; resolves to `{ rate, stop }`. */
export async function openMicrophone(onBlock) {
  let media;
  try {
    media = await navigator.mediaDevices.getUserMedia({ audio: { channelCount: 1 } });
  } catch (error) {
    throw new Error(`the microphone cannot be used: ${error.message}`);
  }
  const context = new AudioContext();
  await context.audioWorklet.addModule(FOLDER + "recorder.js");
  const recorder = new AudioWorkletNode(context, "recorder", { numberOfOutputs: 0 });
  recorder.port.onmessage = ({ data }) => onBlock(data);
  context.createMediaStreamSource(media).connect(recorder);
  const stop = async () => {
    media.getTracks().forEach((track) => track.stop());
    await context.close();
  };
  return { rate: context.sampleRate, stop };
}

/** A player that begins at once and takes blocks of samples: `push`, `end`, `stop`; `onPlayed(samples, done)`. */
export async function openPlayer(rate, onPlayed) {
  const context = new AudioContext({ sampleRate: rate });
  await context.audioWorklet.addModule(FOLDER + "player.js");
  const node = new AudioWorkletNode(context, "player", { numberOfInputs: 0, outputChannelCount: [1] });
  node.port.onmessage = ({ data }) => onPlayed(data.played, data.done);
  node.connect(context.destination);
  await context.resume();
  return {
    push: (samples) => node.port.postMessage(samples),
    end: () => node.port.postMessage("end"),
    stop: () => context.state === "closed" || context.close(),
  };
}

/** Samples between -1 and 1 as 16-bit ones. */
export function toInt16(samples) {
  return Int16Array.from(samples, (value) => Math.round(Math.max(-1, Math.min(1, value)) * 32767));
}

/** 16-bit samples as ones between -1 and 1. */
export function toFloat32(samples) {
  return Float32Array.from(samples, (value) => value / 32768);
}

/** Blocks of 16-bit samples as a WAV file. */
export function wavFile(blocks, rate) {
  const bytes = blocks.reduce((sum, block) => sum + block.byteLength, 0);
  const header = new DataView(new ArrayBuffer(44));
  const text = (at, letters) => [...letters].forEach((letter, i) => header.setUint8(at + i, letter.charCodeAt(0)));
  text(0, "RIFF");
  header.setUint32(4, 36 + bytes, true);
  text(8, "WAVEfmt ");
  header.setUint32(16, 16, true);
  header.setUint16(20, 1, true);
  header.setUint16(22, 1, true);
  header.setUint32(24, rate, true);
  header.setUint32(28, 2 * rate, true);
  header.setUint16(32, 2, true);
  header.setUint16(34, 16, true);
  text(36, "data");
  header.setUint32(40, bytes, true);
  return new Blob([header, ...blocks], { type: "audio/wav" });
}

/** Bytes of a typed array in base64. */
export function toBase64(samples) {
  const bytes = new Uint8Array(samples.buffer, samples.byteOffset, samples.byteLength);
  let text = "";
  for (let at = 0; at < bytes.length; at += 0x8000) text += String.fromCharCode(...bytes.subarray(at, at + 0x8000));
  return btoa(text);
}

export { PROMPT_RATE };
