// One runtime in a thread of its own: what a process is elsewhere. Ended, not emptied, so that nothing of it stays.
// A classic script: LiteRT.js loads its glue with importScripts, which a module does not have.

const memories = new Set();
watch();

let load = null;
const opened = new Map();

const OPERATIONS = {
  // Starts a runtime; what that took, and the WebAssembly memory that it holds before any model.
  async start({ runtime, threads }) {
    const begin = performance.now();
    load = await (await import(`/page/${runtime}.js`)).start(threads);
    return { import_ns: nanoseconds(performance.now() - begin), baseline_bytes: heap() };
  },

  // From the file to a first answer, and what it holds then. The answer is of a second call.
  async cold({ files, inputs }) {
    const begin = performance.now();
    const predictor = await load(files);
    const ready = performance.now();
    await predictor.run(inputs);
    const first = performance.now();
    const outputs = await predictor.run(inputs);
    return { load_ns: nanoseconds(ready - begin), first_ns: nanoseconds(first - ready), peak_bytes: heap(), outputs };
  },

  async predict({ key, files, inputs }) {
    const { rows, stack } = await import('/page/messages.js');
    if (!opened.has(key)) opened.set(key, await load(files));
    const { shapes, run } = opened.get(key);
    const leading = new Set(shapes.filter((shape) => shape.length).map((shape) => shape[0]));
    if (leading.size !== 1 || !leading.has(1)) return run(inputs);
    const count = Object.values(inputs)[0].shape[0];
    const parts = [];
    for (let row = 0; row < count; row++) {
      parts.push(await run(Object.fromEntries(Object.entries(inputs).map(([name, array]) => [name, rows(array, row, row + 1)]))));
    }
    return Object.fromEntries(Object.keys(parts[0]).map((name) => [name, stack(parts.map((part) => part[name]))]));
  },

  // A set's interleaved rounds, then a steady block of each candidate, and a long one where that was asked for.
  async measure({ candidates, protocol, seed, long }) {
    const timing = await import('/page/timing.js');
    const random = timing.generator(seed);
    const resolution = timing.step();
    const [calls, found, errors, predictors] = [{}, {}, {}, []];
    for (const [name, { files, inputs }] of timing.shuffled(Object.entries(candidates), random)) {
      try {
        const predictor = await load(files);
        predictors.push(predictor);
        calls[name] = { call: () => predictor.run(inputs) };
        await calls[name].call();
      } catch (error) {
        delete calls[name];
        errors[name] = words(error);
      }
    }
    for (let i = 0; i < protocol.warmup; i++) for (const { call } of Object.values(calls)) await call();
    for (const each of Object.values(calls)) each.repeat = await timing.callsPerSample(each.call, resolution);
    const rounds = await timing.interleaved(calls, protocol, random, report);
    for (const [place, name] of timing.shuffled(Object.keys(calls), random).entries()) {
      found[name] = { repeat: calls[name].repeat };
      found[name].steady_ns = await timing.timed(calls[name], protocol.steady_calls, protocol.steady_seconds);
      report(0.5 + (0.5 * place) / Object.keys(calls).length);
      if (long) found[name].sustained_ns = await timing.sustained(calls[name], protocol.sustained_seconds);
    }
    for (const predictor of predictors) await predictor.close();
    return { rounds, found, errors, step_ms: resolution };
  },
};

self.onmessage = async ({ data: { id, operation, given } }) => {
  try {
    self.postMessage({ id, found: await OPERATIONS[operation](given) });
  } catch (error) {
    self.postMessage({ id, error: words(error) });
  }
};

function words(error) {
  const text = String(error?.message ?? error).replace(/\s+/g, ' ').trim() || 'it said nothing';
  return text.slice(0, 500);
}

// Of what runs now, the share that is done; said between samples only.
function report(share) {
  self.postMessage({ progress: share });
}

function nanoseconds(milliseconds) {
  return Math.round(milliseconds * 1e6);
}

// Bytes of all WebAssembly memories, which never shrink: a runtime's peak.
function heap() {
  let sum = 0;
  for (const memory of memories) sum += memory.buffer.byteLength;
  return sum;
}

// Keeps every memory that a runtime makes for itself or that its module brings.
function watch() {
  const { Memory, instantiate, instantiateStreaming } = WebAssembly;
  WebAssembly.Memory = class extends Memory {
    constructor(descriptor) {
      super(descriptor);
      memories.add(this);
    }
  };
  const seen = (found) => {
    const instance = found.instance ?? found;
    for (const value of Object.values(instance.exports)) if (value instanceof Memory) memories.add(value);
    return found;
  };
  WebAssembly.instantiate = (...given) => instantiate(...given).then(seen);
  WebAssembly.instantiateStreaming = (...given) => instantiateStreaming(...given).then(seen);
}
