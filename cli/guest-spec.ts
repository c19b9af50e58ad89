/** From the arguments of a command to what it runs: the files are read here. */
import { basename } from 'node:path';
import { looksLikeRecording } from '../debugger/recording';
import { looksLikeSnapshot } from '../debugger/snapshot/file';
import { beginningOf, readFile } from './input-file';
import type { RunOptions } from './run-options';
import type { GuestSpec } from './runner';
import { UserError } from './user-error';

/** A VM's processor is of the vendor whose extension runs it, unless the user wants another. */
const DEFAULT_CPU = { vmx: 'intel', svm: 'amd' } as const;

export type PastKind = 'recording' | 'snapshot';
const BEGINNING = 64;

/** What of a run a file holds, by how it begins; undefined: it is neither. */
export function pastKindOf(path: string): PastKind | undefined {
  const bytes = beginningOf(path, BEGINNING);
  return looksLikeSnapshot(bytes) ? 'snapshot' : looksLikeRecording(bytes) ? 'recording' : undefined;
}

/** "FILE arguments": the first word is the file. */
function readModule(text: string): { bytes: Uint8Array; commandLine: string } {
  const path = text.split(' ', 1)[0];
  return { bytes: readFile(path, 'module'), commandLine: text };
}

/** The machine and what is in it, without what is connected to it. Throws UserError. */
export type MachineSpec = Omit<GuestSpec, 'serialOutput' | 'virtioConsole' | 'observer' | 'overdue' | 'checkVmcb' | 'explainIommu' | 'drives'>;

export type MachineOptions = Pick<
  RunOptions,
  'image' | 'initrd' | 'module' | 'append' | 'memory' | 'backend' | 'bare' | 'cpu' | 'kvm' | 'iommu' | 'device' | 'assign' | 'rtc' | 'seed' | 'format'
>;

export function machineSpec(options: MachineOptions): MachineSpec {
  const past = pastKindOf(options.image);
  if (past !== undefined) {
    const repeat = past === 'recording' ? `, vmexit replay ${options.image} repeats it` : '';
    throw new UserError(`${options.image} is a ${past} of a run, not an image: vmexit debug ${options.image} goes on with it${repeat}`);
  }
  const image = readFile(options.image, 'image');
  const initrd = options.initrd === undefined ? undefined : readFile(options.initrd, 'initial ramdisk');
  const modules = options.module.map(readModule);
  const exits = options.device.filter((device) => device.kind === 'isa-debug-exit');
  if (exits.length > 1) throw new UserError(`--device: ${exits.length} isa-debug-exit devices were given; give one`);
  const devices = options.device.flatMap(({ kind }) => (kind === 'isa-debug-exit' || kind === 'virtio-console' ? [] : [kind]));
  if (options.backend !== undefined && options.bare)
    throw new UserError(
      `--backend ${options.backend} with --bare: a bare machine runs without our hypervisor; leave one of them out (--cpu decides the vendor)`,
    );
  const backend = options.backend ?? 'vmx';
  if (options.kvm && options.bare) throw new UserError('--kvm with --bare: a bare machine has no hypervisor to show; leave one of them out');
  return {
    image,
    imageName: basename(options.image),
    initrd,
    initrdName: options.initrd,
    modules,
    commandLine: options.append,
    format: options.format,
    memoryBytes: options.memory,
    bare: options.bare,
    backend,
    cpu: options.cpu ?? DEFAULT_CPU[options.bare ? 'vmx' : backend],
    kvmParavirt: options.kvm,
    iommu: options.iommu,
    debugExit: exits[0]?.iobase,
    debugExitSize: exits[0]?.iosize,
    devices: devices.length > 0 ? devices : undefined,
    assign: options.assign.length > 0 ? options.assign : undefined,
    rtcStart: options.rtc,
    seed: options.seed,
  };
}
