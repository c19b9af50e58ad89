import { once } from 'node:events';
import { createConnection, type Socket } from 'node:net';
import { join } from 'node:path';
import { unixSerial, type SerialPort } from '../../cli/serial-port';
import { file } from './fake-machine';

const MEGABYTE = 1 << 20;

/** A port, and a client of it that does not read yet. */
async function connected(name: string): Promise<{ port: SerialPort; client: Socket; drained: Promise<void> }> {
  const path = join(file('beside', ''), `../${name}`);
  let drain: () => void = () => {};
  const drained = new Promise<void>((resolve) => (drain = resolve));
  let heard: () => void = () => {};
  const hello = new Promise<void>((resolve) => (heard = resolve));
  const port = await unixSerial(
    path,
    () => heard(),
    () => drain(),
  );
  const client = createConnection(path).pause();
  client.write('hello');
  await hello;
  return { port, client, drained };
}

function print(port: SerialPort, count: number): void {
  for (let i = 0; i < count; i++) port.output(0x79);
  port.flush();
}

test('a client that does not read makes the port full, until it has read', async () => {
  const { port, client, drained } = await connected('slow');
  expect(port.full).toBe(false);
  print(port, MEGABYTE);
  expect(port.full).toBe(true);
  let received = 0;
  client.on('data', (bytes) => (received += bytes.length)).resume();
  await drained;
  expect(port.full).toBe(false);
  port.close();
  await once(client, 'end');
  expect(received).toBe(MEGABYTE);
});

test('a client that never reads does not keep the port open', async () => {
  const { port, client, drained } = await connected('stalled');
  print(port, MEGABYTE);
  port.close();
  await drained;
  expect(port.full).toBe(false);
  client.destroy();
});
