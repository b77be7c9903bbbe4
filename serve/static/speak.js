// The tab that speaks, and the recording it may speak like.

import { inSeconds, playOn } from "./sending.js";
import { PROMPT_RATE, decodeFile, openMicrophone, toBase64, toInt16, wavFile } from "./sound.js";

const element = (id) => document.getElementById(id);

let prompt = null; // 16-bit samples of the recording to speak like

/** Speak `text`; called by the page's button with what its fields hold. */
export async function speak(text, voice, transcript, consent, speed) {
  const asked = { text, speed, voice: prompt ? null : voice };
  if (prompt) asked.prompt = { samples: toBase64(prompt), sample_rate: PROMPT_RATE, transcript, consent };
  await playOn("ag-speech", "/api/speak", asked, "Speaking", "speech");
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
    tell(prompt ? `${name}: ${inSeconds(samples.length / PROMPT_RATE)}. It leaves this page only to speak.` : hint);
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
