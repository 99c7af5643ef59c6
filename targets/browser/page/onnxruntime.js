// ONNX Runtime Web on WebAssembly.

const HOME = '/npm/onnxruntime-web/dist/';
const TYPES = {
  F32: 'float32', F64: 'float64', I64: 'int64', I32: 'int32', I16: 'int16', I8: 'int8', U32: 'uint32', U16: 'uint16', U8: 'uint8', BOOL: 'bool',
};
const NAMES = Object.fromEntries(Object.entries(TYPES).map(([ours, theirs]) => [theirs, ours]));
// An identity. The runtime's WebAssembly is compiled with the first session; a model's loading time is to be its own.
const IDENTITY = 'CAg6NwoQCgFhEgFiIghJZGVudGl0eRIBZ1oPCgFhEgoKCAgBEgQKAggBYg8KAWISCgoICAESBAoCCAFCBAoAEA0=';

export async function start(threads) {
  const ort = await import(`${HOME}ort.wasm.min.mjs`);
  Object.assign(ort.env.wasm, { wasmPaths: HOME, numThreads: threads });
  ort.env.logLevel = 'error';
  const first = await ort.InferenceSession.create(Uint8Array.from(atob(IDENTITY), (letter) => letter.charCodeAt(0)));
  await first.release();
  return (files) => load(ort, files);
}

async function load(ort, [[, main], ...beside]) {
  const options = { executionProviders: ['wasm'], externalData: beside.map(([path, data]) => ({ path, data })) };
  const session = await ort.InferenceSession.create(main, options);
  return {
    shapes: session.inputMetadata.map(({ shape }) => shape),
    async run(inputs) {
      const feeds = {};
      for (const [name, { dtype, shape, data }] of Object.entries(inputs)) feeds[name] = new ort.Tensor(TYPES[dtype], data, shape);
      const found = await session.run(feeds);
      const outputs = {};
      for (const name of session.outputNames) {
        const { type, dims, data } = found[name];
        outputs[name] = { dtype: NAMES[type], shape: dims, data };
      }
      return outputs;
    },
    close: () => session.release(),
  };
}
