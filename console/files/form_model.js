// A form from a JSON Schema: which fields it has, and the value that they make.

/** @typedef {"text" | "long" | "number" | "integer" | "boolean" | "choice" | "lines" | "json"} FieldKind */
/** @typedef {{ pointer: string, path: string[], label: string, kind: FieldKind, isRequired: boolean, help: string, choices: any[], initial: string, min: number | null, max: number | null }} Field */

const LONG_CHARS = 200;
const DEPTH_MAX = 6;

/** @param {any} schema @param {any} root @returns {any} */
function resolve(schema, root) {
  let at = schema ?? {};
  for (let hops = 0; hops < 10 && typeof at.$ref === "string" && at.$ref.startsWith("#/"); hops += 1) {
    at = at.$ref.slice(2).split("/").reduce((/** @type {any} */ of, /** @type {string} */ name) => of?.[name.replaceAll("~1", "/").replaceAll("~0", "~")], root) ?? {};
  }
  return at;
}

/** @param {any} schema @param {any} root @returns {FieldKind} */
function kindOf(schema, root) {
  const types = [schema.type].flat().filter((type) => type !== "null");
  if (Array.isArray(schema.enum)) return "choice";
  if (types.length !== 1) return "json";
  const [type] = types;
  if (type === "string") return (schema.maxLength ?? 0) > LONG_CHARS ? "long" : "text";
  if (type === "number" || type === "integer" || type === "boolean") return type;
  if (type === "array" && resolve(schema.items, root).type === "string" && !resolve(schema.items, root).enum) return "lines";
  return "json";
}

/** @param {string} name */
const escaped = (name) => name.replaceAll("~", "~0").replaceAll("/", "~1");

/**
 * The fields of an object's schema, those of objects within it included.
 * @param {any} schema
 * @returns {Field[]} of a schema that is none of an object: one field, for JSON
 */
export function fieldsOf(schema) {
  /** @type {Field[]} */
  const fields = [];
  const walk = (/** @type {any} */ given, /** @type {string[]} */ path, /** @type {boolean} */ isRequired) => {
    const at = resolve(given, schema);
    if (at.properties && path.length < DEPTH_MAX) {
      for (const [name, child] of Object.entries(at.properties)) walk(child, [...path, name], (at.required ?? []).includes(name) && (isRequired || path.length === 0));
      return;
    }
    const kind = kindOf(at, schema);
    const initial = at.default === undefined ? "" : kind === "lines" ? at.default.join("\n") : kind === "json" ? JSON.stringify(at.default, null, 2) : String(at.default);
    fields.push({
      pointer: path.map((name) => `/${escaped(name)}`).join(""),
      path,
      label: at.title ?? path.at(-1) ?? "",
      kind,
      isRequired,
      help: at.description ?? "",
      choices: at.enum ?? [],
      initial,
      min: at.minimum ?? null,
      max: at.maximum ?? null,
    });
  };
  walk(schema, [], true);
  return fields;
}

/** The value of one field, as the schema has it; `undefined`: left empty. @param {Field} field @param {string} text */
function valueOf(field, text) {
  if (text === "") return undefined;
  if (field.kind === "number" || field.kind === "integer") return Number.isNaN(Number(text)) ? text : Number(text);
  if (field.kind === "boolean") return text === "true";
  if (field.kind === "choice") return field.choices.find((choice) => String(choice) === text) ?? text;
  if (field.kind === "lines") return text.split("\n").map((line) => line.trim()).filter((line) => line !== "");
  if (field.kind === "json") {
    try {
      return JSON.parse(text);
    } catch {
      // Sent as it is: the answer says what was expected.
      return text;
    }
  }
  return text;
}

/**
 * The input that the fields' texts make.
 * @param {Field[]} fields @param {Record<string, string>} texts by pointer
 * @returns {any}
 */
export function collect(fields, texts) {
  /** @type {any} */
  let input = {};
  for (const field of fields) {
    const value = valueOf(field, texts[field.pointer] ?? "");
    if (value === undefined) continue;
    if (field.path.length === 0) {
      input = value;
      continue;
    }
    let at = input;
    for (const name of field.path.slice(0, -1)) at = Object.hasOwn(at, name) ? at[name] : define(at, name, {});
    define(at, field.path.at(-1) ?? "", value);
  }
  return input;
}

/** A member like any other, whatever it is called. @param {any} of @param {string} name @param {any} value */
function define(of, name, value) {
  Object.defineProperty(of, name, { value, enumerable: true, writable: true, configurable: true });
  return value;
}

/**
 * The texts of the fields that would make this input.
 * @param {Field[]} fields @param {any} input
 * @returns {Record<string, string>}
 */
export function textsOf(fields, input) {
  /** @type {Record<string, string>} */
  const texts = {};
  for (const field of fields) {
    const value = field.path.reduce((at, name) => (at !== null && typeof at === "object" && Object.hasOwn(at, name) ? at[name] : undefined), input);
    if (value === undefined) texts[field.pointer] = "";
    else if (field.kind === "lines" && Array.isArray(value)) texts[field.pointer] = value.join("\n");
    else texts[field.pointer] = typeof value === "object" ? JSON.stringify(value, null, 2) : String(value);
  }
  return texts;
}

/**
 * The errors of an answer under the fields that they are about; the rest under "".
 * @param {Field[]} fields @param {{ pointer: string, detail: string, expected?: string }[]} errors whose pointers begin with `/input`
 * @returns {Record<string, string[]>}
 */
export function errorsByField(fields, errors) {
  /** @type {Record<string, string[]>} */
  const result = {};
  for (const { pointer, detail } of errors) {
    const inside = pointer.replace(/^\/input/, "");
    const fits = fields.filter((field) => inside === field.pointer || inside.startsWith(`${field.pointer}/`) || field.pointer.startsWith(`${inside}/`));
    const best = fits.sort((one, other) => other.pointer.length - one.pointer.length)[0];
    const missing = fields.find((field) => field.pointer.startsWith(`${inside}/`) && detail.includes(`"${field.path.at(-1)}"`));
    const at = (missing ?? (inside === "" ? undefined : best))?.pointer ?? "";
    (result[at] ??= []).push(detail);
  }
  return result;
}
