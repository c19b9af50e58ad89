/** The guest behind the command line: what the user asked for, as a Guest; how it ended, as a RunOutcome. */
import { parseProfile } from '../cpu/profiles/profile';
import { BootError } from '../guests/boot/boot-error';
import { Guest, seededEntropy, type GuestStop } from '../hypervisor/guest';
import type { RunOutcome } from './exit-codes';
import type { GuestRunner, GuestSpec, RunStop } from './runner';
import { UserError } from './user-error';

/** Throws UserError for what cannot be run. */
export function createGuestRunner(spec: GuestSpec): GuestRunner {
  if (!spec.bare && spec.backend !== 'vmx') throw new UserError(`--backend ${spec.backend}: there is no such hypervisor backend yet; use --backend vmx`);
  const guest = build(spec);
  return {
    run: (maxInstructions) => toRunStop(guest.run(guest.time + maxInstructions), guest),
    sendSerial: (bytes) => guest.sendSerial(bytes),
    stats: () => ({ instructions: guest.instructions, ticks: guest.time, rows: guest.exitRows() }),
  };
}

function build(spec: GuestSpec): Guest {
  checkCpu(spec);
  try {
    return new Guest({
      image: spec.image,
      imageName: spec.imageName,
      format: spec.format,
      initrd: spec.initrd,
      modules: spec.modules,
      commandLine: spec.commandLine,
      memoryBytes: spec.memoryBytes,
      backend: spec.bare ? 'bare' : 'vmx',
      cpu: spec.cpu,
      kvmParavirt: spec.kvmParavirt,
      serialOutput: spec.serialOutput,
      debugExit: spec.debugExit === undefined ? undefined : { iobase: spec.debugExit },
      rtcStart: spec.rtcStart,
      entropy: seededEntropy(spec.seed),
      frameSeed: spec.seed,
    });
  } catch (error) {
    if (error instanceof BootError) throw new UserError(`${spec.imageName}: ${error.message}`);
    throw error;
  }
}

function checkCpu(spec: GuestSpec): void {
  try {
    const { vendor } = parseProfile(spec.cpu);
    if (!spec.bare && vendor !== 'intel') throw new RangeError('the vmx backend needs an Intel processor; use --cpu intel, or --bare');
  } catch (error) {
    if (error instanceof RangeError) throw new UserError(`--cpu ${spec.cpu}: ${error.message}`);
    throw error;
  }
}

function toRunStop(stop: GuestStop, guest: Guest): RunStop {
  switch (stop.kind) {
    case 'limit':
    case 'idle':
      return { kind: stop.kind };
    case 'stopped':
      return { kind: 'ended', outcome: { kind: 'internal', explanation: 'the machine stopped unexpectedly' } };
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
