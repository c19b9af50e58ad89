/** What a boot protocol gets, and what it answers. */
import type { E820Entry } from './e820';
import type { EntryState } from './entry-state';
import type { MemoryWrite } from './placement';

export interface BootModule {
  readonly bytes: Uint8Array;
  readonly commandLine?: string;
}

/** How an image is started. `auto` is a request, never an answer. */
export type BootFormat = 'linux' | 'pvh' | 'multiboot' | 'elf64' | 'flat32' | 'flat64';

export interface BootOptions {
  /** RAM of the machine; only for messages, e820 says where it is. */
  readonly memoryBytes: number;
  readonly e820: readonly E820Entry[];
  readonly initrd?: Uint8Array;
  /** The string of the initial ramdisk among multiboot modules. */
  readonly initrdName?: string;
  /** Further modules, for PVH and multiboot. */
  readonly modules?: readonly BootModule[];
  readonly commandLine?: string;
  /** Physical address of the ACPI root pointer. */
  readonly rsdp?: number;
  /** Multiboot command lines begin with the name of the image. */
  readonly imageName?: string;
  /** Default `auto`: Linux, then multiboot, then PVH, then plain ELF64. Flat binaries must be asked for. */
  readonly format?: 'auto' | BootFormat;
}

/**
 * Memory contents and processor state. Memory that is not written must be zero. The bytes may be views into the image: copy them
 * before changing it.
 */
export interface BootPlan {
  readonly format: BootFormat;
  readonly writes: readonly MemoryWrite[];
  readonly entry: EntryState;
  /** One line for people. */
  readonly description: string;
}
