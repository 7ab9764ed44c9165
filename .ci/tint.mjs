// Compiles WGSL files with Tint, the compiler of Chromium, and prints every error with its file and line:
//
//   node tint.mjs MODULES FILE...        MODULES is a folder with the npm package `webgpu` (Dawn for node)
//
// Tint refuses what naga lets pass: barriers in control flow that is not uniform, extensions that are not enabled,
// constants out of range. Dawn's null backend compiles and makes pipelines without a GPU, within the limits that every
// adapter has. Shaders that go beyond are for adapters with more: they are compiled and named, no error.

import fs from 'node:fs';
import path from 'node:path';
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';

const [modules, ...files] = process.argv.slice(2);
if (!modules || !files.length) {
  console.error('usage: node tint.mjs MODULES FILE...');
  process.exit(2);
}
const entry = createRequire(path.join(path.resolve(modules), 'from-here.js')).resolve('webgpu');
const { create, globals } = await import(pathToFileURL(entry));
Object.assign(globalThis, globals);
// Dawn lives as long as this object: collected, it takes the process with it.
globalThis.dawn = create(['backend=null']);
const adapter = await globalThis.dawn.requestAdapter();
const device = await adapter.requestDevice({ requiredFeatures: ['shader-f16', 'subgroups'] });

/** Whether a pipeline is refused for the size of its workgroups or of their memory alone. */
const isBeyondLimits = (message) => /(larger than|exceeds) the maximum allowed/.test(message);

/** The errors in a text, each as `line: message`; those of its pipeline are at line 0. */
async function errorsIn(code) {
  device.pushErrorScope('validation');
  const module = device.createShaderModule({ code });
  const { messages } = await module.getCompilationInfo();
  const refusal = await device.popErrorScope();
  const errors = messages.filter(({ type }) => type === 'error');
  if (errors.length) return errors.map(({ lineNum, message }) => `${lineNum}: ${message}`);
  if (refusal) return [`0: ${refusal.message}`];
  try {
    await device.createComputePipelineAsync({ layout: 'auto', compute: { module, entryPoint: 'main' } });
    return [];
  } catch (error) {
    return [`0: ${error.message.split('\n')[0]}`];
  }
}

// A check that finds nothing here would find nothing anywhere. The file is one that naga accepts.
const NOT_UNIFORM = `
@group(0) @binding(0) var<storage, read_write> values: array<f32>;
@compute @workgroup_size(64)
fn main(@builtin(local_invocation_index) lane: u32) {
  if (values[lane] > 0.0) { workgroupBarrier(); }
  values[lane] = 1.0;
}`;
const control = await errorsIn(NOT_UNIFORM);
if (!control.some((error) => error.startsWith('5: ') && error.includes('uniform control flow'))) {
  console.error(`tint: a barrier in control flow that is not uniform was not found out: [${control}]`);
  process.exit(1);
}

let wrong = 0;
for (const file of files) {
  const errors = await errorsIn(fs.readFileSync(file, 'utf8'));
  if (errors.length && errors.every(isBeyondLimits)) {
    console.log(`beyond the least limits: ${file}`);
    continue;
  }
  for (const error of errors) console.error(`${file}:${error}`);
  wrong += errors.length > 0;
}
console.log(`tint: ${files.length} shaders, ${wrong} of them wrong`);
process.exit(wrong ? 1 : 0);
