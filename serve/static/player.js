// Audio worklet: plays blocks of samples one after the other as they come, and tells where it is.

class Player extends AudioWorkletProcessor {
  constructor() {
    super();
    this.blocks = [];
    this.offset = 0;
    this.played = 0;
    this.ended = false;
    this.port.onmessage = ({ data }) => {
      if (data === "end") this.ended = true;
      else this.blocks.push(data);
    };
  }

  process(_inputs, [[out]]) {
    let filled = 0;
    while (filled < out.length && this.blocks.length) {
      const block = this.blocks[0];
      const count = Math.min(out.length - filled, block.length - this.offset);
      out.set(block.subarray(this.offset, this.offset + count), filled);
      filled += count;
      this.offset += count;
      if (this.offset === block.length) {
        this.blocks.shift();
        this.offset = 0;
      }
    }
    this.played += filled;
    const done = this.ended && !this.blocks.length;
    if (filled || done) this.port.postMessage({ played: this.played, done });
    return !done;
  }
}

registerProcessor("player", Player);
