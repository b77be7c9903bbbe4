// Joins the page Gradio has laid out with what speaks and listens.

import { wireListening } from "./listen.js";
import { speak, stop, wirePrompt } from "./speak.js";

window.audiogen = { speak, stop };

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
