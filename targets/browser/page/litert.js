// LiteRT.js on WebAssembly (XNNPACK), one thread: its pool of threads is as large as the cores are many, and a model that finds
// it empty waits for ever.

const HOME = '/npm/@litertjs/core/';
const KINDS = { float32: ['F32', Float32Array], int32: ['I32', Int32Array], uint8: ['U8', Uint8Array] };

export async function start() {
  const litert = await import(`${HOME}dist/index.js`);
  // Its glue looks for its files beside the script of this worker, unless it is told.
  self.Module = { locateFile: (name) => `${HOME}wasm/${name}` };
  await litert.loadLiteRt(`${HOME}wasm/`);
  return (files) => load(litert, files);
}

async function load({ loadAndCompile, Tensor }, [[, file]]) {
  const model = await loadAndCompile(file, { accelerator: 'wasm', cpuOptions: { numThreads: 1 } });
  const inputs = Object.fromEntries(model.getInputDetails().map((each) => [each.name, each]));
  const outputs = model.getOutputDetails();
  return {
    shapes: Object.values(inputs).map(({ shape }) => Array.from(shape)),
    async run(arrays) {
      const given = {};
      let found = {};
      try {
        for (const [name, { shape, data }] of Object.entries(arrays)) given[name] = new Tensor(as(inputs[name]?.dtype, data), shape);
        found = await model.run(given);
        const answers = {};
        for (const { name, dtype, shape } of outputs) {
          answers[name] = { dtype: KINDS[dtype][0], shape: Array.from(shape), data: await found[name].data() };
        }
        return answers;
      } finally {
        for (const tensor of [...Object.values(given), ...Object.values(found)]) tensor.delete();
      }
    },
    close: () => model.delete(),
  };
}

// Whole numbers have 32 bits in such files.
function as(dtype, data) {
  const [, kind] = KINDS[dtype] ?? [null, data.constructor];
  if (data instanceof kind) return data;
  return kind.from(data, Number);
}
