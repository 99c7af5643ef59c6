// What a browser tells of its device and of its own limits. What it does not tell is null.

export async function facts() {
  const told = await navigator.userAgentData?.getHighEntropyValues?.(['model', 'platformVersion', 'architecture', 'fullVersionList']);
  const system = told ? [told.platform, told.platformVersion].filter(Boolean).join(' ') : system_(navigator.userAgent);
  const machine = told ? told.model || [told.platform, told.architecture].filter(Boolean).join(' ') : system.split(' ')[0];
  return {
    cpu: `${machine || 'unknown'}, ${browser(told?.fullVersionList)}`,
    cores: navigator.hardwareConcurrency ?? 1,
    features: ['wasm', ...(self.crossOriginIsolated ? ['wasm threads'] : [])],
    os: system || 'unknown',
  };
}

// As targets/device/host.py has it, and what only a page must say of itself.
export async function state() {
  const notes = [];
  const battery = await navigator.getBattery?.();
  if (battery && !(battery.charging && battery.level === 1)) {
    notes.push(`battery ${Math.round(battery.level * 100)} %${battery.charging ? ', charging' : ''}`);
  }
  return { governor: null, mhz: [], load: null, celsius: null, throttled: null, notes };
}

// How many of the wanted threads a runtime gets here, and why it is not all of them.
export function threads(wanted, runtime) {
  const cores = navigator.hardwareConcurrency ?? 1;
  if (wanted === 1) return [1, null];
  if (!self.crossOriginIsolated) return [1, 'the page is not isolated'];
  if (runtime === 'litert') return [1, 'LiteRT.js stalls when several models have threads'];
  return wanted > cores ? [cores, 'there are no more cores'] : [wanted, null];
}

function browser(brands) {
  const known = brands?.find(({ brand }) => !/not.?a.?brand|chromium/i.test(brand)) ?? brands?.find(({ brand }) => brand === 'Chromium');
  if (known) return `${known.brand} ${known.version}`;
  const [, name, version] = /(Firefox|FxiOS|CriOS|EdgiOS)\/([\d.]+)/.exec(navigator.userAgent) ?? [];
  if (name) return `${{ FxiOS: 'Firefox', CriOS: 'Chrome', EdgiOS: 'Edge' }[name] ?? name} ${version}`;
  const [, safari] = /Version\/([\d.]+).*Safari/.exec(navigator.userAgent) ?? [];
  return safari ? `Safari ${safari}` : 'an unknown browser';
}

// "iPhone OS 17.5" out of "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) …"
function system_(agent) {
  const inner = /\(([^)]*)\)/.exec(agent)?.[1] ?? '';
  const part = inner.split(';').map((each) => each.trim()).find((each) => /OS|Android|Linux|Windows/.test(each)) ?? inner;
  return part.replace(/^CPU /, '').replace(/ like Mac OS X$/, '').replaceAll('_', '.');
}
