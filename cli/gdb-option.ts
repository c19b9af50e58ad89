/** --gdb HOST:PORT, PORT, or unix:FILE. Without a host nobody outside this computer can connect. */
import type { GdbEndpoint } from '../debugger/gdb/server';
import { UserError } from './user-error';

const LOOPBACK = '127.0.0.1';
const MOST_PORT = 0xffff;

export function parseGdb(text: string): GdbEndpoint {
  const unix = /^unix:(.+)$/s.exec(text);
  if (unix !== null) return { kind: 'unix', path: unix[1] };
  const match = /^(?:(?:\[([0-9a-f:.%]+)\]|([^:[\]]*)):)?(\d{1,5})$/i.exec(text);
  const port = Number(match?.[3] ?? NaN);
  if (match === null || port > MOST_PORT) throw new UserError(`--gdb ${text}: write HOST:PORT like localhost:1234, a port like 1234, or unix:FILE`);
  return { kind: 'tcp', host: match[1] ?? (match[2] || LOOPBACK), port };
}
