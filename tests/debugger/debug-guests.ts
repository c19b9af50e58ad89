/** The bundled guests under a debugger, with what a straight run of the same guest gives to compare with. */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Session } from '../../debugger/session';
import type { TimelineOptions } from '../../debugger/timeline';
import { Guest, type GuestConfig } from '../../hypervisor/guest';
import type { ExitRecord } from '../../hypervisor/vcpu';

export type Backend = GuestConfig['backend'];
export const BACKENDS: readonly Backend[] = ['bare', 'vmx', 'svm'];

export const bundled = (name: string): Uint8Array => readFileSync(join(__dirname, `../../guests/bundled/${name}/${name}.elf`));

export const guestConfig = (backend: Backend, image = 'tour'): Omit<GuestConfig, 'serialOutput'> => ({
  image: bundled(image),
  memoryBytes: 8 << 20,
  backend,
  cpu: backend === 'svm' ? 'amd' : 'intel',
});

/** Console and exits as the outside sees them. */
export class Outside {
  console = '';
  exits = 0;
  private readonly hash = createHash('sha256');

  readonly serialOutput = (byte: number): void => void (this.console += String.fromCharCode(byte));
  readonly observer = {
    exit: ({ instructions, ticks, rip, raw, outcome }: ExitRecord): void => {
      this.exits++;
      this.hash.update(`${instructions} ${ticks} ${rip} ${raw.code} ${raw.qualification} ${outcome.kind}\n`);
    },
  };
  get exitDigest(): string {
    return this.hash.copy().digest('hex');
  }
}

export function debugSession(
  backend: Backend,
  image = 'tour',
  options: TimelineOptions & { readonly cpu?: string } = {},
): { session: Session; outside: Outside } {
  const outside = new Outside();
  const { serialOutput, observer } = outside;
  const config = guestConfig(backend, image);
  return { session: new Session({ ...config, cpu: options.cpu ?? config.cpu, serialOutput, observer }, options), outside };
}

/** To the end, with nobody watching. */
export function straightRun(backend: Backend, image = 'tour'): { guest: Guest; outside: Outside } {
  const outside = new Outside();
  const { serialOutput, observer } = outside;
  const guest = new Guest({ ...guestConfig(backend, image), serialOutput, observer });
  guest.run(Infinity);
  return { guest, outside };
}

/** To the first moment at which so many instructions have retired. */
export function runToInstructions(guest: Guest, instructions: number): void {
  while (guest.instructions < instructions) if (guest.run(guest.time + instructions - guest.instructions).kind === 'ended') return;
}
