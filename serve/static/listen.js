// The tab that listens: sends the microphone or a file, shows the text as it comes.

import { decodeFile, openMicrophone, toInt16 } from "./sound.js";

const FILE_RATE = 16000;
const PIECE = FILE_RATE / 4;
const MOST_BUFFERED = 64 * 1024;

const element = (id) => document.getElementById(id);

let stopCurrent = null;

/** Wire up the buttons. */
export function wireListening() {
  element("ag-microphone").onclick = () => (stopCurrent ? stopCurrent() : guard(hearMicrophone));
  element("ag-listen-file").onchange = async ({ target }) => {
    const file = target.files[0];
    target.value = "";
    await stopCurrent?.();
    await guard(() => hearFile(file));
  };
}

async function guard(work) {
  try {
    await work();
  } catch (error) {
    tell(error.message, true);
  }
}

async function hearMicrophone() {
  let line = null;
  const microphone = await openMicrophone((block) => {
    line?.send(toInt16(block));
    const loudness = Math.sqrt(block.reduce((sum, value) => sum + value * value, 0) / block.length);
    element("ag-level").style.width = `${Math.min(100, 400 * loudness)}%`;
  });
  const close = async () => {
    stopCurrent = null;
    element("ag-microphone").textContent = "Start the microphone";
    element("ag-level").style.width = 0;
    await microphone.stop();
  };
  line = await openLine(microphone.rate, close);
  stopCurrent = async () => {
    await close();
    line.end();
  };
  element("ag-microphone").textContent = "Stop";
  tell("Listening …");
}

async function hearFile(file) {
  tell(`Reading ${file.name} …`);
  const samples = await decodeFile(file, FILE_RATE);
  let open = true;
  const line = await openLine(FILE_RATE, () => (open = false));
  stopCurrent = async () => {
    stopCurrent = null;
    open = false;
    line.end();
  };
  for (let at = 0; open && at < samples.length; at += PIECE) {
    line.send(toInt16(samples.subarray(at, at + PIECE)));
    tell(`${file.name}: ${((at + PIECE) / FILE_RATE).toFixed(0)} s heard of ${(samples.length / FILE_RATE).toFixed(0)} s`);
    await line.drained();
  }
  stopCurrent = null;
  line.end();
}

/** A connection to the recogniser that writes what it hears on the page; `onClose` when the other side ends it. */
function openLine(rate, onClose) {
  const address = new URL("/api/listen", location.href);
  address.protocol = address.protocol.replace("http", "ws");
  const socket = new WebSocket(address);
  show("", "", false);
  socket.onmessage = ({ data }) => {
    const message = JSON.parse(data);
    if (message.type === "error") tell(message.message, true);
    else show(message.text, message.stable ?? message.text, message.type === "final");
    if (message.type === "final") tell(message.text ? "Done." : "No words were heard.");
  };
  socket.onclose = onClose;
  const drained = async () => {
    while (socket.readyState === WebSocket.OPEN && socket.bufferedAmount > MOST_BUFFERED) {
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  };
  return new Promise((resolve, reject) => {
    socket.onerror = () => reject(new Error("the connection to the service failed"));
    socket.onopen = () => {
      const send = (message) => socket.readyState === WebSocket.OPEN && socket.send(message);
      send(JSON.stringify({ sample_rate: rate }));
      resolve({ send, drained, end: () => send(JSON.stringify({ end: true })) });
    };
  });
}

/** Write `text`, its beginning `stable` as settled. */
function show(text, stable, final) {
  const settled = document.createElement("b");
  settled.textContent = text.startsWith(stable) ? stable : "";
  element("ag-text").replaceChildren(...(text ? [settled, text.slice(settled.textContent.length)] : []));
  element("ag-text").classList.toggle("ag-final", final);
}

function tell(message, wrong = false) {
  element("ag-listen-status").textContent = message;
  element("ag-listen-status").classList.toggle("ag-wrong", wrong);
}
