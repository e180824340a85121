// What the Node clients of the table share, like table.py: the scripts print a line of JSON for each feature.
//
// The packages are in the node_modules of LONGHAND_NODE_MODULES.

import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

export const { LONGHAND_URL: url, LONGHAND_API_KEY: key, LONGHAND_NODE_MODULES } = process.env;
const require = createRequire(join(LONGHAND_NODE_MODULES, 'here.js'));
export const load = (name) => import(pathToFileURL(require.resolve(name)));
export const installed = (name) => require(join(LONGHAND_NODE_MODULES, 'node_modules', name, 'package.json')).version;

export const [model, limited, absent] = ['table/m', 'table/limited', 'table/absent'];
export const place = { city: 'Sevilla', people: 684000 };
const features = ['stream', 'tools', 'structured', 'second_turn', 'error_429', 'error_404'];

export function weather({ city }) {
  assert.equal(city, 'Sevilla');
  return 'sunny';
}

export function streamed(deltas) {
  const some = deltas.filter(Boolean);
  assert.equal(some.join(''), 'Uno, dos, tres.');
  assert(some.length > 1, 'one delta');
  return `${some.length} deltas`;
}

export const usedTool = (text) => assert.equal(text, 'It is sunny');
export const parsed = (object) => assert.deepEqual({ ...object }, place);
// The answer to any second turn, where the first was `Hola`.
export const secondTurn = (text) => assert.equal(text, 'You said: Hola');

export async function collect(stream) {
  const all = [];
  for await (const one of stream) all.push(one);
  return all;
}

// The features of the errors, of a client that asks a model by `ask`: its own error, with the status and the provider's own sentence.
export function errors(ask, kinds, status) {
  const refused = (of, kind, code, sentence) => async () => {
    const error = await ask(of).then(() => assert.fail(`no ${kind.name}`), (error) => error);
    assert(error instanceof kind, String(error));
    assert.equal(status(error), code);
    assert(error.message.includes(sentence), error.message);
    return `${error.name === 'Error' ? kind.name : error.name}: ${error.message}`;
  };
  return {
    error_429: refused(limited, kinds[0], 429, 'Slow down, please.'),
    error_404: refused(absent, kinds[1], 404, 'The model `absent` does not exist.'),
  };
}

// Runs the features, and prints what came of them. One that fails does not stop the others.
export async function table(client, version, by) {
  for (const feature of features) {
    let [ok, detail] = [null, 'not a feature of this client'];
    try {
      if (by[feature]) [ok, detail] = [true, (await by[feature]()) ?? ''];
    } catch (error) {
      [ok, detail] = [false, String(error)];
    }
    console.log(JSON.stringify({ client, version, feature, ok, detail }));
  }
}
