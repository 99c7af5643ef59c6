// A measuring job, as targets/device/runner.py does it: each candidate cold in a worker of its own, then the sets in a fresh one.

import { bytes, Lane } from '/page/lane.js';

export async function measure({ job, package: name, version }, arrays, { facts, state, threads: granted }, view, progress) {
  const watching = watch();
  const [threads, why] = granted(job.threads, job.runtime);
  const environment = {
    host: await facts(), state_before: await state(), runtime: job.runtime, package: name, version, threads, seed: job.seed,
    isolated: self.crossOriginIsolated, browser: navigator.userAgent,
  };
  const total = Object.keys(job.candidates).length + job.sets.flat().length;
  let done = 0;
  const advance = (steps) => progress((done += steps) / total);
  const [candidates, outputs] = [{}, {}];
  for (const [label, entry] of Object.entries(job.candidates)) {
    view.state(`Loading ${label}`);
    candidates[label] = entry.error ? entry : await cold(job, entry, given(entry, arrays), threads, (answered) => {
      for (const [output, array] of Object.entries(answered)) outputs[`${label}|${output}`] = array;
    }, environment);
    advance(1);
  }
  const [sets, steps] = [[], []];
  const lane = await Lane.start(job.runtime, threads);
  try {
    for (const [number, labels] of job.sets.entries()) {
      view.state(`Measuring ${labels[0].split('/')[0]} in ${name}`);
      lane.onprogress = (share) => progress((done + share * labels.length) / total);
      const found = await lane.call('measure', {
        candidates: await opened(job, labels.filter((label) => !candidates[label].error), arrays),
        protocol: job.protocol, seed: job.seed + number, long: job.protocol.sustained_seconds > 0,
      });
      sets.push({ rounds: found.rounds });
      steps.push(found.step_ms);
      merge(candidates, found, environment);
      advance(labels.length);
      view.results(name, labels, candidates);
    }
  } finally {
    lane.end();
  }
  environment.state_after = await state();
  environment.state_after.notes.push(...limits(environment, job.threads, why, Math.max(...steps), watching()));
  return [{ environment, candidates, sets }, outputs];
}

async function cold(job, entry, inputs, threads, keep, environment) {
  let lane = null;
  try {
    lane = await Lane.start(job.runtime, threads);
    Object.assign(environment, lane.facts);
    const { outputs, ...found } = await lane.cold(named(job, entry), inputs);
    keep(outputs);
    return found;
  } catch (error) {
    return { error: error.message };
  } finally {
    lane?.end();
  }
}

async function opened(job, labels, arrays) {
  const found = {};
  for (const label of labels) {
    const entry = job.candidates[label];
    found[label] = { files: await bytes(named(job, entry)), inputs: given(entry, arrays) };
  }
  return found;
}

function merge(candidates, { found, errors }, environment) {
  for (const [label, { repeat, ...times }] of Object.entries(found)) {
    Object.assign(candidates[label], times);
    environment.calls_a_sample = { ...environment.calls_a_sample, [label]: repeat };
  }
  for (const [label, error] of Object.entries(errors)) candidates[label] = { error };
}

// A candidate's files as [name, sha256]; they find one another by their bare names.
function named(job, { files }) {
  return files.map((file) => [file.split('/').pop(), job.files[file]]);
}

function given({ inputs }, arrays) {
  const own = Object.entries(arrays).filter(([name]) => name.startsWith(`${inputs}|`));
  return Object.fromEntries(own.map(([name, array]) => [name.slice(inputs.length + 1), array]));
}

// What a reader of the figures must know of this browser.
function limits({ threads, calls_a_sample: calls = {} }, wanted, why, step, hidden) {
  const most = Math.max(1, ...Object.values(calls));
  return [
    ...(why ? [`${threads} of ${wanted} threads: ${why}`] : []),
    ...(most > 1 ? [`clock steps of ${Math.round(step * 1000)} µs: a sample of a short call is the mean of several`] : []),
    ...(hidden ? ['the page was in the background for a while'] : []),
  ];
}

// Starts to look whether the page is out of sight; ends that and says whether it ever was.
function watch() {
  let hidden = document.hidden;
  const look = () => (hidden ||= document.hidden);
  document.addEventListener('visibilitychange', look);
  return () => {
    document.removeEventListener('visibilitychange', look);
    return hidden;
  };
}
