// Asks the host what to do, does it, and answers. What takes long runs in a worker; here is only what a person sees.

import { facts, state, threads } from '/page/device.js';
import { measure } from '/page/job.js';
import { pack, unpack } from '/page/messages.js';
import { Lane } from '/page/lane.js';
import * as view from '/page/view.js';

const RETRY_MS = 2000;
const HEARTBEAT_MS = 5000;
const PATIENCE_MS = 500;
let predicting = null; // the lane that judging works in, and what for

async function main() {
  view.device(await facts());
  for (let greeted = false; ; ) {
    try {
      if (!greeted) await post('hello', JSON.stringify(await facts()));
      greeted = true;
      const waiting = setTimeout(() => view.state('Waiting for work …', 0), PATIENCE_MS); // not between two questions of a judge
      const response = checked(await fetch('/next').finally(() => clearTimeout(waiting)));
      if (response.status === 204) continue;
      const [command, arrays] = unpack(await response.arrayBuffer());
      if (await work(command, arrays)) return;
    } catch (error) {
      if (error.status === 403) return view.state('This page is over. Run Edgepress again for a new address.', 0, true);
      greeted = false; // the host may be another one now
      view.state('The computer does not answer; trying again …', 0, true);
      await new Promise((resume) => setTimeout(resume, RETRY_MS));
    }
  }
}

// True when it was the last one.
async function work(command, arrays) {
  if (command.do === 'end') {
    await post(`answer/${command.number}`, pack({}));
    view.state('Done. The report is on the computer.', 1);
    view.hint('');
    return true;
  }
  let done = 0;
  const heartbeat = () => post(`progress/${command.number}`, JSON.stringify({ done, total: 1 })).catch(() => {});
  const timer = setInterval(heartbeat, HEARTBEAT_MS);
  const lock = await navigator.wakeLock?.request('screen').catch(() => null);
  try {
    const progress = (share) => view.progress((done = Math.min(1, share)));
    await post(`answer/${command.number}`, await answer(command, arrays, progress));
  } finally {
    clearInterval(timer);
    await lock?.release();
  }
  return false;
}

async function answer(command, arrays, progress) {
  try {
    if (command.do === 'predict') return pack({}, await predict(command, arrays));
    if (command.do === 'measure') {
      await endJudging();
      const [result, outputs] = await measure(command, arrays, { facts, state, threads }, view, progress);
      return pack(result, outputs);
    }
    return pack({ failed: `it does not know how to ${command.do}` });
  } catch (error) {
    return pack({ failed: String(error?.message ?? error) });
  }
}

// One candidate at a time stays open: a judge asks one after the other.
async function predict({ runtime, threads: wanted, candidate, files, share }, inputs) {
  view.state(`Judging ${candidate}`, share);
  const [count] = threads(wanted, runtime);
  if (predicting?.candidate !== candidate) {
    await endJudging();
    predicting = { candidate, lane: await Lane.start(runtime, count) };
  }
  return predicting.lane.predict(files, inputs);
}

async function endJudging() {
  predicting?.lane.end();
  predicting = null;
}

async function post(path, body) {
  checked(await fetch(`/${path}`, { method: 'POST', body }));
}

function checked(response) {
  if (response.ok) return response;
  throw Object.assign(new Error(`the computer says ${response.status}`), { status: response.status });
}

main();
