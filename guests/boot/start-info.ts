/**
 * hvm_start_info version 1: how PVH tells a kernel about memory, modules, command line and ACPI (Xen: "x86/HVM direct boot ABI").
 * Flat and plain ELF64 images of ours get the same structure.
 */
import { BootError } from './boot-error';
import type { BootModule, BootOptions } from './boot-request';
import { commandLineBytes } from './command-line';
import type { Placement } from './placement';

export const START_INFO_MAGIC = 0x336e_c578;
const VERSION = 1;
const START_INFO_SIZE = 56;
const MODULE_SIZE = 32;
const MEMORY_MAP_ENTRY_SIZE = 24;
const MIB = 0x10_0000;
/** No limit in the protocol; longer ones are mistakes. */
export const MAX_COMMAND_LINE = 4095;
const MAX_ENTRIES = 1024;

/** The initial ramdisk is the first module. */
export function allModules(options: BootOptions): BootModule[] {
  const modules = [...(options.initrd === undefined ? [] : [{ bytes: options.initrd }]), ...(options.modules ?? [])];
  if (modules.length > MAX_ENTRIES) throw new BootError(`${modules.length} modules were given, at most ${MAX_ENTRIES} are accepted`);
  return modules;
}

/** Returns the physical address of the structure. */
export function placeStartInfo(placement: Placement, options: BootOptions, whose: string): number {
  const modules = allModules(options);
  if (options.e820.length > MAX_ENTRIES) throw new BootError(`the memory map has ${options.e820.length} entries, at most ${MAX_ENTRIES} are accepted`);
  const text = (line: string, of: string): number => placement.table(commandLineBytes(line, MAX_COMMAND_LINE, of), 'a command line');

  const list = new DataView(new ArrayBuffer(modules.length * MODULE_SIZE));
  modules.forEach(({ bytes, commandLine }, i) => {
    const at = i * MODULE_SIZE;
    list.setBigUint64(at, BigInt(placement.place(bytes.length, `module ${i}`, { from: MIB, high: true }, bytes)), true);
    list.setBigUint64(at + 8, BigInt(bytes.length), true);
    if (commandLine !== undefined) list.setBigUint64(at + 16, BigInt(text(commandLine, `module ${i}`)), true);
  });
  const map = new DataView(new ArrayBuffer(options.e820.length * MEMORY_MAP_ENTRY_SIZE));
  options.e820.forEach(({ address, size, type }, i) => {
    const at = i * MEMORY_MAP_ENTRY_SIZE;
    map.setBigUint64(at, BigInt(address), true);
    map.setBigUint64(at + 8, BigInt(size), true);
    map.setUint32(at + 16, type, true);
  });

  const info = new DataView(new ArrayBuffer(START_INFO_SIZE));
  info.setUint32(0, START_INFO_MAGIC, true);
  info.setUint32(4, VERSION, true);
  info.setUint32(12, modules.length, true);
  if (modules.length > 0) info.setBigUint64(16, BigInt(placement.table(new Uint8Array(list.buffer), 'the module list')), true);
  info.setBigUint64(24, BigInt(text(options.commandLine ?? '', whose)), true);
  info.setBigUint64(32, BigInt(options.rsdp ?? 0), true);
  info.setBigUint64(40, BigInt(placement.table(new Uint8Array(map.buffer), 'the memory map')), true);
  info.setUint32(48, options.e820.length, true);
  return placement.table(new Uint8Array(info.buffer), 'hvm_start_info');
}
