/** Counts the VM exits of the bundled tour by reason, and refuses it one CPUID leaf: `node -r ts-node/register examples/count-exits.ts`. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Guest, ROUTES, withRoutes } from '../index';

const counts = new Map<string, number>();
const guest = new Guest({
  image: readFileSync(join(__dirname, '../guests/bundled/tour/tour.elf')),
  memoryBytes: 64 << 20,
  backend: 'vmx',
  serialOutput: () => {},
  observer: { exit: ({ raw }) => void counts.set(raw.reason, (counts.get(raw.reason) ?? 0) + 1) },
  // A policy of one's own: everything else goes the usual way.
  routes: withRoutes({
    cpuid: (vcpu, exit) => {
      const outcome = ROUTES.cpuid(vcpu, exit);
      if (vcpu.detail === 0) vcpu.processor.setGpr32(0, 0xd);
      return outcome;
    },
  }),
});
while (guest.run(guest.time + 1e9).kind === 'limit');
for (const [reason, count] of [...counts].sort((a, b) => b[1] - a[1])) process.stdout.write(`${reason.padEnd(28)}${count}\n`);
