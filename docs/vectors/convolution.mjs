// A backend in plain JavaScript. It reads the vectors of a folder and writes its results beside them:
//
//     node convolution.mjs DIR && interpolated-kernels vectors check DIR

import { readFileSync, writeFileSync } from "node:fs";

const TYPES = { f32: Float32Array, f64: Float64Array, u8: Uint8Array };
const readJson = (path) => JSON.parse(readFileSync(path, "utf8"));
const readArray = (path) => new TYPES[path.split(".").pop()](new Uint8Array(readFileSync(path)).buffer);
const product = (numbers) => numbers.reduce((left, right) => left * right, 1);
const flatten = (index, shape) => index.reduce((cell, place, axis) => cell * shape[axis] + place, 0);

// Which cell of an axis a padded place shows; -1 where it is a zero.
function show(place, size, mode) {
  if (place >= 0 && place < size) return place;
  if (mode === "zeros") return -1;
  if (mode === "replicate") return place < 0 ? 0 : size - 1;
  const period = { circular: size, reflect: Math.max(2 * size - 2, 1), symmetric: 2 * size }[mode];
  const phase = ((place % period) + period) % period;
  return phase < size ? phase : period - phase - (mode === "symmetric" ? 1 : 0);
}

function* listIndices([size, ...rest]) {
  for (let place = 0; place < size; place++)
    if (rest.length) for (const tail of listIndices(rest)) yield [place, ...tail];
    else yield [place];
}

// Calls visit(output, tap, input, filter) for every product: cells of y, of the dense kernels and of x.
function visitProducts(g, visit) {
  const met = [];
  for (const output of listIndices(g.out_spatial))
    for (const tap of listIndices(g.window)) {
      const place = (step, axis) => step * g.stride[axis] + tap[axis] * g.dilation[axis] - g.pads[axis][0];
      const input = output.map((step, axis) => show(place(step, axis), g.spatial[axis], g.padding_modes[axis]));
      if (!input.includes(-1))
        met.push([flatten(output, g.out_spatial), flatten(tap, g.window), flatten(input, g.spatial)]);
    }
  const [outputs, taps, inputs] = [g.out_spatial, g.window, g.spatial].map(product);
  const bank = [g.batch, g.groups * g.filters_per_group, g.channels_per_group];
  for (const [b, f, c] of listIndices(bank)) {
    const channel = Math.floor(f / g.filters_per_group) * g.channels_per_group + c;
    const y = (b * bank[1] + f) * outputs, kernel = (f * bank[2] + c) * taps;
    const x = (b * g.groups * bank[2] + channel) * inputs;
    for (const [output, tap, input] of met) visit(y + output, kernel + tap, x + input, f);
  }
}

function compute(document, { x, grad_y, matrix, dense, taps }, Numbers) {
  const g = document.geometry, kernels = new Numbers(dense);
  const results = { y: new Numbers(grad_y.length) };
  if (document.options.missing === "renormalize") {
    const share = new Numbers(grad_y.length), total = new Numbers(g.groups * g.filters_per_group);
    kernels.forEach((value, cell) => (total[Math.floor((cell * total.length) / kernels.length)] += value));
    visitProducts(g, (output, tap, input, filter) => {
      if (Number.isNaN(x[input])) return;
      results.y[output] += kernels[tap] * x[input];
      share[output] += kernels[tap] / total[filter];
    });
    results.y.forEach((sum, output) => (results.y[output] = sum / share[output])); // 0 / 0 is NaN
    return results;
  }
  const gradDense = new Numbers(dense.length), mode = document.kernel.channel_mode;
  results.grad_x = new Numbers(x.length);
  visitProducts(g, (output, tap, input) => {
    if (!taps[tap]) return; // a NaN under a cell that no anchor reaches spoils nothing
    results.y[output] += kernels[tap] * x[input];
    results.grad_x[input] += kernels[tap] * grad_y[output];
    gradDense[tap] += x[input] * grad_y[output];
  });
  if (mode !== "tied") results.transposed = results.grad_x;
  const [ofFilters, ofChannels, , anchors] = document.arrays.matrix.shape;
  const cells = document.arrays.matrix.shape[2], spatial = product(g.window);
  const shared = mode === "separate" ? 1 : g.channels_per_group; // channels that share their weights
  results.grad_weights = new Numbers((dense.length / spatial / shared) * anchors);
  gradDense.forEach((value, at) => {
    if (!taps[at]) return;
    const tap = at % spatial, pair = Math.floor(at / spatial);
    const channel = pair % g.channels_per_group, filter = Math.floor(pair / g.channels_per_group);
    const row = mode === "interpolated" ? tap * g.channels_per_group + channel : tap;
    const set = (filter % ofFilters) * ofChannels + (channel % ofChannels);
    for (let anchor = 0; anchor < anchors; anchor++)
      results.grad_weights[Math.floor(pair / shared) * anchors + anchor] +=
        matrix[(set * cells + row) * anchors + anchor] * value;
  });
  return results;
}

const folder = process.argv[2];
for (const name of readJson(`${folder}/manifest.json`).cases) {
  const document = readJson(`${folder}/${name}/case.json`), arrays = {};
  for (const [key, { file }] of Object.entries(document.arrays)) arrays[key] = readArray(`${folder}/${name}/${file}`);
  const ending = document.arrays.x.file.split(".").pop();
  for (const [key, result] of Object.entries(compute(document, arrays, TYPES[ending])))
    writeFileSync(`${folder}/${name}/${key}.result.${ending}`, result);
}
