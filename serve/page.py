"""The page: Gradio lays it out and holds what is typed; `static/page.js` does the sound.

Gradio's own streaming audio needs ffmpeg and leaves gaps between chunks, so sound goes through an AudioWorklet instead,
straight from `/api/speak` and to `/api/listen`. No event of the page runs Python, hence no value of a component ever
reaches a path on the server.
"""

from collections.abc import Sequence

import gradio
from fastapi import FastAPI

from audiogen.serve.sessions import Limits

EXAMPLE = "Good evening. The train to the coast leaves in ten minutes, from platform two."
CAPTION = "a slow waltz in D minor"
HEAD = '<script type="module" src="/static/audiogen/page.js"></script>'
THEME = gradio.themes.Soft(
    primary_hue="indigo",
    neutral_hue="slate",
    font=["system-ui", "sans-serif"],
    font_mono=["ui-monospace", "monospace"],
)

INTRODUCTION = """
# audiogen
Type, and hear it while it is made. Talk, and read it as you speak. Nothing leaves this machine.
"""

PLAYER = """
<div class="ag-card" id="ag-speech">
  <canvas id="ag-wave" height="96" aria-label="Waveform of the speech"></canvas>
  <p class="ag-status" id="ag-speech-status" role="status">The waveform appears here as the speech is made.</p>
  <div class="ag-kept" hidden>
    <audio id="ag-audio" controls></audio>
    <a class="ag-button" id="ag-download" download="speech.wav">Save</a>
  </div>
</div>
"""

MADE = """
<div class="ag-card" id="{id}">
  <canvas height="96" aria-label="Waveform of the sound"></canvas>
  <p class="ag-status" role="status">{status}</p>
  <div class="ag-kept" hidden>
    <audio controls></audio>
    <a class="ag-button" download="generated.wav">Save</a>
  </div>
</div>
"""

PROMPT = """
<div class="ag-card ag-row" id="ag-prompt">
  <label class="ag-button">Choose a recording<input type="file" id="ag-prompt-file" accept="audio/*" hidden></label>
  <button type="button" class="ag-button" id="ag-prompt-record">Record</button>
  <button type="button" class="ag-button" id="ag-prompt-clear" hidden>Remove</button>
  <span class="ag-status" id="ag-prompt-status" role="status">{shortest:g} to {longest:g} seconds of one speaker.</span>
</div>
"""

HEARING = """
<div class="ag-card ag-row">
  <button type="button" class="ag-button ag-primary" id="ag-microphone">Start the microphone</button>
  <label class="ag-button">Choose a file<input type="file" id="ag-listen-file" accept="audio/*" hidden></label>
  <div class="ag-meter" aria-hidden="true"><i id="ag-level"></i></div>
  <span class="ag-status" id="ag-listen-status" role="status">Up to {minutes:g} minutes.</span>
</div>
<div class="ag-card"><p id="ag-text" aria-live="polite" data-empty="The text appears here while you speak."></p></div>
"""


def mount_page(
    app: FastAPI, voices: Sequence[str], classes: Sequence[str] | None, captions: bool, limits: Limits
) -> None:
    """Put the page at the root of `app`, after every other route.

    Args:
        app: The application.
        voices: Names to speak as.
        classes: Sounds to ask for, perhaps none; None if nothing makes sounds sample by sample.
        captions: Whether anything makes sounds from captions.
        limits: Sizes and times.
    """
    gradio.mount_gradio_app(
        app,
        _blocks(voices, classes, captions, limits),
        path="/",
        app_kwargs={"docs_url": None, "redoc_url": None, "openapi_url": None},
        footer_links=[],
        run_history=False,
        allowed_paths=[],
        max_file_size="1kb",
        show_error=False,
        ssr_mode=False,
        enable_monitoring=False,
        theme=THEME,
        head=HEAD + '<link rel="stylesheet" href="/static/audiogen/page.css">',
    )


def _blocks(voices: Sequence[str], classes: Sequence[str] | None, captions: bool, limits: Limits) -> gradio.Blocks:
    with gradio.Blocks(title="audiogen", analytics_enabled=False, delete_cache=(600, 1800)) as blocks:
        gradio.Markdown(INTRODUCTION)
        with gradio.Tab("Speak"):
            _speak_tab(voices, limits)
        with gradio.Tab("Listen"):
            _html(HEARING.format(minutes=limits.listen_seconds / 60))
        if classes is not None:
            with gradio.Tab("Generate"):
                _generate_tab(classes)
        if captions:
            with gradio.Tab("Sound"):
                _sound_tab(limits)
    return blocks.queue(api_open=False, max_size=1)


def _speak_tab(voices: Sequence[str], limits: Limits) -> None:
    text = gradio.Textbox(
        EXAMPLE, label="Text", lines=3, max_lines=10, max_length=limits.text_characters, elem_id="ag-say"
    )
    voice = gradio.Dropdown(list(voices), value=voices[0], label="Voice", elem_id="ag-voice")
    speed = gradio.Slider(0.5, 2.0, value=1.0, step=0.05, label="Pace", elem_id="ag-speed")
    with gradio.Accordion("Speak like a recording of yours", open=False):
        shortest, longest = limits.prompt_seconds
        _html(PROMPT.format(shortest=shortest, longest=longest))
        transcript = gradio.Textbox(label="What is said in it, word for word", max_length=limits.text_characters)
        consent = gradio.Checkbox(label="I may use this voice: it is mine, or its owner has agreed.")
    with gradio.Row():
        speak = gradio.Button("Speak", variant="primary", elem_id="ag-speak")
        stop = gradio.Button("Stop", elem_id="ag-stop")
    _html(PLAYER)
    asked = [text, voice, transcript, consent, speed]
    speak.click(None, asked, None, js="(...asked) => { window.audiogen.speak(...asked); }")
    stop.click(None, js="() => { window.audiogen.stop(); }")


def _generate_tab(classes: Sequence[str]) -> None:
    shown = bool(classes)
    label = gradio.Dropdown(list(classes), value=next(iter(classes), None), label="Class", visible=shown)
    temperature = gradio.Slider(0.5, 1.2, 1.0, step=0.05, label="Temperature: below 1 for less chance")
    with gradio.Row():
        generate = gradio.Button("Generate", variant="primary", elem_id="ag-generate")
        stop = gradio.Button("Stop")
    _html(MADE.format(id="ag-made", status="Each sound is another, made sample by sample."))
    generate.click(None, [label, temperature], None, js="(...asked) => { window.audiogen.generate(...asked); }")
    stop.click(None, js="() => { window.audiogen.stop(); }")


def _sound_tab(limits: Limits) -> None:
    caption = gradio.Textbox(
        CAPTION, label="What is to be heard", max_length=limits.text_characters, elem_id="ag-caption"
    )
    seconds = gradio.Slider(1, limits.generate_seconds, min(5, limits.generate_seconds), step=0.5, label="Seconds")
    with gradio.Row():
        make = gradio.Button("Make it", variant="primary", elem_id="ag-make")
        stop = gradio.Button("Stop")
    _html(MADE.format(id="ag-sound", status="The same words make another sound each time."))
    make.click(None, [caption, seconds], None, js="(...asked) => { window.audiogen.sound(...asked); }")
    stop.click(None, js="() => { window.audiogen.stop(); }")


def _html(content: str) -> gradio.HTML:
    return gradio.HTML(content, apply_default_css=False, elem_classes="ag-html")
