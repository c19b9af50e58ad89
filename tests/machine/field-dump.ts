/**
 * Every field of an object and of what it leads to, by path: numbers, strings, booleans, bigints, undefined, and the contents of arrays,
 * Maps, Sets and typed arrays. Two machines of the same build that hold the same state have equal dumps, so that a field which a snapshot
 * forgets shows by its name.
 */
export type FieldDump = Map<string, unknown>;

/** @param skip paths that are not looked into, as regular expressions. */
export function dumpFields(root: object, skip: readonly RegExp[] = []): FieldDump {
  const found: FieldDump = new Map();
  const seen = new Set<object>();
  const visit = (value: unknown, path: string): void => {
    if (typeof value === 'function' || skip.some((pattern) => pattern.test(path))) return;
    if (typeof value !== 'object' || value === null) {
      found.set(path, value);
      return;
    }
    if (seen.has(value)) return;
    seen.add(value);
    if (ArrayBuffer.isView(value)) found.set(path, Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString('base64'));
    else if (value instanceof Map) [...value].forEach(([key, item], i) => visit({ key: key as unknown, item: item as unknown }, `${path}[${i}]`));
    else if (value instanceof Set) found.set(path, [...value].join());
    else for (const [key, item] of Object.entries(value)) visit(item, `${path}.${key}`);
  };
  visit(root, '');
  return found;
}

/** Paths at which two dumps differ, with both values. */
export function differences(a: FieldDump, b: FieldDump): string[] {
  const show = (value: unknown): string => String(value).slice(0, 60);
  return [...new Set([...a.keys(), ...b.keys()])]
    .filter((path) => !Object.is(a.get(path), b.get(path)))
    .map((path) => `${path}: ${show(a.get(path))} / ${show(b.get(path))}`);
}
