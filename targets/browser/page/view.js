// What a person sees. Texts are set as text, never as markup.

const element = (id) => document.getElementById(id);

export function device({ cpu, os, cores }) {
  element('device').textContent = `${cpu} · ${os} · ${cores} ${cores === 1 ? 'core' : 'cores'}`;
}

export function state(words, share, bad = false) {
  element('state').textContent = words;
  element('state').classList.toggle('bad', bad);
  if (share !== undefined) progress(share);
}

export function progress(share) {
  element('bar').value = share;
}

export function hint(words) {
  element('hint').textContent = words;
}

// A card for a set: the median of each candidate, the longest one as the full bar. A later process replaces it.
export function results(runtime, labels, candidates) {
  const model = labels[0].split('/')[0];
  const card = make('section');
  card.id = `set-${runtime}-${model}`;
  const title = make('h2', model);
  title.append(make('small', runtime));
  card.append(title);
  const medians = Object.fromEntries(labels.filter((label) => candidates[label].steady_ns).map((label) => [label, median(candidates[label].steady_ns)]));
  const longest = Math.max(...Object.values(medians));
  for (const label of labels) card.append(row(label, medians[label], longest, candidates[label].error));
  const old = element(card.id);
  if (old) old.replaceWith(card);
  else element('results').append(card);
}

function row(label, nanoseconds, longest, error) {
  const line = make('div');
  line.className = 'row';
  const name = make('span', label.slice(label.indexOf('/') + 1));
  name.className = 'name';
  line.append(name);
  if (error) {
    const note = make('span', error);
    note.className = 'note bad';
    line.append(note);
    return line;
  }
  const value = make('span', (nanoseconds / 1e6).toPrecision(3));
  value.className = 'value';
  value.append(make('small', ' ms'));
  const meter = Object.assign(make('meter'), { min: 0, max: longest, value: nanoseconds });
  meter.setAttribute('aria-label', 'median time of a call');
  line.append(value, meter);
  return line;
}

function make(tag, text = '') {
  const found = document.createElement(tag);
  found.textContent = text;
  return found;
}

function median(values) {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)];
}
