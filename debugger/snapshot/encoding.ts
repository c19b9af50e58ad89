/** Plain data as JSON text and one run of bytes: typed arrays go into the bytes, bigints and other numbers JSON lacks get a tag. */

const TAG = '$';
/** Typed arrays begin at multiples of this, so that they can be viewed in place. */
const ALIGNMENT = 8;

type TypedArray = Uint8Array | Uint32Array | Float64Array;
const ARRAYS = { Uint8Array, Uint32Array, Float64Array } as const;
type ArrayName = keyof typeof ARRAYS;

type Tagged =
  | { readonly [TAG]: 'array'; readonly of: ArrayName; readonly at: number; readonly length: number }
  | { readonly [TAG]: 'bigint' | 'number'; readonly value: string }
  | { readonly [TAG]: 'undefined' };

/** Collects the bytes of typed arrays. */
export class ByteSection {
  readonly parts: Uint8Array[] = [];
  length = 0;

  /** Returns where they begin. */
  add(bytes: Uint8Array): number {
    const at = this.length;
    const padding = (ALIGNMENT - (bytes.length % ALIGNMENT)) % ALIGNMENT;
    this.parts.push(bytes);
    if (padding !== 0) this.parts.push(new Uint8Array(padding));
    this.length += bytes.length + padding;
    return at;
  }
}

/** Throws TypeError for what is not plain data: functions, class instances, Maps. */
export function toJson(value: unknown, bytes: ByteSection): unknown {
  if (value === null || typeof value === 'string' || typeof value === 'boolean') return value;
  if (typeof value === 'number')
    return Number.isFinite(value) && !Object.is(value, -0) ? value : tag({ [TAG]: 'number', value: Object.is(value, -0) ? '-0' : `${value}` });
  if (typeof value === 'bigint') return tag({ [TAG]: 'bigint', value: `${value}` });
  if (value === undefined) return tag({ [TAG]: 'undefined' });
  if (Array.isArray(value)) return value.map((item) => toJson(item, bytes));
  const of = arrayName(value);
  if (of !== undefined) {
    const array = value as TypedArray;
    const at = bytes.add(new Uint8Array(array.buffer, array.byteOffset, array.byteLength));
    return tag({ [TAG]: 'array', of, at, length: array.length });
  }
  if (!isPlainObject(value)) throw new TypeError(`${describe(value)} is not plain data`);
  if (TAG in value) throw new TypeError(`a property named ${TAG} cannot be written`);
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, toJson(item, bytes)]));
}

/** The inverse of {@link toJson}. Typed arrays are copies. Throws RangeError for arrays outside `bytes`. */
export function fromJson(json: unknown, bytes: Uint8Array): unknown {
  if (json === null || typeof json !== 'object') return json;
  if (Array.isArray(json)) return json.map((item) => fromJson(item, bytes));
  if (TAG in json) return untag(json as Tagged, bytes);
  return Object.fromEntries(Object.entries(json).map(([key, item]) => [key, fromJson(item, bytes)]));
}

const tag = (tagged: Tagged): Tagged => tagged;

function untag(tagged: Tagged, bytes: Uint8Array): unknown {
  switch (tagged[TAG]) {
    case 'bigint':
      return BigInt(tagged.value);
    case 'number':
      return Number(tagged.value);
    case 'undefined':
      return undefined;
    case 'array': {
      const type = ARRAYS[tagged.of];
      const length = tagged.length * type.BYTES_PER_ELEMENT;
      if (tagged.at + length > bytes.length) throw new RangeError(`an array of ${length} bytes at ${tagged.at} ends behind the file`);
      // Not slice(), which of a Buffer is a view.
      return new type(new Uint8Array(bytes.subarray(tagged.at, tagged.at + length)).buffer);
    }
  }
}

function arrayName(value: unknown): ArrayName | undefined {
  // By name: arrays that went through structured cloning may be of another realm.
  return ArrayBuffer.isView(value) ? (Object.keys(ARRAYS) as ArrayName[]).find((name) => value.constructor.name === name) : undefined;
}

/** Of any realm: its prototype is the end of the chain. */
function isPlainObject(value: unknown): value is object {
  if (typeof value !== 'object' || value === null) return false;
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === null || Object.getPrototypeOf(prototype) === null;
}

const describe = (value: unknown): string => (typeof value === 'object' ? `a ${value!.constructor?.name ?? 'nameless object'}` : `a ${typeof value}`);
