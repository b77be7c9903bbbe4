// Audio worklet: gathers the microphone's samples into blocks of about 85 ms and hands them on.

class Recorder extends AudioWorkletProcessor {
  constructor() {
    super();
    this.block = new Float32Array(4096);
    this.filled = 0;
  }

  process([[samples]]) {
    if (!samples) return true;
    this.block.set(samples, this.filled);
    this.filled += samples.length;
    if (this.filled === this.block.length) {
      this.port.postMessage(this.block);
      this.block = new Float32Array(4096);
      this.filled = 0;
    }
    return true;
  }
}

registerProcessor("recorder", Recorder);
