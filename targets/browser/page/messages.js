// What the host and the page say to each other: a safetensors file, whose metadata holds words as JSON beside the arrays.
// An array is {dtype, shape, data}: safetensors' name of its type, its sizes, a typed array in row-major order.

const KINDS = {
  F32: Float32Array, F64: Float64Array, I64: BigInt64Array, I32: Int32Array, I16: Int16Array, I8: Int8Array,
  U64: BigUint64Array, U32: Uint32Array, U16: Uint16Array, U8: Uint8Array, BOOL: Uint8Array,
};

export function pack(words, arrays = {}) {
  const header = { __metadata__: { message: JSON.stringify(words) } };
  let end = 0;
  for (const [name, { dtype, shape, data }] of Object.entries(arrays)) {
    header[name] = { dtype, shape, data_offsets: [end, end + data.byteLength] };
    end += data.byteLength;
  }
  let text = new TextEncoder().encode(JSON.stringify(header));
  const padded = new Uint8Array(Math.ceil(text.length / 8) * 8).fill(0x20); // arrays begin at a multiple of 8
  padded.set(text);
  const body = new Uint8Array(8 + padded.length + end);
  new DataView(body.buffer).setBigUint64(0, BigInt(padded.length), true);
  body.set(padded, 8);
  for (const [name, { data }] of Object.entries(arrays)) {
    body.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength), 8 + padded.length + header[name].data_offsets[0]);
  }
  return body;
}

export function unpack(buffer) {
  const length = Number(new DataView(buffer).getBigUint64(0, true));
  const { __metadata__, ...described } = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 8, length)));
  const arrays = {};
  for (const [name, { dtype, shape, data_offsets: [from, to] }] of Object.entries(described)) {
    arrays[name] = { dtype, shape, data: new KINDS[dtype](buffer.slice(8 + length + from, 8 + length + to)) };
  }
  return [JSON.parse(__metadata__.message), arrays];
}

// Rows from..to of an array whose first size counts rows.
export function rows({ dtype, shape, data }, from, to) {
  const width = shape.slice(1).reduce((a, b) => a * b, 1);
  return { dtype, shape: [to - from, ...shape.slice(1)], data: data.slice(from * width, to * width) };
}

export function stack(parts) {
  const { dtype, shape, data } = parts[0];
  const whole = new data.constructor(parts.reduce((sum, part) => sum + part.data.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part.data, at);
    at += part.data.length;
  }
  return { dtype, shape: [parts.reduce((sum, part) => sum + part.shape[0], 0), ...shape.slice(1)], data: whole };
}
