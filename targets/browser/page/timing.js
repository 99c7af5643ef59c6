// The timed loops, as targets/device/sampling.py has them. A browser's clock has coarse steps, so that a sample may be the
// mean of several calls: as many as make a step 2 % of it. Durations are whole nanoseconds.

const STEPS = 50;
const WARM = 16;
const PART_SECONDS = 60;

// The smallest step of the clock that was seen, in milliseconds.
export function step() {
  let smallest = Infinity;
  for (let seen = 0, last = performance.now(); seen < 20; ) {
    const now = performance.now();
    if (now > last) {
      smallest = Math.min(smallest, now - last);
      [last, seen] = [now, seen + 1];
    }
  }
  return smallest;
}

// How many calls a sample takes: more until they last long enough. Of a warm call: a cold one would promise too much.
export async function callsPerSample(call, resolution) {
  for (let count = WARM; ; count *= 2) {
    const begin = performance.now();
    for (let i = 0; i < count; i++) await call();
    const took = performance.now() - begin;
    if (took >= STEPS * resolution) return Math.max(1, Math.ceil((count * STEPS * resolution) / took));
  }
}

export async function timed({ call, repeat }, count, seconds = Infinity) {
  const durations = [];
  const end = performance.now() + seconds * 1000;
  for (let i = 0; i < count; i++) {
    const begin = performance.now();
    for (let each = 0; each < repeat; each++) await call();
    const now = performance.now();
    durations.push(Math.max(1, Math.round(((now - begin) * 1e6) / repeat)));
    if (now > end) break;
  }
  return durations;
}

export async function interleaved(calls, { rounds, calls: each }, random, report) {
  const found = [];
  for (let round = 0; round < rounds; round++) {
    const times = {};
    for (const name of shuffled(Object.keys(calls), random)) {
      times[name] = Math.min(...(await timed(calls[name], each)).slice(1));
    }
    found.push(times);
    report((0.5 * (round + 1)) / rounds);
  }
  return found;
}

export async function sustained(call, seconds) {
  const medians = [];
  const end = performance.now() + seconds * 1000;
  for (let left = seconds; left > 0; left = (end - performance.now()) / 1000) {
    const part = (await timed(call, Infinity, Math.min(PART_SECONDS, left))).sort((a, b) => a - b);
    medians.push(part[Math.floor(part.length / 2)]);
  }
  return medians;
}

export function shuffled(names, random) {
  const order = [...names];
  for (let i = order.length - 1; i > 0; i--) {
    const j = Math.floor(random() * (i + 1));
    [order[i], order[j]] = [order[j], order[i]];
  }
  return order;
}

// Mulberry32 (Tommy Ettinger, 2017): numbers in [0, 1) that a seed repeats.
export function generator(seed) {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let mixed = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
}
