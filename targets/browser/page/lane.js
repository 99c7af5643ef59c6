// A worker with one runtime in it, and the files that it is given: fetched once, and only the right ones.

import { sha256 } from '/npm/@noble/hashes/sha2.js';

const TRY_MS = 300_000;
const fetched = new Map();

export class Lane {
  static async start(runtime, threads) {
    const lane = new Lane();
    lane.facts = await lane.call('start', { runtime, threads }, TRY_MS);
    return lane;
  }

  constructor() {
    this.worker = new Worker('/page/worker.js');
    this.waiting = new Map();
    this.onprogress = () => {};
    this.worker.onmessage = ({ data: { id, found, error, progress } }) => {
      if (progress !== undefined) return this.onprogress(progress);
      const { done, failed } = this.waiting.get(id) ?? {};
      this.waiting.delete(id);
      if (error === undefined) done?.(found);
      else failed?.(new Error(error));
    };
    this.worker.onerror = (event) => {
      for (const { failed } of this.waiting.values()) failed(new Error(event.message || 'the runtime ended'));
      this.waiting.clear();
    };
  }

  // What the worker answers; an Error with its words, or after `limit` milliseconds.
  call(operation, given, limit = Infinity) {
    const id = crypto.getRandomValues(new Uint32Array(1))[0];
    return new Promise((done, failed) => {
      this.waiting.set(id, { done, failed });
      if (limit < Infinity) setTimeout(() => failed(new Error(`no answer within ${limit / 1000} s`)), limit);
      this.worker.postMessage({ id, operation, given });
    });
  }

  async predict(files, inputs) {
    return this.call('predict', { key: JSON.stringify(files), files: await bytes(files), inputs });
  }

  async cold(files, inputs) {
    return this.call('cold', { files: await bytes(files), inputs }, TRY_MS);
  }

  end() {
    this.worker.terminate();
  }
}

// [[name, sha256], …] -> [[name, bytes], …]
export async function bytes(files) {
  return Promise.all(files.map(async ([name, digest]) => [name, await file(name, digest)]));
}

async function file(name, digest) {
  if (!fetched.has(digest)) {
    const response = await fetch(`/files/${digest}`);
    if (!response.ok) throw new Error(`${name}: the computer says ${response.status}`);
    const found = new Uint8Array(await response.arrayBuffer());
    const hex = Array.from(sha256(found), (byte) => byte.toString(16).padStart(2, '0')).join('');
    if (hex !== digest) throw new Error(`${name} does not match its sha256`);
    fetched.set(digest, found);
  }
  return fetched.get(digest);
}
