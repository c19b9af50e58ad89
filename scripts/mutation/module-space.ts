/** The project's modules inside one process: compiled once, instantiated again and again, any of them with another text than the file's. */
import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join, relative, resolve } from 'node:path';
import { Script } from 'node:vm';
import { transformSync } from '@swc/core';
import { fn, spyOn } from 'jest-mock';

interface Instance {
  exports: unknown;
}
type Body = (exports: unknown, require: (request: string) => unknown, module: Instance, filename: string, directory: string, jest: object) => void;

/** Calls of jest.mock rise above the imports. An option that swc has for jest and does not document. */
const JEST_HOISTING = { hidden: { jest: true } } as object;

const isTest = (path: string): boolean => path.startsWith('tests/');

export class ModuleSpace {
  /** Compiled code, by path inside the project; the replaced file is not among it. */
  private readonly bodies = new Map<string, Body>();
  private readonly instances = new Map<string, Instance>();
  /** importers.get(path): who was seen to import it. */
  private readonly importers = new Map<string, Set<string>>();
  private readonly mocks = new Map<string, () => unknown>();
  private replaced: { readonly path: string; readonly body: Body } | undefined;

  constructor(private readonly root: string) {}

  /**
   * From here on `path` has `text`. What depends on it is instantiated anew; the rest of the model is shared between mutants, whose
   * order can therefore not matter only as long as modules keep no state that tests see.
   */
  replace(path: string, text: string): void {
    this.restore();
    this.replaced = { path, body: this.compile(path, text) };
    this.forget(path);
  }

  restore(): void {
    if (this.replaced === undefined) return;
    const { path } = this.replaced;
    this.replaced = undefined;
    this.forget(path);
  }

  /** Executes a test file, and the helpers beside it, anew. */
  runTestFile(path: string): void {
    for (const known of [...this.instances.keys()]) if (isTest(known)) this.instances.delete(known);
    // A mocked module is another one for whoever imports it.
    for (const mocked of this.mocks.keys()) this.forget(mocked);
    this.mocks.clear();
    this.load(path);
    for (const mocked of this.mocks.keys()) this.forget(mocked);
    this.mocks.clear();
  }

  private forget(path: string): void {
    if (!this.instances.delete(path) && !this.mocks.has(path)) return;
    for (const importer of this.importers.get(path) ?? []) this.forget(importer);
  }

  private load(path: string): unknown {
    const known = this.instances.get(path);
    if (known !== undefined) return known.exports;
    const instance: Instance = { exports: {} };
    this.instances.set(path, instance);
    const file = join(this.root, path);
    const fromPackages = createRequire(file);
    const require = (request: string): unknown => {
      const target = this.target(file, request);
      if (target === undefined) return fromPackages(request);
      const importers = this.importers.get(target) ?? new Set();
      this.importers.set(target, importers.add(path));
      const mock = this.mocks.get(target);
      return mock === undefined ? this.load(target) : mock();
    };
    try {
      this.bodyOf(path)(instance.exports, require, instance, file, dirname(file), this.jest(file));
    } catch (e) {
      this.instances.delete(path);
      throw e;
    }
    return instance.exports;
  }

  /** Path inside the project of what a relative request means; undefined: a package, or no TypeScript. */
  private target(from: string, request: string): string | undefined {
    if (!request.startsWith('.')) return undefined;
    const file = `${resolve(dirname(from), request)}.ts`;
    return existsSync(file) ? relative(this.root, file) : undefined;
  }

  private bodyOf(path: string): Body {
    if (this.replaced?.path === path) return this.replaced.body;
    let body = this.bodies.get(path);
    if (body === undefined) this.bodies.set(path, (body = this.compile(path, readFileSync(join(this.root, path), 'utf8'))));
    return body;
  }

  private compile(path: string, text: string): Body {
    const { code } = transformSync(text, {
      filename: path,
      swcrc: false,
      configFile: false,
      module: { type: 'commonjs' },
      jsc: { target: 'es2022', parser: { syntax: 'typescript' }, transform: JEST_HOISTING },
    });
    return new Script(`(function (exports, require, module, __filename, __dirname, jest) {${code}\n})`, {
      filename: join(this.root, path),
    }).runInThisContext() as Body;
  }

  /** The part of the `jest` object that tests use. */
  private jest(file: string): object {
    return {
      fn,
      spyOn,
      mock: (request: string, factory: () => unknown): void => {
        const target = this.target(file, request);
        if (target === undefined) throw new Error(`${relative(this.root, file)} mocks "${request}": a mutation run can only mock files of the project`);
        let made: { readonly module: unknown } | undefined;
        this.mocks.set(target, () => (made ??= { module: factory() }).module);
        this.forget(target);
      },
    };
  }
}
