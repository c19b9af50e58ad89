/** A process of its own: `go-on FILE LIMIT` goes on from a snapshot until virtual time LIMIT, and says as JSON what came of it. */
import { readSnapshot } from '../../debugger/snapshot/file';
import { Guest } from '../../hypervisor/guest';
import { guestDigest } from '../guest-digest';

let console = '';
const guest = Guest.fromState(readSnapshot(process.argv[2]), { serialOutput: (byte) => (console += String.fromCharCode(byte)) });
guest.run(Number(process.argv[3]));
process.stdout.write(JSON.stringify({ console, instructions: guest.instructions, digest: guestDigest(guest) }));
