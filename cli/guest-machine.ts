/** The guest behind the command line: what the user asked for, as a Guest; how it ended, as a RunOutcome. */
import { parseProfile } from '../cpu/profiles/profile';
import { RecordedRun } from '../debugger/recorder';
import { PortConflict } from '../devices/bus';
import { BootError } from '../guests/boot/boot-error';
import { AssignmentError } from '../hypervisor/assignment/assignable';
import { TooManyFunctions } from '../hypervisor/pci-functions';
import { iommuKind } from '../machine/iommu';
import { Guest, seededEntropy, type GuestConfig, type GuestStop } from '../hypervisor/guest';
import type { RunOutcome } from './exit-codes';
import type { GuestRunner, GuestSpec, RunStop } from './runner';
import { UserError } from './user-error';

/** Throws UserError for what cannot be run. */
export function createGuestRunner(spec: GuestSpec): GuestRunner {
  const { record } = spec;
  const run = build(spec, (config) => (record === undefined ? new Guest(config) : new RecordedRun(config, record)));
  const guest = run instanceof RecordedRun ? run.guest : run;
  return {
    run: (maxInstructions) => runStopOf(run.run(guest.time + maxInstructions), guest),
    sendSerial: (bytes) => run.sendSerial(bytes),
    sendConsole: (bytes) => guest.virtioConsole?.receive(bytes),
    ended: (because) => run instanceof RecordedRun && run.end(because),
    listening: () => guest.listening,
    stats: () => ({ instructions: guest.instructions, ticks: guest.time, rows: guest.exitRows() }),
  };
}

/** What the user asked for, as a Guest takes it. */
function configOf(spec: GuestSpec): GuestConfig {
  return {
    image: spec.image,
    imageName: spec.imageName,
    format: spec.format,
    initrd: spec.initrd,
    initrdName: spec.initrdName,
    modules: spec.modules,
    commandLine: spec.commandLine,
    memoryBytes: spec.memoryBytes,
    backend: spec.bare ? 'bare' : spec.backend,
    cpu: spec.cpu,
    kvmParavirt: spec.kvmParavirt,
    iommu: spec.iommu,
    drives: spec.drives,
    devices: spec.devices,
    assign: spec.assign,
    serialOutput: spec.serialOutput,
    virtioConsole: spec.virtioConsole,
    debugExit: spec.debugExit === undefined ? undefined : { iobase: spec.debugExit, iosize: spec.debugExitSize },
    rtcStart: spec.rtcStart,
    entropy: seededEntropy(spec.seed),
    frameSeed: spec.seed,
    observer: spec.observer,
    checkVmcb: spec.checkVmcb,
    explainIommu: spec.explainIommu,
    pause: spec.overdue,
  };
}

/** A guest, or something around one. Throws UserError for what cannot be run. */
export function build<T>(spec: GuestSpec, make: (config: GuestConfig) => T): T {
  checkCpu(spec);
  try {
    return make(configOf(spec));
  } catch (error) {
    if (error instanceof BootError) throw new UserError(`${spec.imageName}: ${error.message}`);
    if (error instanceof AssignmentError) throw new UserError(`--assign: ${error.message}`);
    if (error instanceof TooManyFunctions) throw new UserError(`--drive, --device: ${error.message}`);
    if (error instanceof PortConflict) throw new UserError(`--device isa-debug-exit: ${error.message}`);
    throw error;
  }
}

function checkCpu(spec: GuestSpec): void {
  try {
    const profile = parseProfile(spec.cpu);
    if (spec.iommu) iommuKind(profile);
    if (spec.checkVmcb !== undefined && !(spec.bare ? profile.has('svm') : spec.backend === 'svm'))
      throw new UserError('--check-vmcb: there is no VMCB to check; use --backend svm, or --bare --cpu amd-svm');
    const extension = ['vmx', 'svm'].find((feature) => profile.has(feature));
    if (!spec.bare && extension !== undefined)
      throw new RangeError(`a VM has no ${extension} of its own; leave it out, or use --bare to give the image the physical machine`);
  } catch (error) {
    if (error instanceof RangeError) throw new UserError(`--cpu ${spec.cpu}: ${error.message}`);
    throw error;
  }
}

export function runStopOf(stop: GuestStop, guest: Guest): RunStop {
  switch (stop.kind) {
    case 'limit':
    case 'stopped':
      return { kind: 'limit' };
    case 'idle':
      return { kind: 'idle' };
    case 'ended':
      return { kind: 'ended', outcome: outcomeOf(stop, guest) };
  }
}

function outcomeOf(stop: Extract<GuestStop, { kind: 'ended' }>, guest: Guest): RunOutcome {
  const { because, explanation } = stop;
  if (because === 'debug-exit') return { kind: because, status: stop.status ?? 1, explanation };
  if (because === 'triple-fault' && guest.vm === undefined)
    return { kind: because, explanation: `${explanation} at RIP 0x${guest.machine.cpu.rip.toString(16)}` };
  return { kind: because, explanation };
}
