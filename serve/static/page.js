// Joins the page Gradio has laid out with what speaks and listens.

import { wireListening } from "./listen.js";
import { playOn, stop } from "./sending.js";
import { speak, wirePrompt } from "./speak.js";

const newSeed = () => Math.floor(Math.random() * 2 ** 31);

/** Make sound of a class; called by the page's button with what its fields hold. */
function generate(label, temperature) {
  playOn("ag-made", "/api/generate", { label, temperature, seed: newSeed() }, "Making sound", "sound");
}

/** Make the sound that a caption describes; called likewise. */
function sound(caption, seconds) {
  playOn("ag-sound", "/api/sound", { caption, seconds, seed: newSeed() }, "Making sound", "sound");
}

window.audiogen = { speak, generate, sound, stop };

/** Gradio builds a part of the page when it is first shown: call `wire` once `id` is there. */
function whenThere(id, wire) {
  let wired = null;
  const look = () => {
    const found = document.getElementById(id);
    if (found && found !== wired) {
      wired = found;
      wire();
    }
  };
  new MutationObserver(look).observe(document, { childList: true, subtree: true });
  look();
}

whenThere("ag-prompt-file", wirePrompt);
whenThere("ag-microphone", wireListening);
