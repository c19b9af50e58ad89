import { Fn, type ValueType } from './wasm';
import { Bytes } from './wasm-bytes';

/** 4 GiB: a module with this limit takes a memory of any size. */
const MOST_PAGES = 0x1_0000;

/** A module that imports memory and a table from "env", beside functions, and exports functions by name. */
export class Module {
  private readonly types: string[] = [];
  private readonly typeBytes: number[][] = [];
  private readonly imports: { name: string; type: number }[] = [];
  private readonly functions: { fn: Fn; type: number }[] = [];
  private readonly exports: { name: string; index: number }[] = [];
  /** Function indexes placed in the table from tableOffset on. */
  readonly elements: number[] = [];
  constructor(private readonly tableOffset: number) {}

  type(parameters: readonly ValueType[], results: readonly ValueType[]): number {
    const key = `${parameters.join()}>${results.join()}`;
    let index = this.types.indexOf(key);
    if (index < 0) {
      index = this.types.push(key) - 1;
      this.typeBytes.push([0x60, parameters.length, ...parameters, results.length, ...results]);
    }
    return index;
  }
  /** All imports must come before the first function. */
  importFunction(name: string, parameters: readonly ValueType[], results: readonly ValueType[]): number {
    return this.imports.push({ name, type: this.type(parameters, results) }) - 1;
  }
  function(parameters: readonly ValueType[], results: readonly ValueType[]): { fn: Fn; index: number } {
    const fn = new Fn(parameters, results);
    this.functions.push({ fn, type: this.type(parameters, results) });
    return { fn, index: this.imports.length + this.functions.length - 1 };
  }
  export(name: string, index: number): void {
    this.exports.push({ name, index });
  }

  encode(): Uint8Array<ArrayBuffer> {
    const out = new Bytes();
    out.raw([0, 0x61, 0x73, 0x6d, 1, 0, 0, 0]);
    const section = (id: number, write: (b: Bytes) => void): void => {
      const b = new Bytes();
      write(b);
      out.u8(id);
      out.u32(b.length);
      out.raw(b.view());
    };
    section(1, (b) => {
      b.u32(this.typeBytes.length);
      for (const t of this.typeBytes) b.raw(t);
    });
    section(2, (b) => {
      b.u32(this.imports.length + 2);
      for (const i of this.imports) {
        b.name('env');
        b.name(i.name);
        b.u8(0);
        b.u32(i.type);
      }
      b.name('env');
      b.name('memory');
      b.u8(2);
      b.u8(1);
      b.u32(1);
      b.u32(MOST_PAGES);
      b.name('env');
      b.name('table');
      b.u8(1);
      b.u8(0x70);
      b.u8(0);
      b.u32(0);
    });
    section(3, (b) => {
      b.u32(this.functions.length);
      for (const f of this.functions) b.u32(f.type);
    });
    section(7, (b) => {
      b.u32(this.exports.length);
      for (const e of this.exports) {
        b.name(e.name);
        b.u8(0);
        b.u32(e.index);
      }
    });
    if (this.elements.length > 0) {
      section(9, (b) => {
        b.u32(1);
        b.u8(0);
        b.u8(0x41);
        b.s32(this.tableOffset);
        b.u8(0x0b);
        b.u32(this.elements.length);
        for (const e of this.elements) b.u32(e);
      });
    }
    section(10, (b) => {
      b.u32(this.functions.length);
      for (const { fn } of this.functions) {
        const body = fn.encode();
        b.u32(body.length);
        b.raw(body);
      }
    });
    return new Uint8Array(out.view());
  }
}
