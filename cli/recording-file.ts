/** `run --record LOG`: the recording of debugger/recording.ts as a file. */
import { closeSync, openSync, writeSync } from 'node:fs';
import { resolve } from 'node:path';
import { RECORDING_VERSION, recordingText, sha256, type RecordedFiles, type RecordingHeader, type RecordingLine } from '../debugger/recording';
import type { MachineOptions, MachineSpec } from './guest-spec';
import { readFile } from './input-file';
import type { RunOptions } from './run-options';
import { fileError } from './user-error';

type RecordingOptions = MachineOptions & Pick<RunOptions, 'drive'>;

export interface RecordingFile {
  readonly write: (line: RecordingLine) => void;
  close(): void;
}

function filesOf({ image, initrd, module, drive }: RecordingOptions, spec: MachineSpec): RecordedFiles {
  const file = (path: string, bytes: Uint8Array): { path: string; sha256: string } => ({ path: resolve(path), sha256: sha256(bytes) });
  return {
    image: file(image, spec.image),
    ...(initrd === undefined || spec.initrd === undefined ? {} : { initrd: file(initrd, spec.initrd) }),
    modules: spec.modules.map(({ bytes, commandLine }, i) => ({ ...file(module[i].split(' ', 1)[0], bytes), commandLine: commandLine ?? '' })),
    ...(drive.length > 0 && { drives: drive.map(({ path, kind, readOnly }) => ({ ...file(path, readFile(path, 'disk')), kind, readOnly })) }),
  };
}

/** Throws UserError if the file cannot be written. */
export function createRecording(path: string, options: RecordingOptions, spec: MachineSpec): RecordingFile {
  const {
    imageName,
    commandLine,
    format,
    memoryBytes,
    bare,
    backend,
    cpu,
    kvmParavirt,
    iommu,
    devices,
    assign,
    debugExit,
    debugExitSize,
    initrdName,
    rtcStart,
    seed,
  } = spec;
  const machine = {
    imageName,
    commandLine,
    format,
    memoryBytes,
    bare,
    backend,
    cpu,
    kvmParavirt,
    iommu,
    devices: devices && [...devices],
    assign: assign && [...assign],
    debugExit,
    debugExitSize,
    initrdName,
    rtcStart,
    seed,
  };
  const header: RecordingHeader = { recording: RECORDING_VERSION, machine, files: filesOf(options, spec) };
  let file: number;
  try {
    file = openSync(path, 'w');
  } catch (error) {
    throw fileError(error, 'write the recording to', path);
  }
  const write = (line: RecordingHeader | RecordingLine): void => {
    const bytes = Buffer.from(recordingText(line));
    for (let done = 0; done < bytes.length;) done += writeSync(file, bytes, done);
  };
  write(header);
  return { write, close: () => closeSync(file) };
}
